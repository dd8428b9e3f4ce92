"""A run that kills its process while it predicts: python killed.py INPUT OUTPUT BUNDLE CALL [resume]"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from batch.conftest import run
from slipway.batch import BundleScorer
from slipway.batch.scorers import Scored
from slipway.contract import Array


class Killed(BundleScorer):
    """Kills its process at the call of that number; a part of 100 rows is one call."""

    def __init__(self, bundle: Path, call: int) -> None:
        super().__init__(bundle)
        self._left = call

    def score(self, arrays: Mapping[str, Array]) -> Scored:
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().score(arrays)


if __name__ == "__main__":
    given, output, bundle, call, *resume = sys.argv[1:]
    run(given, output, Killed(Path(bundle), int(call)), resume=bool(resume))
