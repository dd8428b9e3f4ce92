"""Print how many mutants of each module the tests noticed, from what `mutmut run` left in mutants/ (make mutants).

Untested: no selected test calls the function. `mutmut show NAME` shows a mutant of `mutmut results`.
"""

from __future__ import annotations

import json
from pathlib import Path

SURVIVED, UNTESTED = 0, 33  # mutmut's exit codes; None: not run yet; any other: noticed

print(f"{'':40} noticed  survived  untested")
for path in sorted(Path("mutants/src").rglob("*.meta")):
    codes = [code for code in json.loads(path.read_bytes())["exit_code_by_key"].values() if code is not None]
    if codes:
        survived, untested = codes.count(SURVIVED), codes.count(UNTESTED)
        noticed = len(codes) - survived - untested
        name = path.relative_to("mutants/src").as_posix().removesuffix(".meta")
        share = noticed / ((noticed + survived) or 1)
        print(f"{name:40} {noticed:5} {share:5.0%} {survived:5} {untested:9}")
