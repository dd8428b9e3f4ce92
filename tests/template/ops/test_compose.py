"""The stack: what the file says, and the services that start from it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import yaml

from ops.engine import BASE, ENVIRONMENT, ROOT, context, docker, health, here, make_image, need_engine, run
from plants import make_workspace
from serving import bundles
from slipway.cli.smoke import Service, smoke
from slipway.model.bundle import Bundle

pytestmark = pytest.mark.xdist_group("stack")  # one stack, with images of fixed names
FILE = ROOT / "docker-compose.yml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text("utf-8"))["services"]
SECRETS = ("POSTGRES_PASSWORD", "S3_SECRET_KEY", "SLIPWAY_FEEDBACK_KEY")
STARTED = (
    "api",
    "prometheus",  # part: monitoring
    "alertmanager",  # part: monitoring
    "postgres",  # part: mlflow-server
    "mlflow",  # part: mlflow-server
)
WAIT_SECONDS = 180


def test_the_file_is_valid():
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", FILE)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_limited_watched_and_on_loopback(name):
    service = SERVICES[name]
    if "build" not in service:
        assert re.search(r":v?\d+\.\d+\.\d+$|:\d+\.\d+-bookworm$", service["image"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert {"mem_limit", "cpus"} <= service.keys()
    assert "no-new-privileges:true" in service["security_opt"]
    # The image of the API brings its own.
    assert "healthcheck" in service or name == "api"
    assert "/health" not in json.dumps(service.get("healthcheck", ""))


def test_alone_it_is_the_api_and_what_watches_it():
    alone = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert alone == {
        "api",
        *("prometheus", "alertmanager", "grafana"),  # part: monitoring
    }


# part: mlflow-server
def test_mlflow_comes_with_its_profile():
    record = {name for name, service in SERVICES.items() if service.get("profiles") == ["mlflow"]}
    assert record == {"mlflow", "postgres"}


def test_what_it_mounts_is_here():
    mounted = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])]
    folders = {volume for volume in mounted if volume.startswith(".")}
    assert folders  # part: monitoring
    assert all((ROOT / folder).is_dir() for folder in folders)
    named = set(mounted) - folders
    assert named == set(yaml.safe_load(FILE.read_text("utf-8"))["volumes"])


def test_no_password_is_written_down():
    text = FILE.read_text("utf-8")
    for name in SECRETS[:2]:
        assert set(re.findall(rf"\$\{{{name}[^}}]*\}}", text)) == {f"${{{name}-}}"}  # nothing if it is not given
    said = [value for service in SERVICES.values() for key, value in dict(_pairs(service)).items() if _secret(key)]
    assert said
    assert all(value == "" or value.startswith("${") for value in said)


def _pairs(service: dict[str, Any]) -> list[tuple[str, str]]:
    environment = service.get("environment", {})
    return list(environment.items()) if isinstance(environment, dict) else [(name, "") for name in environment]


def _secret(name: str) -> bool:
    return bool(re.search("PASSWORD|SECRET|TOKEN", name)) or name.endswith("FEEDBACK_KEY")


def test_make_writes_passwords_of_this_machine_alone(tmp_path):
    written = []
    for name in ("one", "two"):
        (tmp_path / name / "stack").mkdir(parents=True)
        for path in ("Makefile", "stack/image.mk"):
            shutil.copy(ROOT / path, tmp_path / name / path)
        run("make", ".env", cwd=tmp_path / name)
        path = tmp_path / name / ".env"
        assert path.stat().st_mode & 0o077 == 0
        lines = dict(line.split("=") for line in path.read_text().splitlines())
        assert tuple(lines) == SECRETS
        assert all(len(value) >= 32 for value in lines.values())
        written += lines.values()
    assert len(set(written)) == len(written)
    assert run("git", "check-ignore", ".env", ok=False).returncode == 0


@dataclass(frozen=True)
class Stack:
    """The running services."""

    folder: Path
    bundle: Bundle
    environment: dict[str, str]
    compose: tuple[str, ...]

    def __call__(self, *arguments: str) -> str:
        """Run Compose."""
        return run(*self.compose, *arguments, cwd=self.folder, env=self.environment).stdout

    def url(self, service: str) -> str:
        """A service's URL on this machine."""
        return f"http://127.0.0.1:{self.environment[f'{service.upper()}_PORT' if service != 'api' else 'PORT']}"

    def container(self, service: str) -> str:
        """The id of a service's container."""
        return self("ps", "--quiet", service).strip()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The API, MLflow with PostgreSQL, Prometheus and Alertmanager, started from the file and healthy."""
    need_engine()
    compose = next((c for c in (("docker", "compose"), ("docker-compose",)) if _works(*c, "version")), None)
    if compose is None:
        pytest.skip("Docker Compose is not installed")
    made = tmp_path_factory.mktemp("made") / "bundle"
    bundle = bundles.write(made)
    folder = context(tmp_path_factory.mktemp("stack"), made)
    for name in ("monitoring", "stack"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True)
    run("make", ".env", cwd=folder)
    # part: mlflow-server
    docker("build", "--tag", "slipway-mlflow:local", "--build-arg", f"BASE={BASE}", ROOT / "stack/mlflow")
    # end: mlflow-server
    override = folder / "stand-ins.yml"
    override.write_text(yaml.safe_dump({"services": _stand_ins()}))
    ports = ("PORT", "MLFLOW_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT")
    image = make_image(folder, "slipway-test:stack")
    environment = ENVIRONMENT | {"IMAGE": image} | dict(zip(ports, _free(len(ports)), strict=True))
    files = ("--file", str(FILE.name), "--file", override.name, "--profile", "mlflow")
    running = Stack(folder, bundle, environment, (*compose, "--project-name", f"slipway-test-{os.getpid()}", *files))
    try:
        running("up", "--detach", *STARTED)
        yield running
    finally:
        running("down", "--volumes", "--timeout", "5")


def _works(*command: str) -> bool:
    return shutil.which(command[0]) is not None and run(*command, ok=False).returncode == 0


def _free(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _stand_ins() -> dict[str, Any]:
    """Images to take in place of those that this engine cannot pull: Debian's builds of the same programs."""
    programs = {
        "postgres": {"entrypoint": ["postgres-entrypoint"], "user": "postgres"},
        "prometheus": {"entrypoint": ["prometheus"], "user": "nobody"},
        "alertmanager": {"entrypoint": ["prometheus-alertmanager"], "user": "nobody"},
    }
    lacking = {name: how for name, how in programs.items() if name in STARTED and not here(SERVICES[name]["image"])}
    if lacking:
        docker(
            "build",
            "--tag",
            "slipway-test:stand-ins",
            "--build-arg",
            f"BASE={BASE}",
            ROOT / "tests/template/ops/stand-ins",
        )
    return {name: {"image": "slipway-test:stand-ins", **how} for name, how in lacking.items()}


def get(url: str, path: str, *, body: Any = None, host: str | None = None) -> tuple[int, Any]:
    """Ask a service's API."""
    headers = {"content-type": "application/json"} | ({"host": host} if host else {})
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, data, headers), timeout=10) as response:
            return response.status, json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, None


def eventually(what: Callable[[], Any]) -> Any:
    """Ask again until the answer is yes: scraping and discovery have rhythms of their own."""
    deadline = monotonic() + WAIT_SECONDS
    while not (answer := what()):
        assert monotonic() < deadline, "it did not come to pass"
        sleep(0.5)
    return answer


@pytest.mark.parametrize("service", STARTED)
def test_becomes_healthy(stack, service):
    container = stack.container(service)
    assert health(container, seconds=WAIT_SECONDS) == "healthy", docker("logs", "--tail", "30", container)


def test_the_api_serves_the_champion(stack):
    smoke(Service(stack.url("api")), stack.bundle, wait=60)


# part: monitoring
def test_prometheus_finds_the_api_by_its_name_and_scrapes_it(stack):
    query = "/api/v1/query?query=" + urllib.request.quote('slipway_model_info{job="slipway"}')
    (found,) = eventually(lambda: get(stack.url("prometheus"), query)[1]["data"]["result"])
    assert found["metric"]["version"] == stack.bundle.version


# part: monitoring
def test_prometheus_knows_alertmanager_and_all_rules_load(stack):
    eventually(lambda: get(stack.url("prometheus"), "/api/v1/alertmanagers")[1]["data"]["activeAlertmanagers"])
    groups = get(stack.url("prometheus"), "/api/v1/rules")[1]["data"]["groups"]
    assert any(rule["name"] == "SlipwayFeatureDrift" for group in groups for rule in group["rules"])
    assert get(stack.url("alertmanager"), "/api/v2/status")[0] == 200


# part: mlflow-server
def experiments(stack: Stack, host: str) -> int:
    """Ask MLflow's API for experiments, by a name of the server; the status."""
    search = "/api/2.0/mlflow/experiments/search"
    try:
        return get(stack.url("mlflow"), search, body={"max_results": 1}, host=host)[0]
    except OSError:  # not listening yet
        return 0


# part: mlflow-server
def test_mlflow_answers_under_its_names_and_no_other(stack):
    eventually(lambda: experiments(stack, "mlflow:5000") == 200)
    assert experiments(stack, "localhost:5000") == 200
    assert experiments(stack, "evil.example") == 403


# part: mlflow-server
def test_mlflow_keeps_a_run_of_this_machine_in_postgresql_and_its_files(stack, tmp_path):
    uri = stack.url("mlflow")
    eventually(lambda: experiments(stack, "localhost:5000") == 200)
    workspace = make_workspace(tmp_path / "plants")
    environment = ENVIRONMENT | {"MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(ROOT / "tests/template")}
    run("slipway", "track", cwd=workspace.root, env=environment)
    client = import_module("mlflow").MlflowClient(uri)
    (run_id,) = [one.info.run_id for one in client.search_runs([client.get_experiment_by_name("plants").experiment_id])]
    assert client.list_artifacts(run_id)  # they came through the server
    say = ["psql", "-h", "127.0.0.1", "-U", "mlflow", "-d", "mlflow", "-qtAc", "SELECT run_uuid FROM runs"]
    password = dict(line.split("=") for line in (stack.folder / ".env").read_text().splitlines())["POSTGRES_PASSWORD"]
    assert docker("exec", "--env", f"PGPASSWORD={password}", stack.container("postgres"), *say) == run_id
    refused = run("docker", "exec", "--env", "PGPASSWORD=mlflow", stack.container("postgres"), *say, ok=False)
    assert "password authentication failed" in refused.stderr


# part: mlflow-server
def test_postgresql_does_not_start_without_a_password(stack):
    given = {**SERVICES["postgres"]["environment"], "POSTGRES_PASSWORD": ""}
    image = json.loads(docker("inspect", stack.container("postgres")))[0]["Config"]
    command = ["docker", "run", "--rm", *(f"--env={name}={value}" for name, value in given.items())]
    command += [f"--entrypoint={image['Entrypoint'][0]}", f"--user={image['User']}", image["Image"]]
    done = run(*command, *(image["Cmd"] or []), ok=False)
    assert done.returncode != 0
    assert "password" in done.stderr
