"""The server needs what `requirements.txt` says, and nothing of what learns."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.running import Process

ROOT = Path(__file__).parents[3]
HEAVY = ("pandas", "sklearn", "mlflow", "dvc", "great_expectations", "skops", "pyarrow", "matplotlib")


def test_it_serves_in_an_environment_of_its_own_dependencies(bundle: Path, tmp_path: Path, row: dict[str, Any]) -> None:
    uv = Path(sys.executable).parent / "uv"
    if not uv.exists() and not shutil.which("uv"):
        pytest.skip("needs uv")
    python = tmp_path / "lean" / "bin" / "python"
    run = [str(uv) if uv.exists() else "uv"]
    subprocess.run([*run, "venv", "--quiet", "--python", sys.executable, str(tmp_path / "lean")], check=True)
    subprocess.run(
        [
            *run,
            "pip",
            "install",
            "--quiet",
            "--python",
            str(python),
            "--require-hashes",
            "-r",
            str(ROOT / "requirements.txt"),
        ],
        check=True,
    )
    site = next((tmp_path / "lean" / "lib").glob("python*/site-packages"))
    for name in ("slipway", "project"):
        shutil.copytree(ROOT / "src" / name, site / name)
    (site / "slipway-0.1.0.dist-info").mkdir()
    (site / "slipway-0.1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: slipway\nVersion: 0.1.0\n")
    for name in HEAVY:
        assert not (site / name).exists()
    with Process(bundle, python=str(python)) as process:
        assert httpx.post(f"{process.url}/predict", json=row).status_code == 200
        arrow = {"content-type": "application/vnd.apache.arrow.stream"}
        refused = httpx.post(f"{process.url}/predict", content=b"x", headers=arrow)
        assert (refused.status_code, "slipway[arrow]" in refused.json()["detail"]) == (415, True)
        assert process.stop() == 0


def test_a_skops_bundle_without_its_packages_says_what_to_install(made: dict[str, Path], tmp_path: Path) -> None:
    hidden = tmp_path / "sitecustomize.py"
    hidden.write_text("import sys\nsys.modules['skops'] = None\nsys.modules['pandas'] = None\n")
    starter = tmp_path / "python"
    starter.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    starter.chmod(0o755)
    with Process(made["skops"], python=str(starter), until="refused") as process:
        assert "slipway[skops]" in httpx.get(f"{process.url}/readyz").json()["reason"]
