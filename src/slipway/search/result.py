"""The outputs of a search: its plots and numbers in `build/search`, and the change of `params.yaml`."""

from __future__ import annotations

from difflib import unified_diff
from itertools import accumulate
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from slipway.contract import canonical_json
from slipway.evaluation import plots
from slipway.evaluation.metrics import lower_is_better
from slipway.problem.editing import edited, write_whole
from slipway.problem.files import FOUND
from slipway.search import Found
from slipway.versioning import require_committed
from slipway.workspace import Workspace

PARAMS = "params.yaml"


def write(at: Workspace, found: Found, trials: list[FrozenTrial]) -> list[Path]:
    """Write numbers and plots to `build/search`; give the files."""
    values = {one.number: float(one.value or 0) for one in trials if one.state == TrialState.COMPLETE}
    best = dict(zip(values, accumulate(values.values(), min if lower_is_better(found.metric) else max), strict=True))
    files = [at.search / name for name in (FOUND, "search-history.svg", "search-importance.svg")]
    files[0].write_bytes(canonical_json(found._asdict()))
    plots.search_history(files[1], values, best, found.metric)
    plots.search_importance(files[2], found.importance, found.metric)
    return files


def proposed(root: Path, found: Found) -> tuple[str, str]:
    """Give `params.yaml` with the arguments that were found, and how it differs from the present one; comments stay."""

    def change(content: Any) -> None:
        content["model"] = content["model"] or {}
        content["model"].update(found.arguments)

    before = (root / PARAMS).read_text("utf-8")
    after = edited(before, change)
    return after, "".join(unified_diff(before.splitlines(True), after.splitlines(True), PARAMS, PARAMS, n=1))


def apply(root: Path, text: str) -> None:
    """Write `params.yaml`, all or nothing. Raises SlipwayError if it has changes that are not committed."""
    require_committed(root, PARAMS)
    write_whole(root / PARAMS, text)
