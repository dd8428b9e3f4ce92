"""Stage 4: score the candidate on the test set, through the predictor, and draw plots."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slipway.contract import Array, canonical_json, target
from slipway.evaluation import folds, intervals, metrics, plots
from slipway.evaluation.confidence import accuracy_by_confidence, positives_by_probability
from slipway.evaluation.intervals import Bootstrap, Score
from slipway.evaluation.test_set import TestSet
from slipway.fitting.threshold import measure
from slipway.model.bundle import Bundle, read_bundle
from slipway.model.predictor import Predictions, Predictor
from slipway.problem import Problem
from slipway.problem.files import BACKTEST, CLASSES, CONFIDENCE, METRICS, POSITIVES, SLICES, TEST, TRAIN
from slipway.problem.params import Decision, Evaluate, Params

MAX_PLOTTED = 10_000  # rows
MAX_SHUFFLED = 20_000  # rows


def evaluate(problem: Problem, params: Evaluate, bundle: Path, table: Path, out: Path) -> dict[str, Score]:
    """Score the bundle on the test set; write metrics, slices, plots and their data to `out`; return the scores."""
    predictor = Predictor.load(bundle)
    test_set = TestSet(problem, table / TEST)
    bootstrap = Bootstrap(params.bootstrap, params.confidence)
    predictions = test_set.predictions(predictor)
    statistics = test_set.statistics(predictions)
    scores = intervals.evaluate(test_set.target, statistics, bootstrap)
    slices = test_set.score_slices(predictions, params.slices, bootstrap)
    importance = permutation_importance(predictor, test_set, params.importance_repeats)
    out.mkdir(parents=True, exist_ok=True)
    (out / METRICS).write_bytes(canonical_json({name: score.as_json() for name, score in scores.items()}))
    (out / SLICES).write_bytes(canonical_json(slices))
    (out / CLASSES).write_bytes(canonical_json(test_set.classes()))
    _write_csv(out / "importance.csv", importance)
    headline = metrics.headlines(test_set.target)[0]
    _write_csv(out / "slices.csv", [{"slice": s["slice"], "score": s["scores"][headline]["value"]} for s in slices])
    plots.importance(out / "importance.svg", importance, headline)
    plots.slices(out / "slices.svg", slices, headline, scores[headline].value)
    if test_set.target.classes:
        _draw_classification(out, test_set, predictions)
        _draw_decision(out, test_set, predictions, predictor.bundle)
    else:
        _write_csv(out / "predicted.csv", _sample(test_set.truth, predictions.values))
        plots.predicted(out / "predicted.svg", test_set.truth, predictions.values, test_set.target.column)
    return scores


def score_windows(problem: Problem, params: Params, bundle: Path, table: Path, out: Path) -> None:
    """Score the estimator in windows of the training rows (see `folds.backtest`); write and draw it."""
    decision = read_bundle(bundle).manifest.decision
    windows = folds.backtest(problem, params, pd.read_parquet(table / TRAIN), decision)
    (out / BACKTEST).write_bytes(canonical_json(windows))
    headline = metrics.headlines(target(problem))[0]
    plots.backtest(out / "backtest.svg", windows, headline)


def permutation_importance(predictor: Predictor, test_set: TestSet, repeats: int) -> list[dict[str, Any]]:
    """Measure the drop of the headline score when one feature is shuffled (Breiman 2001), largest first."""
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(test_set.truth))[:MAX_SHUFFLED]
    arrays = {name: values[rows] for name, values in predictor.contract.arrays(test_set.table).items()}
    truth = test_set.truth[rows]

    def score(changed: Mapping[str, Array]) -> float:
        predictions = predictor.predict_arrays(changed)
        one_group = np.zeros(len(rows), dtype=int)
        table = metrics.statistics(test_set.target, truth, predictions, one_group, ranked=False)
        return float(metrics.scores(test_set.target, table[0])[metrics.headlines(test_set.target)[0]])

    base = score(arrays)
    found = []
    for name, values in arrays.items():
        drops = [base - score({**arrays, name: rng.permutation(values)}) for _ in range(repeats)]
        found.append({"feature": name, "importance": float(np.mean(drops)), "deviation": float(np.std(drops))})
    return sorted(found, key=lambda item: -item["importance"])


def _draw_classification(out: Path, test_set: TestSet, predictions: Predictions) -> None:
    classes = test_set.target.classes
    names = np.array([str(label) for label in classes], dtype=object)
    _write_csv(out / "confusion.csv", _sample(names[test_set.truth], names[predictions.values]))
    confusion = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(confusion, (test_set.truth, predictions.values), 1)
    plots.confusion(out / "confusion.svg", confusion, list(names))
    if predictions.probabilities is not None:
        curve = metrics.calibration(test_set.target, test_set.truth, predictions.probabilities)
        _write_csv(out / "calibration.csv", curve)
        plots.calibration(out / "calibration.svg", curve)
        for name, by_bin in ((CONFIDENCE, accuracy_by_confidence), (POSITIVES, positives_by_probability)):
            (out / name).write_bytes(canonical_json(by_bin(test_set.truth, predictions, test_set.groups)))


def _draw_decision(out: Path, test_set: TestSet, predictions: Predictions, bundle: Bundle) -> None:
    """Draw the criterion of the threshold over thresholds: in cross-validation, and on the test set."""
    decision = bundle.manifest.decision
    if decision is None or predictions.probabilities is None:
        return
    positive = test_set.target.classes.index(decision.positive)
    asked = Decision.model_validate(decision.model_dump(exclude={"threshold"}))
    thresholds, chosen_by = np.array(bundle.reference["decision"]).T
    on_test = measure(asked, test_set.truth == positive, predictions.probabilities[:, positive], thresholds)
    plots.decision(out / "decision.svg", decision, thresholds, {"cross-validation": chosen_by, "test set": on_test})


def _sample(actual: Array, predicted: Array) -> dict[str, Array]:
    """Give truth and prediction of at most MAX_PLOTTED rows, as DVC's plots read every row of their file."""
    return {"actual": actual[:MAX_PLOTTED], "predicted": predicted[:MAX_PLOTTED]}


def _write_csv(path: Path, table: Any) -> None:
    """Write rows, or columns by name; without rows a header is left, which DVC's plots need."""
    pd.DataFrame(table if len(table) else {"empty": []}).to_csv(path, index=False, lineterminator="\n")
