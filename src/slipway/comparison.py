"""Two models on the same test set: paired differences of their scores, also by slice, as the gate computes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from slipway.champion import BUNDLE, fetch_champion, history
from slipway.evaluation import intervals, metrics
from slipway.evaluation.intervals import Bootstrap, Score, direction
from slipway.evaluation.test_set import TestSet
from slipway.gate import challenge
from slipway.model.bundle import MANIFEST, read_bundle
from slipway.model.predictor import Predictor
from slipway.problem import SlipwayError
from slipway.problem.files import TEST
from slipway.versioning import CHAMPION, fetch_at
from slipway.workspace import Workspace


@dataclass(frozen=True)
class Difference:
    """A score of two models, the first's minus the second's with its paired interval, and what that says."""

    name: str
    a: float
    b: float
    difference: Score
    words: str

    @classmethod
    def of(cls, name: str, score: intervals.Difference) -> Difference:
        """Describe a difference of the gate's."""
        equal = score.value == score.low == score.high == 0
        words = "equal" if equal else direction(name, score.low, score.high) or "may be chance"
        return cls(name, score.a, score.b, Score(score.value, score.low, score.high), words)


@dataclass(frozen=True)
class Comparison:
    """Two models on the test set.

    gate: the gate's reason for the first against the second. slices: by name, with rows and the headline score.
    calibration: of both, see `metrics.paired_calibration`; empty if one has no probabilities.
    """

    rows: int
    groups: int
    gate: str
    scores: list[Difference]
    slices: list[tuple[str, int, Difference]]
    calibration: list[dict[str, Any]]


def load(workspace: Workspace, version: str) -> Predictor:
    """Load the candidate, the champion or an earlier champion by its version. Raises SlipwayError; see `found`."""
    with found(workspace, version) as (bundle, digest):
        return Predictor.load(bundle, expected=digest)


@contextmanager
def found(workspace: Workspace, version: str) -> Iterator[tuple[Path, str | None]]:
    """Give bundle and digest of the candidate, the champion or an earlier champion; the last two fetched with DVC.

    Raises SlipwayError if no commit here has released it, or DVC's remote does not have it any more.
    """
    if (workspace.bundle / MANIFEST).exists() and read_bundle(workspace.bundle).version == version:
        yield workspace.bundle, None
        return
    now = fetch_champion(workspace.root)
    if now and now.version == version:
        yield workspace.champion / BUNDLE, now.digest
        return
    released = history(workspace.root, revisions=("--all",), unreadable=[])
    release = next((one for one in released if one.decision.version == version), None)
    if release is None:
        raise SlipwayError(f"{version}: no commit here has released it, and it is not the candidate")
    with TemporaryDirectory() as name:
        folder = Path(name) / "champion"
        fetch_at(workspace.root, CHAMPION, release.commit, folder)
        yield folder / BUNDLE, release.decision.digest


def compare(workspace: Workspace, a: Predictor, b: Predictor) -> Comparison:
    """Compare two models on the rows of the last run's test set; both are asked now.

    Raises SlipwayError if they are the same, predict other classes, one refuses the rows, or may have been trained on
    some of them.
    """
    if a.bundle.digest == b.bundle.digest:
        raise SlipwayError(f"both are {a.version}: there is nothing to compare")
    params = workspace.params
    test_set = TestSet(workspace.problem, workspace.table / TEST)
    bootstrap = Bootstrap(params.evaluate.bootstrap, params.evaluate.confidence)
    statistics = test_set.statistics(test_set.predictions(a))
    reason, compared = challenge(params.gate, test_set, a, statistics, b, bootstrap)
    if not compared:
        raise SlipwayError(f"{a.version} and {b.version} cannot be compared: {reason.detail}")
    slices, headline = params.evaluate.slices, metrics.headlines(test_set.target)[0]
    rows = {name: int(where.sum()) for name, where in test_set.slices(slices).items()}
    by_slice = test_set.compare_slices(a, b, slices, bootstrap)
    return Comparison(
        len(test_set.truth),
        len(statistics),
        reason.detail,
        [Difference.of(name, score) for name, score in compared.items()],
        [(name, rows[name], Difference.of(headline, score)) for name, score in by_slice.items()],
        test_set.compare_calibration(a, b),
    )
