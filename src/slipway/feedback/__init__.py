"""The loop back from serving to learning: predictions kept, joined with the truth that came later.

It gives live scores of champion and shadow, and rows to learn from.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.batch import Table
from slipway.batch.places import Place
from slipway.champion import BUNDLE, fetch_champion, history, require_released
from slipway.contract import canonical_json
from slipway.evaluation.intervals import Bootstrap
from slipway.evaluation.live import CHAMPION, ID, ORIGIN, SHADOW, UNUSABLE, VERSION, score, versions
from slipway.evaluation.test_set import TestSet
from slipway.feedback.joining import Views, join
from slipway.feedback.kept import predictions
from slipway.feedback.learning import is_own_answer, new_rows, write_part
from slipway.feedback.listing import RULES, Listing
from slipway.feedback.truths import from_feedback, from_table, one_each
from slipway.gate.changes import drifts
from slipway.model.bundle import read_bundle
from slipway.model.predictor import label_name
from slipway.problem import SlipwayError, close_names
from slipway.versioning import DATA, fetch
from slipway.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RULES", "label"]


def label(
    workspace: Workspace,
    truth: str | None,
    kept: str,
    *,
    on: Sequence[str] = (),
    learn: bool = True,
    trusted: bool = False,
) -> dict[str, Any]:
    """Join truths with kept predictions; write `build/live.json`, the joined rows, the list of the others, new data.

    truth: a table; None: the feedback that was kept. kept: the folder or URL of SLIPWAY_PREDICTIONS. on: the columns of
    the row that are the key, instead of the prediction's id. learn: whether to write new data. trusted: even if the
    model was right each time. Gives the content of `build/live.json`.
    Raises SlipwayError if there is no champion, nothing to join, or a file that cannot be read.
    """
    champion = require_released(fetch_champion(workspace.root))
    views = Views(workspace.problem, workspace.record, workspace.features, workspace.target)
    if strange := [name for name in on if name not in views.features.names]:
        raise SlipwayError(f"--on {strange[0]}: no column of the row; {close_names(strange[0], views.features.names)}")
    workspace.live.unlink(missing_ok=True)
    listing = Listing(workspace.live_rows.with_name("listed.csv"))
    try:
        if truth is None:
            told = from_feedback(kept, views.target.column, listing)
        else:
            told = from_table(Table.open(truth), views.problem, views.record, on, listing)
        told = one_each(told, views.problem.target, listing)
        released = {one.decision.version for one in history(workspace.root, revisions=("--all",), unreadable=[])}
        table = join(predictions(kept), told, views, on, released, listing)
        if table.empty:
            raise SlipwayError(f"no prediction is kept for any of {len(told):,} truths; {listing.path} lists them")
        _list_rows(table, champion.version, listing)
    finally:
        listing.close()
    table.to_parquet(workspace.live_rows, index=False)
    content = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "champion": champion.version,
        "truth": Place.of(truth).shown if truth else "feedback",
        "joined": len(table),
        "counts": {rule: listing.counts[rule] for rule in RULES if listing.counts[rule]},
        "examples": listing.examples,
        "listed": str(listing.path.relative_to(workspace.root)),
        "models": _scores(workspace, table, champion.version),
        "learn": _learn(workspace, table, on, learn, trusted),
    }
    workspace.live.write_bytes(canonical_json(content))
    return content


def _list_rows(table: pd.DataFrame, champion: str, listing: Listing) -> None:
    """List the joined rows to which a rule applies."""
    for rule, where, detail in (
        ("earlier version", table[VERSION] != champion, VERSION),
        ("other classes", table[f"{CHAMPION}.prediction"].isna(), VERSION),
        ("unusable", table[UNUSABLE] != "", UNUSABLE),
    ):
        listing.add(rule, table[ID][where], table[ORIGIN][where], table[detail][where])


def _scores(workspace: Workspace, table: pd.DataFrame, champion: str) -> list[dict[str, Any]]:
    """Score each version on its own rows: as the one that served, and as a shadow."""
    evaluate, found = workspace.params.evaluate, []
    bootstrap = Bootstrap(evaluate.bootstrap, evaluate.confidence)
    for who in (CHAMPION, SHADOW):
        named = versions(table, who).where(table[f"{who}.prediction"].notna())
        for version in sorted(named.dropna().unique(), key=lambda one: one != champion):
            test_set = TestSet(workspace.problem, table[named == version].reset_index(drop=True))
            role = "shadow" if who == SHADOW else "champion" if version == champion else "earlier version"
            found.append({"version": version, "role": role, **score(test_set, who, evaluate.slices, bootstrap)})
    return found


def _learn(workspace: Workspace, table: pd.DataFrame, on: Sequence[str], learn: bool, trusted: bool) -> dict[str, Any]:
    """Write the new rows to learn from, and say how they differ from those that the champion was trained on."""
    content: dict[str, Any] = {"rows": 0, "part": None, "own_answers": is_own_answer(table, workspace.target)}
    if not learn or (content["own_answers"] and not trusted):
        return content
    if (workspace.root / DATA).exists():
        fetch(workspace.root, DATA)  # a new file must not be all that there is
    rows = new_rows(table, workspace.data, on)
    if rows.empty:
        return content
    part: Path = write_part(rows, workspace.record, workspace.root)
    bundle = read_bundle(workspace.champion / BUNDLE)
    before = bundle.reference["target"] if workspace.target.classes else {"labels": [], "shares": []}
    truth = workspace.target.encode(rows[workspace.problem.target])
    shares = {label_name(label): float((truth == n).mean()) for n, label in enumerate(workspace.target.classes)}
    return content | {
        "rows": len(rows),
        "part": str(part.relative_to(workspace.root)),
        "drift": {one.name: {"psi": one.psi, "limit": one.limit} for one in drifts(workspace.problem, bundle, rows)},
        "shares": shares,
        "shares_before": dict(zip(before["labels"], before["shares"], strict=True)),
    }
