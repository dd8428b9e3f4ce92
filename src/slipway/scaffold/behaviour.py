"""How a model of this table must behave: what the data shows clearly, and the proposed model does too.

A test that the first model does not pass would say nothing but that a baseline is a baseline; so the proposed model is
fitted to the training rows, and what it does not do is reported instead of written.
"""

from __future__ import annotations

import runpy
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slipway.contract import Array, Column
from slipway.model.predictor import Predictions
from slipway.scaffold.columns import listed
from slipway.scaffold.evidence import Evidence

if TYPE_CHECKING:
    import pandas as pd

QUANTILES = (0.75, 0.9, 0.5, 0.97)  # of a class's own values, away from the rest: the first that is clear
CLEAR = 0.1  # by so much the most probable class must be ahead of the second
LEAST_CORRELATION, MOST_DIRECTIONS = 0.3, 3
MOST_DECIMALS = 3
LEAST_SHARE = 0.05  # of the rows: a rarer category stands for nothing
WORDS = 6
Row = dict[str, Any]


@dataclass(frozen=True)
class Direction:
    """A feature that, raised by `step`, raises (sign 1) or lowers (-1) the probability of a class, or the number."""

    label: str | bool | None
    feature: str
    step: float
    sign: int
    evidence: str


@dataclass(frozen=True)
class Behaviour:
    """What the tests in `tests/model` are made from.

    cases: an extreme row of each class; of a regression one with the name "low" and one with "high". optional: features
    that may be missing in them without another answer. rounding: half of the last recorded digit, by feature. unlike:
    what the data shows and the proposed model does not do.
    """

    cases: dict[str | bool, Row]
    optional: tuple[str, ...]
    rounding: dict[str, float]
    directions: tuple[Direction, ...]
    spread: float
    unlike: tuple[tuple[str, str], ...]


class _Fitted:
    """The proposed model, fitted to the training rows."""

    def __init__(self, evidence: Evidence, code: str) -> None:
        from threadpoolctl import threadpool_limits

        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch, "model.py")
            path.write_text(code, "utf-8")
            self._estimator = runpy.run_path(str(path))["build"]()
        self._row, self._goal = evidence.proposal.row, evidence.proposal.goal
        self.truth = self._goal.encode(evidence.train[self._goal.column.name])
        with warnings.catch_warnings(), threadpool_limits(limits=1):
            warnings.simplefilter("ignore")
            self._estimator.fit(self._frame(evidence.train), self.truth)

    def _frame(self, rows: pd.DataFrame | Sequence[Row]) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(self._row.arrays(rows))

    def predict(self, rows: pd.DataFrame | Sequence[Row]) -> Predictions:
        frame = self._frame(rows)
        if self._goal.classes:
            probabilities = np.asarray(self._estimator.predict_proba(frame))
            return Predictions(probabilities.argmax(axis=1), probabilities, self._goal.classes)
        return Predictions(np.asarray(self._estimator.predict(frame)), None, ())

    def scores(self, rows: pd.DataFrame | Sequence[Row], label: str | bool | None) -> Array:
        """Give the probability of a class, or the number that is predicted; shape (rows,)."""
        found = self.predict(rows)
        if label is None or found.probabilities is None:
            return found.values
        column: Array = found.probabilities[:, self._goal.classes.index(label)]
        return column


def observe(evidence: Evidence, code: str) -> Behaviour:
    """Find what the data shows clearly and the model that `code` (of `model.py`) builds does too."""
    fitted = _Fitted(evidence, code)
    cases, unlike = _cases(evidence, fitted)
    directions, others = _directions(evidence, fitted)
    optional = [column.name for column in evidence.proposal.row.columns if column.optional]
    spread = 0.0 if evidence.proposal.goal.classes else float(fitted.truth.std())
    return Behaviour(
        cases=cases,
        optional=tuple(name for name in optional if cases and _unmoved(fitted, cases, name, spread)),
        rounding=_rounding(evidence, fitted, spread),
        directions=directions,
        spread=spread,
        unlike=(*unlike, *others),
    )


def _cases(evidence: Evidence, fitted: _Fitted) -> tuple[dict[str | bool, Row], tuple[tuple[str, str], ...]]:
    goal, train = evidence.proposal.goal, evidence.train
    if not goal.classes:
        truth = train[goal.column.name]
        where = (truth <= truth.quantile(0.1), truth >= truth.quantile(0.9))
        low, high = (_extreme(evidence, rows, 0.5) for rows in where)
        less, more = fitted.scores([low, high], None)
        if more - less > fitted.truth.std() / 2:
            return {"low": low, "high": high}, ()
        return {}, ((goal.column.name, "a low and a high case are predicted alike: no test of that is written"),)
    found: dict[str | bool, Row] = {}
    for code, label in enumerate(goal.classes):
        for quantile in QUANTILES:
            row = _extreme(evidence, fitted.truth == code, quantile)
            probabilities = fitted.predict([row]).probabilities
            if probabilities is None:
                continue
            own, others = probabilities[0, code], np.delete(probabilities[0], code)
            if own - others.max() >= CLEAR:
                found[label] = row
                break
    unclear = [str(label) for label in goal.classes if label not in found]
    said = f"no clear case of {listed(unclear)} is predicted as such: no test of that is written"
    return found, ((goal.column.name, said),) if unclear else ()


def _extreme(evidence: Evidence, where: Any, quantile: float) -> Row:
    """Make a row as those that are chosen, and further from the others: values that occur, but nobody's row."""
    inside, outside = evidence.train[where], evidence.train[~where]
    return {
        column.name: _far_value(column, inside[column.name], outside[column.name], quantile)
        for column in evidence.proposal.row.columns
    }


def _far_value(column: Column, inside: pd.Series, outside: pd.Series, quantile: float) -> Any:
    inside, outside = inside.dropna(), outside.dropna()
    if inside.empty:
        return None
    if column.kind == "boolean":
        return bool(inside.mean() >= 0.5 if quantile == QUANTILES[2] else inside.mean() > outside.mean())
    if column.numeric:
        more = inside.median() >= outside.median() if len(outside) else True
        value = inside.quantile(quantile if more else 1 - quantile, interpolation="nearest")
        return round(value) if column.kind == "integer" else float(value)
    if column.kind == "text" and inside.str.contains(" ").mean() > 0.5:
        return " ".join(_own_words(inside, outside))
    here = inside.value_counts(normalize=True)
    there = outside.value_counts(normalize=True).reindex(here.index).fillna(0)
    frequent = here[here >= min(LEAST_SHARE, here.max())]
    return str((frequent / (there[frequent.index] + LEAST_SHARE)).idxmax())


def _own_words(inside: pd.Series, outside: pd.Series) -> list[str]:
    """Choose the words that these texts have more often than the others."""
    here, there = (Counter(word for text in texts for word in set(text.split())) for texts in (inside, outside))
    lift = {word: n / len(inside) - there[word] / max(1, len(outside)) for word, n in here.items()}
    return sorted(lift, key=lambda word: (-lift[word], word))[:WORDS]


def _unmoved(fitted: _Fitted, cases: dict[str | bool, Row], name: str, spread: float) -> bool:
    rows = list(cases.values())
    before, after = fitted.predict(rows), fitted.predict([{**row, name: None} for row in rows])
    if before.probabilities is None or after.probabilities is None:
        return bool(np.abs(before.values - after.values).max() < spread / 4)
    two = np.sort(after.probabilities, axis=1)[:, -2:]
    return bool((before.values == after.values).all() and (two[:, 1] - two[:, 0]).min() > CLEAR / 2)


def _rounding(evidence: Evidence, fitted: _Fitted, spread: float) -> dict[str, float]:
    """Find how exactly numbers were recorded: half of the last digit must not matter."""
    found = {}
    for column in evidence.proposal.row.columns:
        values = evidence.train[column.name].dropna().to_numpy() if column.kind == "number" else np.empty(0)
        exact = [d for d in range(1, MOST_DECIMALS + 1) if np.allclose(values * 10**d, np.round(values * 10**d))]
        if len(values) and exact and 10 ** -exact[0] < 0.1 * values.std():
            found[column.name] = 0.5 * 10 ** -exact[0]
    if not found:
        return {}
    moved = evidence.train.assign(**{name: evidence.train[name] + half for name, half in found.items()})
    before, after = fitted.predict(evidence.train).values, fitted.predict(moved).values
    same = (before == after).mean() if not spread else 1 - np.abs(before - after).max() / spread
    return found if same >= 0.99 else {}


def _directions(evidence: Evidence, fitted: _Fitted) -> tuple[tuple[Direction, ...], tuple[tuple[str, str], ...]]:
    """Find features that go with the target steadily; of those, the ones that the fitted model follows, too."""
    import pandas as pd

    found, unlike = [], []
    labels = evidence.proposal.goal.classes
    asked: list[tuple[str | bool | None, Array]] = [(label, fitted.truth == code) for code, label in enumerate(labels)]
    if len(labels) <= 2:
        asked = asked[1:] or [(None, fitted.truth)]
    for column in (one for one in evidence.proposal.row.columns if one.kind in ("number", "integer")):
        values = evidence.train[column.name].rank()
        every = [(values.corr(pd.Series(truth, values.index).rank()), label) for label, truth in asked]
        rho, label = max(every, key=lambda item: abs(item[0]))
        if abs(rho) >= LEAST_CORRELATION:
            found.append((abs(rho), column, label, 1 if rho > 0 else -1))
    kept = []
    found.sort(key=lambda item: -item[0])
    found.sort(key=lambda item: [other[2] for other in found if other[0] >= item[0]].count(item[2]))  # a class each
    for rho, column, label, sign in found:
        values = evidence.train[column.name]
        step = float(f"{values.quantile(0.75) - values.quantile(0.25) or values.std():.1g}")
        step = max(1, round(step)) if column.kind == "integer" else step
        before = fitted.scores(evidence.train, label).mean()
        after = fitted.scores(evidence.train.assign(**{column.name: values + step}), label).mean()
        what = evidence.proposal.target.column.name if label is None else str(label)
        if sign * (after - before) > 0.01 * (fitted.truth.std() if label is None else 1):
            said = f"rank correlation with {what}: {sign * rho:+.2f}"
            kept.append(Direction(label, column.name, step, sign, said))
        else:
            unlike.append(
                (column.name, f"goes with {what} ({sign * rho:+.2f}), but not in the proposed model: no test")
            )
        if len(kept) == MOST_DIRECTIONS:
            break
    return tuple(kept), tuple(unlike[:MOST_DIRECTIONS])
