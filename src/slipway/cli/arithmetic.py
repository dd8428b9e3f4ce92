"""The same sums, to the last digit, on every processor of a platform."""

from __future__ import annotations

import os
import platform
from pathlib import Path

# Kernels that every processor of the last ten years has. Left alone, OpenBLAS and NumPy choose by the processor, and
# other kernels sum in another order: the same training then gives another model.
KERNELS = {"x86_64": "Haswell", "amd64": "Haswell", "aarch64": "ARMV8"}
NUMPY_BEYOND = "X86_V4 AVX512_ICL AVX512_SPR"  # what NumPy 2.4 and 2.5 use beyond AVX2


def fix_arithmetic() -> None:
    """Choose the kernels of OpenBLAS and NumPy, unless the environment does. Call it before NumPy is imported."""
    machine = platform.machine().lower()
    if machine not in KERNELS or not _has_them(machine):
        return
    os.environ.setdefault("OPENBLAS_CORETYPE", KERNELS[machine])
    if KERNELS[machine] == "Haswell":
        os.environ.setdefault("NPY_DISABLE_CPU_FEATURES", NUMPY_BEYOND)
        # OpenBLAS of NumPy 2.5 and SciPy 1.18 cuts its sums by the size of the cache, too (KiB).
        os.environ.setdefault("OPENBLAS_L2_SIZE", "512")


def _has_them(machine: str) -> bool:
    """Whether the processor has these kernels' instructions; OpenBLAS does not ask, and would crash."""
    try:
        return KERNELS[machine] != "Haswell" or " avx2" in Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return True  # not Linux: such processors are older than the systems that are supported
