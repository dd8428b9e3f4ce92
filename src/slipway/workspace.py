"""A checkout: its paths, its problem and its parameters, checked against each other."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from slipway import contract
from slipway.contract import Contract, Label, Target
from slipway.evaluation import metrics
from slipway.model.predictor import label_name
from slipway.problem import Problem, SlipwayError, close_names, load_problem
from slipway.problem.files import TEST
from slipway.problem.params import Params, Prepare, load_params

TIMES = ("date", "datetime", "number", "integer")  # kinds of columns that order rows in time
VERDICT = {"verdict", "candidate", "champion", "table", "metrics", "comparison", "reasons"}  # in build/verdict.json


class Workspace:
    """The folder that a project lives in. Paths are relative to `root`, as `dvc.yaml` has them."""

    def __init__(self, root: Path = Path()) -> None:
        """root: the project's folder."""
        build = root / "build"
        self.root = root
        self.data = root / "data"
        self.table = build / "table"  # the prepared training rows and test set
        self.validation = build / "validation"  # the report of Great Expectations
        self.bundle = build / "bundle"  # the candidate
        self.evaluation = build / "evaluation"  # the candidate's scores, slices and plots
        self.verdict = build / "verdict.json"  # the gate's
        self.live = build / "live.json"  # live scores, where truth has come
        self.live_rows = build / "live" / "rows.parquet"  # the predictions with their truth
        self.tracked = build / "tracked.json"  # the candidate's run in MLflow
        self.search = build / "search"  # the last search's study, result and plots
        self.champion = root / "champion"  # the bundle that serves, its evaluation, and the decision that released it

    def read(self, path: Path) -> Any:
        """Read JSON that the pipeline wrote. Raises SlipwayError if it is missing or no JSON."""
        try:
            return json.loads(path.read_bytes())
        except FileNotFoundError:
            raise SlipwayError(f"{path}: missing; `slipway run` makes it") from None
        except ValueError as error:
            raise SlipwayError(f"{path}: not JSON ({error}); `slipway run` makes it anew") from None

    def read_verdict(self) -> dict[str, Any]:
        """Read the gate's verdict. Raises SlipwayError if there is none."""
        verdict = self.read(self.verdict)
        if not (isinstance(verdict, dict) and verdict.keys() >= VERDICT):
            raise SlipwayError(f"{self.verdict}: not a verdict; `slipway gate` makes it anew")
        return verdict

    def read_about(self, path: Path, digest: str) -> dict[str, Any]:
        """Read the verdict or the tracked run, if it is there and about the bundle `digest`; else give nothing."""
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) and content.get("candidate") == digest else {}

    def test_set_digest(self) -> str:
        """Compute the digest by which a verdict names the test set."""
        return hashlib.sha256((self.table / TEST).read_bytes()).hexdigest()

    @cached_property
    def problem(self) -> Problem:
        """The problem that the project declares."""
        return load_problem(self.root)

    def require_dependency(self) -> None:
        """Raise SlipwayError if the pipeline would not notice a change of the project's features or scores."""
        if self.problem.features:
            self._require_dependency(self.problem.features, ("train", "evaluate"))
        for function in self.target.own.values():
            self._require_dependency(function, ("evaluate",))

    def _require_dependency(self, function: Callable[..., Any], stages: tuple[str, ...]) -> None:
        import yaml

        path = Path(inspect.getsourcefile(inspect.unwrap(function)) or "").resolve()
        name = path.relative_to(self.root.resolve()).as_posix() if path.is_relative_to(self.root.resolve()) else ""
        pipeline = yaml.safe_load((self.root / "dvc.yaml").read_text("utf-8"))
        lacking = [stage for stage in stages if name not in pipeline["stages"][stage]["deps"]]
        if name and lacking:
            raise SlipwayError(
                f"dvc.yaml: {' and '.join(lacking)} would not notice a change of {name}; add to the deps of each:\n"
                f"      - {name}"
            )

    @cached_property
    def params(self) -> Params:
        """`params.yaml`, checked against the problem. Raises SlipwayError naming the wrong entry."""
        params = load_params(self.root)
        _check_split(self.problem, self.record, params.prepare)
        if params.evaluate.backtest and not params.prepare.by_time:
            raise SlipwayError("params.yaml: evaluate.backtest needs windows of time: prepare.split: time")
        if decision := params.train.decision:
            _check_positive(self.target, decision.positive)
        gate, slices, search = params.gate, params.gate.slice_thresholds, params.search
        fields, known = self.record.names, metrics.names(self.target)
        rates = [f"selection_rate.{label_name(label)}" for label in self.target.classes]
        for place, names, allowed in (
            ("validate.max_missing_of", params.validate_.max_missing_of, fields),
            ("evaluate.slices", params.evaluate.slices, fields),
            ("gate.thresholds", gate.thresholds, known),
            ("gate.champion.metric", [gate.champion.metric], known),
            ("search.metric", [search.metric] if search and search.metric else [], known),
            ("gate.slice_thresholds.metric", [slices.metric] if slices else [], metrics.headlines(self.target)),
            ("gate.fairness.column", [limits.column for limits in gate.fairness], fields),
            ("gate.fairness.metric", [limits.metric for limits in gate.fairness], [*known, *rates]),
        ):
            if unknown := [name for name in names if name not in allowed]:
                raise SlipwayError(
                    f"params.yaml: {place}: {unknown[0]!r} is unknown; {close_names(unknown[0], allowed)}"
                )
        return params

    @cached_property
    def features(self) -> Contract:
        """The model's features."""
        return contract.features(self.problem)

    @cached_property
    def record(self) -> Contract:
        """A row of the data."""
        return contract.record(self.problem)

    @cached_property
    def target(self) -> Target:
        """The target."""
        return contract.target(self.problem)


def _check_positive(target: Target, positive: Label) -> None:
    """Check that a decision threshold is possible: two classes, of which the positive one is one."""
    classes = [str(label) for label in target.classes]
    if len(classes) != 2:
        found = f"has {len(classes)} classes" if classes else "is a number"
        raise SlipwayError(f"params.yaml: train.decision: {target.column.name} {found}; a threshold needs two classes")
    if positive not in target.classes or type(positive) is not type(target.classes[0]):
        raise SlipwayError(
            f"params.yaml: train.decision.positive: {positive!r} is no class of {target.column.name}; "
            f"{close_names(str(positive), classes)}"
        )


def _check_split(problem: Problem, record: Contract, prepare: Prepare) -> None:
    """Refuse a split by time without a time, and a time without a choice of split."""
    if problem.time and record[problem.time].kind not in TIMES:
        raise SlipwayError(
            f"the time {problem.time!r} is declared as {record[problem.time].kind}; declare a date, a datetime or a "
            "number in src/project/schema.py"
        )
    if problem.time and prepare.split is None:
        raise SlipwayError(
            f"params.yaml: prepare.split: the rows have a time, {problem.time!r}, so say what the test set is:\n"
            "  split: time   the newest rows, as when the model serves: it predicts what comes after its training\n"
            "  split: group  groups drawn from all times: right only if nothing changes with time"
        )
    if prepare.by_time and not problem.time:
        raise SlipwayError(
            f"params.yaml: prepare.split: {prepare.split} needs the field of the record that holds the time: "
            'Problem(time="...") in src/project/__init__.py'
        )
    if not prepare.by_time and (prepare.gap or prepare.test_from is not None):
        raise SlipwayError("params.yaml: prepare.gap and prepare.test_from belong to a split by time: split: time")
