"""The facts of a run, pushed to a real Pushgateway that asks for a password."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from batch.conftest import store, table
from slipway.batch.metrics import FACTS
from slipway.cli import main

PASSWORD = "not-for-eyes"  # pragma: allowlist secret
USERS = "basic_auth_users: {ada: '$2b$04$2xGU0W3sg.jdwQn2wTyQWOcKklTP43PB20CvJrjgRCF5UbFPTxOBO'}"  # its bcrypt hash


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Pushgateway that keeps nothing."""
    program = shutil.which("prometheus-pushgateway")
    if not program:
        pytest.skip("needs prometheus-pushgateway (Debian's package of that name)")
    config = tmp_path_factory.mktemp("gateway") / "web.yml"
    config.write_text(USERS)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [program, f"--web.listen-address={address}", f"--web.config.file={config}", "--persistence.file="]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert any("TLS is disabled" in line for line in process.stderr)  # the last line, when it listens
        yield address
        process.kill()


def predict(bundle: Path, folder: Path, address: str, *options: object):
    """Predict, and push; the output is complete in any case."""
    output = folder / f"out-{len(list(folder.glob('out-*.csv')))}.csv"
    given = store(table(), folder / "in.csv")
    arguments = ["predict", given, output, "--bundle", bundle, "--push-gateway", address, *options]
    done = CliRunner().invoke(main, [str(one) for one in arguments])
    assert output.exists()
    return done


def samples(text: str) -> dict[str, tuple[dict[str, str], float]]:
    """The facts in an exposition; a Pushgateway adds an empty `instance`."""
    families = text_string_to_metric_families(text)
    found = {one.name: (dict(one.labels), one.value) for family in families for one in family.samples}
    return {name: found[name] for name in found if name.startswith("slipway_batch_")}


def test_facts_are_those_of_the_file_and_take_the_place_of_those_of_the_run_before(gateway, bundle, made, tmp_path):
    address = f"http://ada:{PASSWORD}@{gateway}"
    for model in (made["alive"], bundle):
        done = predict(model, tmp_path, address, "--metrics", tmp_path / "night.prom")
        assert done.exit_code == 0, done.output
    kept = samples(httpx.get(f"http://{gateway}/metrics", auth=("ada", PASSWORD)).text)
    written = samples((tmp_path / "night.prom").read_text())
    assert set(kept) == {f"slipway_batch_{name}" for name in FACTS}
    known = {"job": "slipway-predict", "instance": ""}
    assert kept == {name: (labels | known, pytest.approx(value)) for name, (labels, value) in written.items()}


def test_a_run_without_a_file_has_the_name_that_it_is_given(gateway, bundle, tmp_path):
    assert predict(bundle, tmp_path, f"http://ada:{PASSWORD}@{gateway}", "--run", "a/noon").exit_code == 0
    text = httpx.get(f"http://{gateway}/metrics", auth=("ada", PASSWORD)).text
    assert 'slipway_batch_rows{instance="",job="slipway-predict",run="a/noon"} 300' in text


@pytest.mark.parametrize("user", ["", "ada:wr%40ng@"])
def test_a_gateway_that_refuses_fails_the_run_and_its_password_is_not_told(user, gateway, bundle, tmp_path):
    done = predict(bundle, tmp_path, f"http://{user}{gateway}")
    assert done.exit_code == 1
    assert f"http://{gateway}: the run is complete, but its metrics cannot be pushed: HTTP Error 401" in done.stderr
    assert "ng@" not in done.output
    assert "@ng" not in done.output


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "http://127.0.0.1:port"])
def test_a_gateway_that_is_not_there_is_named(address, bundle, tmp_path):
    done = predict(bundle, tmp_path, address)
    assert done.exit_code == 1
    assert f"{address}: the run is complete, but its metrics cannot be pushed" in done.stderr
