"""What a search hands on: its plots and numbers in `build/search`, and the change of `params.yaml`."""

from __future__ import annotations

import io
from difflib import unified_diff
from itertools import accumulate
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from slipway.contract import canonical_json
from slipway.evaluation import plots
from slipway.evaluation.metrics import lower_is_better
from slipway.problem import SlipwayError
from slipway.problem.editing import editor
from slipway.problem.files import FOUND
from slipway.search import Found
from slipway.versioning import changed_files
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
    before, written, yaml = (root / PARAMS).read_text("utf-8"), io.StringIO(), editor()
    content = yaml.load(before)
    content["model"] = content["model"] or {}
    content["model"].update(found.arguments)
    yaml.dump(content, written)
    after = written.getvalue()
    return after, "".join(unified_diff(before.splitlines(True), after.splitlines(True), PARAMS, PARAMS, n=1))


def require_committed(root: Path) -> None:
    """Refuse to change a `params.yaml` that has changes of its own."""
    if PARAMS in changed_files(root):
        raise SlipwayError(f"{PARAMS} differs from the last commit: commit it (git commit {PARAMS}), then --apply")


def apply(root: Path, text: str) -> None:
    """Write `params.yaml`, all or nothing."""
    require_committed(root)
    temporary = root / f".{PARAMS}"
    temporary.write_text(text, "utf-8")
    temporary.replace(root / PARAMS)
