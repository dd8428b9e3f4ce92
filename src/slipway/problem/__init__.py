"""A project's declaration of its problem, and the function that loads it."""

from __future__ import annotations

import difflib
import importlib
import re
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from pydantic import BaseModel, GetJsonSchemaHandler
    from pydantic_core import CoreSchema

PINBALL = re.compile(r"pinball\.0\.\d+")
DIRECTIONS = ("_score", "_loss", "_error")  # how a score of the project's own ends, as scikit-learn's do
NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


class SlipwayError(Exception):
    """An error that the user can fix. The command line prints its message without a traceback and exits with 1."""


def close_names(name: str, known: Sequence[str]) -> str:
    """Suggest the likely intended name, or list the known ones."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"


@dataclass(frozen=True)
class Unit:
    """The unit of a field, as in `Annotated[float, Unit("mm")]`; it becomes `unit` in the JSON Schema."""

    symbol: str

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Add the unit to the field's JSON Schema (Pydantic calls this)."""
        return {**handler(core), "unit": self.symbol}


@dataclass(frozen=True)
class Private:
    """Marks a field as private, as in `Annotated[str, Private()]`: the service never writes it to kept predictions."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Add the mark to the field's JSON Schema (Pydantic calls this)."""
        return {**handler(core), "private": True}


@dataclass(frozen=True)
class Function:
    """A function of the project, named as "module:function" and imported at first use."""

    name: str

    @property
    def short(self) -> str:
        """The name without the module."""
        return self.name.rpartition(":")[2]

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        """The function itself; `inspect.signature` follows this name."""
        return cast("Callable[..., Any]", _import(self.name, "src/project/__init__.py"))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function. Raises SlipwayError if it imports a package that is not installed."""
        try:
            return self.__wrapped__(*args, **kwargs)
        except ModuleNotFoundError as error:
            raise SlipwayError(_not_installed(self.name, error)) from error


@dataclass(frozen=True, kw_only=True)
class Problem:
    """The declaration of a problem; a project has one in `src/project/__init__.py`.

    name: of the model in registry, API and image (lower case, digits, hyphens).
    row: Pydantic model of a row of a request; its fields are the features.
    record: Pydantic model of a row of the data: `row`, the target, and other identifying or descriptive fields.
    target: the record's field that is predicted. Categories or a boolean: classification; a number: regression.
    group: the record's field or fields that identify rows that belong together (a patient's, a house's). No group is in
        both the training rows and the test set, and intervals are computed over groups.
    time: the record's field by which the rows are ordered in time, if they are: a date, a date-time or a number. With
        one, `prepare.split` in `params.yaml` must say how the test set is chosen.
    weight: the record's field with the weight of each row in fitting (`sample_weight`), if there is one: a number of at
        least 0. Evaluation counts each row once.
    metrics: more scores. Of a regression: `pinball.0.9`, the loss of a prediction of the 90 % quantile. And of the
        project's own: a `Function` of truth, prediction and probabilities that gives a number for each row; the score
        is their mean. Its name ends in `_score` (more is better), `_loss` or `_error` (less is).
    load: reads the data folder into a table with the record's columns; its index names the source's rows.
    build: makes the estimator; its keyword arguments are the section `model` of `params.yaml`.
    expectations: returns Great Expectations' expectations on the data as a whole.
    features: optional; makes the estimator's columns of the row's: a pure function from arrays by name to arrays by
        name, row by row, which needs NumPy only. Its module's source becomes part of the bundle.

    The last four are functions, or each a `Function` that names one: only the commands that call it then import its
    module, so that its imports do not slow down other commands.
    """

    name: str
    row: type[BaseModel]
    record: type[BaseModel]
    target: str
    group: str | tuple[str, ...]
    time: str | None = None
    weight: str | None = None
    metrics: tuple[str | Function, ...] = ()
    load: Callable[[Path], pd.DataFrame]
    build: Callable[..., Any]
    expectations: Callable[[], list[Any]] = list
    features: Callable[[Mapping[str, np.ndarray[Any, Any]]], Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise SlipwayError(
                f"the problem's name {self.name!r} must be lower-case letters, digits and hyphens, a letter first"
            )
        features, fields = set(self.row.model_fields), set(self.record.model_fields)
        if missing := sorted(features - fields):
            raise SlipwayError(f"the record lacks fields of the row: {', '.join(missing)}; let it inherit the row")
        if self.target in features:
            raise SlipwayError(f"the target {self.target!r} is a field of the row, so it would leak into the features")
        for metric in self.metrics:
            _check_metric(metric)
        if self.weight in (*features, self.target):
            raise SlipwayError(f"the weight {self.weight!r} is a feature or the target; it must be a field of its own")
        for name in (self.target, *self.groups, *filter(None, (self.time, self.weight))):
            if name not in fields:
                raise SlipwayError(f"the record has no field {name!r}; it has {', '.join(sorted(fields))}")

    @property
    def groups(self) -> tuple[str, ...]:
        """The group as a tuple of field names."""
        return (self.group,) if isinstance(self.group, str) else self.group


def _check_metric(metric: str | Function) -> None:
    if isinstance(metric, Function):
        if not metric.short.endswith(DIRECTIONS):
            raise SlipwayError(f"metrics: {metric.short!r} must end in _score (more is better), _loss or _error (less)")
    elif not PINBALL.fullmatch(metric) or not 0 < float(metric.removeprefix("pinball.")) < 1:
        raise SlipwayError(
            f"metrics: {metric!r} is unknown; there is pinball.0.9, and so for any quantile, and "
            f'Function("project.metrics:your_loss") for a function of your own'
        )


def declared(root: Path) -> dict[str, Any]:
    """Read `[tool.slipway]` in `pyproject.toml`, and let what it names be imported: from the project's `src` first."""
    path, source = root / "pyproject.toml", str((root / "src").resolve())
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise SlipwayError(f"{path.resolve()}: no such file; run slipway in the project's folder") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SlipwayError(f"{path}: {error}") from None
    if source not in sys.path:
        sys.path.insert(0, source)
    found: dict[str, Any] = content.get("tool", {}).get("slipway", {})
    return found


def load_problem(root: Path = Path()) -> Problem:
    """Import the problem that `pyproject.toml` in `root` names under `[tool.slipway]`, as `module:attribute`.

    Raises SlipwayError if the file, the line, the module or the attribute is missing.
    """
    path, named = root / "pyproject.toml", declared(root).get("problem")
    if named is None:
        raise SlipwayError(f'{path}: lacks the lines\n[tool.slipway]\nproblem = "project:problem"')
    problem = _import(str(named), f"{path}: problem")
    if not isinstance(problem, Problem):
        raise SlipwayError(f"{path}: problem = {named!r} is a {type(problem).__name__}, not a slipway.problem.Problem")
    return problem


def _not_installed(name: str, error: ModuleNotFoundError) -> str:
    return (
        f"{name} imports {error.name or error}, which is not installed: name its package in pyproject.toml, in the "
        "extra `model`, then make lock and make setup"
    )


def _import(name: str, place: str) -> Any:
    """Import "module:attribute". Raises SlipwayError, naming the place, if it does not exist."""
    module, _, attribute = name.partition(":")
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name != module
        said = _not_installed(name, error) if missing else f"{place}: {name!r}: there is no module {module!r} in src"
        raise SlipwayError(said) from error
    if not hasattr(imported, attribute):
        raise SlipwayError(f"{place}: {name!r}: {module} has no {attribute!r}")
    return getattr(imported, attribute)
