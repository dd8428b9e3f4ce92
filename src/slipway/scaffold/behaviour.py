"""How a model of this table must behave: as the data shows, and as the proposed model does on the training rows.

A test that the first model does not pass would only show that it is a baseline: that is reported instead of written.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from slipway.contract import Array, Label
from slipway.scaffold.columns import Described, listed
from slipway.scaffold.evidence import Evidence

QUANTILE = 0.75  # of the values of a class, away from the other classes
LEAST_SHARE = 0.05  # of the rows: a rarer category does not stand for a class
WORDS = 6
CLEAR = 0.1  # by so much the most probable class must be ahead of the second
LEAST_CORRELATION, MOST_DIRECTIONS = 0.3, 3
MOST_DECIMALS = 3
Row = dict[str, Any]
Features = Callable[[dict[str, Array]], dict[str, Array]]
Findings = tuple[tuple[str, str], ...]


class Direction(NamedTuple):
    """A feature that, raised by `step`, raises (sign 1) or lowers (-1) the probability of a class, or the number."""

    label: Label | None
    feature: str
    step: float
    sign: int
    evidence: str


@dataclass(frozen=True)
class Behaviour:
    """The content of the tests in `tests/model`.

    cases: a clear row of each class; of a regression one named "low" and one named "high". optional: features that may
    be missing in them. rounding: half of the last recorded digit, by feature. spread: standard deviation of a number
    that is predicted, 0 for classes. unlike: what the data shows, but not the model.
    """

    cases: dict[Label, Row]
    optional: tuple[str, ...]
    rounding: dict[str, float]
    directions: tuple[Direction, ...]
    spread: float
    unlike: Findings


class _Fitted:
    """The proposed model, fitted to the training rows."""

    def __init__(self, evidence: Evidence, build: Callable[[], Any], features: Features | None) -> None:
        self._estimator, self._proposal, self._features = build(), evidence.proposal, features
        self.truth = self._proposal.goal.encode(evidence.train[self._proposal.goal.column.name])
        self.spread = 0.0 if self._proposal.goal.classes else float(self.truth.std())
        with warnings.catch_warnings(), threadpool_limits(limits=1):
            warnings.simplefilter("ignore")
            self._estimator.fit(self._frame(evidence.train), self.truth)

    def _frame(self, rows: pd.DataFrame | Sequence[Row]) -> pd.DataFrame:
        arrays = self._proposal.row.arrays(rows)
        return pd.DataFrame(self._features(arrays) if self._features else arrays)

    def scores(self, rows: pd.DataFrame | Sequence[Row]) -> Array:
        """Give the probability of each class, shape (rows, classes), or the number predicted, shape (rows, 1)."""
        if self._proposal.goal.classes:
            return np.asarray(self._estimator.predict_proba(self._frame(rows)))
        return np.asarray(self._estimator.predict(self._frame(rows)))[:, np.newaxis]


def observe(evidence: Evidence, build: Callable[[], Any], features: Features | None = None) -> Behaviour:
    """Find behaviour that both the data and the model show. build, features: those of `model.py` and `features.py`."""
    fitted = _Fitted(evidence, build, features)
    cases, unclear = _cases(evidence, fitted)
    directions, others = _directions(evidence, fitted)
    optional = [column.name for column in evidence.proposal.row.columns if column.optional]
    return Behaviour(
        cases=cases,
        optional=tuple(name for name in optional if cases and _unmoved(fitted, list(cases.values()), name)),
        rounding=_rounding(evidence, fitted),
        directions=directions,
        spread=fitted.spread,
        unlike=(*unclear, *others),
    )


def _cases(evidence: Evidence, fitted: _Fitted) -> tuple[dict[Label, Row], Findings]:
    """Find a row of each class that is predicted as such; of a number, a row with a low and one with a high one."""
    goal, truth = evidence.proposal.goal, fitted.truth
    where: dict[Label, Array] = {label: truth == code for code, label in enumerate(goal.classes)}
    if not goal.classes:
        low, high = np.quantile(truth, [0.1, 0.9])
        where = {"low": truth <= low, "high": truth >= high}
    rows = {label: _far_row(evidence, chosen) for label, chosen in where.items()}
    scores = fitted.scores(list(rows.values()))
    if goal.classes:
        others = np.where(np.eye(len(rows), dtype=bool), 0, scores).max(axis=1)
        clear = scores.diagonal() - others >= CLEAR
    else:
        clear = np.repeat(scores[1] - scores[0] > fitted.spread / 2, 2)
    unclear = [str(label) for label in compress(rows, ~clear)]
    said = f"no clear case of {listed(unclear)} is predicted as such: no test of that is written"
    return dict(compress(rows.items(), clear)), ((goal.column.name, said),) if unclear else ()


def _far_row(evidence: Evidence, chosen: Array) -> Row:
    """Make a row of values that occur in the chosen rows, each further from those of the other rows than most."""
    inside, outside = evidence.train[chosen], evidence.train[~chosen]
    return {
        one.column.name: _far_value(one, inside[one.column.name].dropna(), outside[one.column.name].dropna())
        for one in evidence.proposal.features
    }


def _far_value(one: Described, inside: pd.Series, outside: pd.Series) -> Any:
    if inside.empty:
        return None
    if one.holds == "words":
        here, there = (Counter(word for text in texts for word in set(text.split())) for texts in (inside, outside))
        lift = {word: n / len(inside) - there[word] / max(1, len(outside)) for word, n in here.items()}
        return " ".join(sorted(lift, key=lambda word: (-lift[word], word))[:WORDS])
    if one.column.kind in ("number", "integer"):
        quantile = QUANTILE if inside.median() >= outside.median() else 1 - QUANTILE
        value = inside.quantile(quantile, interpolation="nearest")
        return round(value) if one.column.kind == "integer" else float(value)
    shares = inside.value_counts(normalize=True)
    elsewhere = outside.value_counts(normalize=True).reindex(shares.index, fill_value=0)
    ratio = shares / (elsewhere + LEAST_SHARE)
    typical = ratio[shares >= min(LEAST_SHARE, shares.max())].idxmax()
    return bool(typical) if one.column.kind == "boolean" else str(typical)


def _unmoved(fitted: _Fitted, rows: list[Row], name: str) -> bool:
    before, after = fitted.scores(rows), fitted.scores([{**row, name: None} for row in rows])
    if fitted.spread:
        return bool(np.abs(before - after).max() < fitted.spread / 4)
    second, first = np.sort(after, axis=1)[:, -2:].T
    return bool((before.argmax(axis=1) == after.argmax(axis=1)).all() and (first - second).min() > CLEAR / 2)


def _rounding(evidence: Evidence, fitted: _Fitted) -> dict[str, float]:
    """Find how exactly numbers were recorded: half of the last digit must not matter."""
    found, train = {}, evidence.train
    for column in evidence.proposal.row.columns:
        values = train[column.name].dropna().to_numpy() if column.kind == "number" else np.empty(0)
        exact = [d for d in range(1, MOST_DECIMALS + 1) if np.allclose(values * 10**d, np.round(values * 10**d))]
        if len(values) and exact and 10 ** -exact[0] < 0.1 * values.std():
            found[column.name] = 0.5 * 10 ** -exact[0]
    before = fitted.scores(train)
    after = fitted.scores(train.assign(**{name: train[name] + half for name, half in found.items()}))
    if fitted.spread:
        return found if np.abs(before - after).max() <= 0.01 * fitted.spread else {}
    return found if (before.argmax(axis=1) == after.argmax(axis=1)).mean() >= 0.99 else {}


def _directions(evidence: Evidence, fitted: _Fitted) -> tuple[tuple[Direction, ...], Findings]:
    """Find features that go with the target steadily; of those, the ones that the fitted model follows, too."""
    train, labels = evidence.train, evidence.proposal.goal.classes
    codes = range(len(labels)) if len(labels) > 2 else [1] if labels else [0]
    found = []
    for column in (one for one in evidence.proposal.row.columns if one.kind in ("number", "integer")):
        ranks = train[column.name].rank()
        truths = {code: pd.Series(fitted.truth == code if labels else fitted.truth, ranks.index) for code in codes}
        rhos = {code: ranks.corr(truth.rank()) for code, truth in truths.items()}
        code, rho = max(rhos.items(), key=lambda one: abs(one[1]))
        if abs(rho) >= LEAST_CORRELATION:
            found.append((rho, code, column))
    kept: list[Direction] = []
    unlike = []
    before = fitted.scores(train).mean(axis=0)
    for rho, code, column in sorted(found, key=lambda one: -abs(one[0])):
        values, sign = train[column.name], 1 if rho > 0 else -1
        step = float(f"{values.quantile(0.75) - values.quantile(0.25) or values.std():.1g}")
        step = max(1, round(step)) if column.kind == "integer" else step
        raised = (values + step).clip(upper=column.maximum)
        after = fitted.scores(train.assign(**{column.name: raised})).mean(axis=0)
        what = str(labels[code]) if labels else evidence.proposal.goal.column.name
        if sign * (after - before)[code] <= 0.01 * (fitted.spread or 1):
            unlike.append((column.name, f"goes with {what} ({rho:+.2f}), but not in the proposed model: no test"))
        else:
            said = f"rank correlation with {what}: {rho:+.2f}"
            kept.append(Direction(labels[code] if labels else None, column.name, step, sign, said))
        if len(kept) == MOST_DIRECTIONS:
            break
    return tuple(kept), tuple(unlike[:MOST_DIRECTIONS])
