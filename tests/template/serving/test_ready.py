"""When the service is ready, and why it is not."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from serving.running import Direct, Process, client, quiet


@pytest.mark.parametrize("fault", ["missing", "changed", "no model", "wrong golden row", "another version"])
def test_a_refused_bundle_gives_a_live_process_that_says_why(
    fault: str, bundle: Path, tmp_path: Path, row: dict[str, Any]
) -> None:
    folder = tmp_path / "bundle"
    settings: dict[str, Any] = {}
    if fault != "missing":
        shutil.copytree(bundle, folder)
    if fault == "changed":
        (folder / "model.onnx").write_bytes(b"\0")
    if fault in ("no model", "wrong golden row"):
        from slipway.model.bundle import read_bundle, write_bundle

        whole = read_bundle(bundle)
        examples = whole.examples
        examples["predictions"][1]["label"] = "oak"
        change = (
            {"examples.json": json.dumps(examples).encode()} if fault != "no model" else {"model.onnx": b"no model"}
        )
        manifest = whole.manifest.model_dump(exclude={"files", "format"})
        write_bundle(folder, manifest, {**whole.files, **change})
    if fault == "another version":
        settings["expected"] = "0" * 12
    expected = {
        "missing": "no bundle is here",
        "changed": "the file was changed",
        "no model": "cannot be loaded",
        "wrong golden row": "golden row 1",
        "another version": "000000000000",
    }
    with Process(folder, until="refused", **settings) as process, client(process.url) as http:
        assert http.get("/healthz").status_code == 200
        ready = http.get("/readyz")
        assert (ready.status_code, expected[fault] in ready.json()["reason"]) == (503, True)
        for path in ("/predict", "/explain", "/invocations", "/feedback"):
            refused = http.post(path, json=row)
            assert refused.status_code == 503
            assert "retry-after" in refused.headers
        assert http.get("/ping").status_code == 503
        assert http.get("/v2/health/ready").status_code == 503
        assert "slipway_ready 0.0" in http.get("/metrics").text
        assert process.stop() == 0


def test_a_bundle_replaced_while_serving_changes_nothing(bundle: Path, tmp_path: Path, row: dict[str, Any]) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(bundle, folder)
    direct = Direct(quiet(folder))
    before = direct.ask("/predict", row).json()["predictions"][0]["probabilities"]
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"\0")
    assert direct.ask("/predict", row).json()["predictions"][0]["probabilities"] == before
    direct.close()


def test_ready_soon_and_small(bundle: Path) -> None:
    """No timing: only that the process is small and imported nothing of what learns."""
    with Process(bundle) as process:
        status = Path(f"/proc/{process.process.pid}/status").read_text()
        megabytes = int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]
        assert megabytes < 130
        mapped = Path(f"/proc/{process.process.pid}/maps").read_text()
        assert not [name for name in ("/pandas/", "/sklearn/", "/scipy/", "/pyarrow/") if name in mapped]
