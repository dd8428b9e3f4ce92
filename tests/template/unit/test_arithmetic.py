import os
import platform
import subprocess
import sys

import pytest

from slipway.cli import arithmetic

SHOW = """
from slipway.cli.arithmetic import fix_arithmetic
fix_arithmetic()
import numpy, scipy.linalg, threadpoolctl
print({lib["architecture"] for lib in threadpoolctl.threadpool_info() if lib["internal_api"] == "openblas"})
"""


def shown(**changes: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OPENBLAS", "NPY"))}
    done = subprocess.run(
        [sys.executable, "-c", SHOW], env=environment | changes, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


HERE = arithmetic.KERNELS.get(platform.machine().lower())  # none is chosen on a Mac with an ARM processor
OTHER = {"Haswell": "Nehalem", "ARMV8": "CORTEXA57"}


def test_numpy_and_scipy_use_kernels_that_every_processor_has():
    assert HERE is None or shown() == str({HERE})


def test_what_the_environment_chooses_is_left_alone():
    assert HERE is None or shown(OPENBLAS_CORETYPE=OTHER[HERE]).lower() == str({OTHER[HERE]}).lower()


def test_on_a_processor_without_such_kernels_nothing_is_chosen(monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    arithmetic.fix_arithmetic()
    assert os.environ == {}


@pytest.mark.parametrize("command", ["run", "prepare", "validate", "train", "evaluate", "gate"])
def test_every_command_that_computes_chooses_before_numpy_is_imported(command, tmp_path):
    code = (
        "import sys, slipway.cli.command as command\n"
        "command.fix_arithmetic = lambda: sys.exit(5 if 'numpy' not in sys.modules else 6)\n"
        "from slipway.cli import main\n"
        f"main(['--root', {str(tmp_path)!r}, {command!r}])\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 5


def test_the_size_of_the_processors_cache_does_not_matter(monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(arithmetic, "_has_them", lambda machine: True)
    arithmetic.fix_arithmetic()
    assert os.environ["OPENBLAS_L2_SIZE"] == "512"


def test_an_older_processor_keeps_its_own(monkeypatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.setattr(arithmetic, "_has_them", lambda machine: False)
    arithmetic.fix_arithmetic()
    assert "OPENBLAS_CORETYPE" not in os.environ
