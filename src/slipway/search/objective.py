"""One trial: draw arguments, then fit and score the estimator fold by fold within the training rows."""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
import pandas as pd

from slipway.contract import canonical_json
from slipway.evaluation import metrics
from slipway.evaluation.folds import TrainingRows
from slipway.problem import SlipwayError
from slipway.problem.files import PASSED, TRAIN
from slipway.problem.params import check_arguments
from slipway.stages.train import require_validated
from slipway.workspace import Workspace

ARGUMENTS, ERROR = "arguments", "error"  # of a trial: what `build` was given, and what went wrong
DIGITS = 4  # of a drawn number: more would say nothing, and make params.yaml hard to read
EXAMPLE = """params.yaml: there is no section `search`; for example
search:
  arguments:              # of src/project/model.py: build
    {}: {{float: [0.01, 100], log: true}}
  trials: 50"""


class Objective:
    """Gives the mean of the folds' scores for the arguments that a trial draws."""

    def __init__(self, at: Workspace) -> None:
        """Raises SlipwayError if `search` is missing or does not fit to `build`, or no table passed validation."""
        build, self._params = at.problem.build, at.params
        if at.params.search is None:
            raise SlipwayError(EXAMPLE.format(next(iter(inspect.signature(build).parameters), "argument")))
        self.search = at.params.search
        self.metric = self.search.metric or next(iter(at.params.gate.thresholds))
        for name, values in self.search.arguments.items():
            for value in values.examples:
                check_arguments(build, {**at.params.model, name: value}, "params.yaml: search.arguments")
        require_validated(at.table / TRAIN, at.validation / PASSED)
        self._rows = TrainingRows(at.problem, pd.read_parquet(at.table / TRAIN))
        self._folds = list(self._rows.folds(at.params, self.search.folds, "search.folds"))
        self.study = f"{at.problem.name}-{self._digest(at)[:12]}"
        self.seed = at.params.train.seed
        defaults = {name: one.default for name, one in inspect.signature(build).parameters.items()}
        given = {**defaults, **at.params.model}
        self.present = {name: given[name] for name in self.search.arguments if name in given}

    def _digest(self, at: Workspace) -> str:
        """Compute the digest of all that the scores depend on: a change of data, code or parameters begins a study."""
        functions = filter(None, (at.problem.build, at.problem.features, *at.target.own.values()))
        content = {
            "search": [self.metric, self.search.model_dump(include={"arguments", "folds"})],
            "model": {name: value for name, value in at.params.model.items() if name not in self.search.arguments},
            "params": at.params.model_dump(include={"prepare", "train"}),
            "rows": hashlib.sha256((at.table / TRAIN).read_bytes()).hexdigest(),
            "code": [Path(inspect.getsourcefile(inspect.unwrap(one)) or "").read_text("utf-8") for one in functions],
        }
        return hashlib.sha256(canonical_json(content)).hexdigest()

    def __call__(self, trial: optuna.Trial) -> float:
        """Score the arguments that the trial draws. Raises the errors of the project's estimator."""
        arguments = self._draw(trial)
        trial.set_user_attr(ARGUMENTS, arguments)

        def told(mean: float, folds: int) -> None:
            trial.report(mean, folds)
            if folds < len(self._folds) and trial.should_prune():
                raise optuna.TrialPruned

        try:
            return self.score(arguments, told)
        except optuna.TrialPruned:
            raise
        except Exception as error:
            trial.set_user_attr(ERROR, " ".join(f"{type(error).__name__}: {error}".split()))
            raise

    def _draw(self, trial: optuna.Trial) -> dict[str, Any]:
        drawn: dict[str, Any] = {}
        for name, one in self.search.arguments.items():
            if one.float_:
                value = float(f"{trial.suggest_float(name, *one.float_, log=one.log):.{DIGITS}g}")
                drawn[name] = min(max(value, one.float_[0]), one.float_[1])
            elif one.int_:
                drawn[name] = trial.suggest_int(name, *one.int_, step=one.step, log=one.log)
            else:
                drawn[name] = trial.suggest_categorical(name, one.examples)
        return drawn

    def score(self, arguments: Mapping[str, Any], told: Callable[[float, int], None] | None = None) -> float:
        """Give the mean of the folds' scores. told: after each fold, of the mean so far and the number of folds."""
        params = self._params.model_copy(update={"model": {**self._params.model, **arguments}})
        scores: list[float] = []
        for fold in self._folds:
            table = self._rows.statistics(params, fold, self._rows.decision(params, fold))
            found = float(metrics.scores(self._rows.target, table.sum(axis=0)).get(self.metric, math.nan))
            if not math.isfinite(found):
                raise SlipwayError(f"{self.metric} cannot be computed: {fold.place}")
            scores.append(found)
            if told:
                told(sum(scores) / len(scores), len(scores))
        return sum(scores) / len(scores)
