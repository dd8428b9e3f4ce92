"""A run that kills its process at a call of the model: python killed.py INPUT OUTPUT BUNDLE CALL [resume]

A part of 100 rows is one call.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from batch.conftest import During, run

if __name__ == "__main__":
    given, output, bundle, call, *resume = sys.argv[1:]
    killed = During(Path(bundle), lambda: os.kill(os.getpid(), signal.SIGKILL), int(call))
    run(given, output, killed, resume=bool(resume))
