"""`params.yaml`, typed: every parameter with its range."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model, model_validator

from slipway.problem import SlipwayError, close_names
from slipway.problem.search import Search

Model = TypeVar("Model", bound=BaseModel)
Share = Annotated[float, Field(ge=0, le=1)]
Inside = Annotated[float, Field(gt=0, lt=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def _quoted(value: Any) -> Any:
    if isinstance(value, date):  # YAML reads an unquoted date as one, and DVC's lock file holds none
        raise ValueError(f'a date needs quotes: "{value}"')
    return value


class Prepare(_Section):
    """The split into training rows and test set.

    test_share: of the groups; with a split by time, of the latest rows (`group_and_time`: of both).
    test_from: instead of a share of the latest rows, the time of the first test row.
    gap: the time before the test set of which no row is trained on: days, or the unit of a time that is a number.
    """

    test_share: Inside = 0.25
    split: Literal["group", "time", "group_and_time"] | None = None
    test_from: Annotated[float | str | None, BeforeValidator(_quoted)] = None
    gap: Annotated[float, Field(ge=0)] = 0.0

    @property
    def by_time(self) -> bool:
        """Whether the newest rows are the test set."""
        return self.split in ("time", "group_and_time")


class Validate(_Section):
    """Limits of the expectations that are derived from the contract.

    max_missing: the share of missing values that an optional field may have. max_missing_of: of single fields, instead.
    """

    max_missing: Share = 0.2
    max_missing_of: dict[str, Share] = {}
    max_leak: Share = 0.98
    max_repeated: Share = 0.05


class Costs(_Section):
    """The cost of a wrong label, in any unit."""

    false_positive: Annotated[float, Field(ge=0)]
    false_negative: Annotated[float, Field(ge=0)]


class Decision(_Section):
    """The decision threshold of a binary classifier: the positive class, and the criterion by which it is chosen.

    maximize: `f1` of the positive class; or `cost`, of which the least is best.
    """

    positive: str | bool | int
    maximize: Literal["f1", "cost"]
    costs: Costs | None = None

    @model_validator(mode="after")
    def _costs_if_needed(self) -> Decision:
        if (self.maximize == "cost") != (self.costs is not None):
            raise ValueError("costs belong to maximize: cost, as costs: {false_positive: 1, false_negative: 5}")
        return self


class Train(_Section):
    """Fitting and compiling the model.

    tolerance: how far a compiled model may be from the estimator, in probabilities or, in a regression, in standard
    deviations of the values.
    """

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    compile: bool = True
    tolerance: Annotated[float, Field(gt=0, le=0.1)] = 1e-5
    threads: Annotated[int, Field(ge=1)] = 1
    decision: Decision | None = None


class Evaluate(_Section):
    """Slices, intervals and importance in the evaluation."""

    slices: list[str] = []
    confidence: Inside = 0.95
    bootstrap: Annotated[int, Field(ge=100, le=100_000)] = 1000
    importance_repeats: Annotated[int, Field(ge=1, le=1000)] = 10
    backtest: Annotated[int, Field(ge=0, le=50)] = 0


class SliceThresholds(_Section):
    """The threshold for every slice with enough rows."""

    metric: str
    threshold: float
    min_rows: Annotated[int, Field(ge=1)] = 10


class Fairness(_Section):
    """How much a metric may differ between the slices of a column: difference and ratio of its extremes."""

    column: str
    metric: str
    max_difference: Annotated[float | None, Field(ge=0)] = None
    min_ratio: Annotated[float | None, Field(gt=0, le=1)] = None
    min_rows: Annotated[int, Field(ge=1)] = 30

    @model_validator(mode="after")
    def _some_limit(self) -> Fairness:
        if self.max_difference is None and self.min_ratio is None:
            raise ValueError("it needs max_difference, min_ratio or both")
        return self


class Champion(_Section):
    """The comparison of candidate and champion."""

    metric: str
    margin: Annotated[float, Field(ge=0)] = 0.0


class Gate(_Section):
    """The gate's checks of a candidate."""

    thresholds: Annotated[dict[str, float], Field(min_length=1)]
    slice_thresholds: SliceThresholds | None = None
    fairness: list[Fairness] = []
    champion: Champion
    beats_constant: bool = True
    behaviour: bool = True
    max_bundle_megabytes: Annotated[float, Field(gt=0)] = 50.0


class Params(_Section):
    """The whole of `params.yaml`. `model` is passed to the project's `build` as keyword arguments."""

    prepare: Prepare = Prepare()
    validate_: Annotated[Validate, Field(alias="validate")] = Validate()
    model: dict[str, Any] = {}
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    gate: Gate
    search: Search | None = None


def load_params(root: Path = Path()) -> Params:
    """Read `params.yaml` in `root`. Raises SlipwayError naming every wrong entry and, for a typo, the likely name."""
    import yaml

    path = root / "params.yaml"
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise SlipwayError(f"{path.resolve()}: no such file; run slipway in the project's folder") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SlipwayError(f"{path}: {error}") from None
    content = {} if content is None else content
    if isinstance(content, dict):
        content = {name: {} if section is None else section for name, section in content.items()}
    params = _checked(Params, content, str(path))
    if missing := [name for name in _fields(Params) if name not in (*content, "search")]:  # which no stage reads
        empty = "\n".join(f"  {name}: {{}}" for name in missing)
        raise SlipwayError(f"{path}: dvc.yaml also needs these sections; empty ones have the defaults:\n{empty}")
    return params


def check_arguments(build: Callable[..., Any], given: dict[str, Any], place: str = "params.yaml: model") -> None:
    """Check the section `model` against the keyword arguments of the project's `build` and their types.

    `build` is not called. place: of the arguments, for the error. Raises SlipwayError naming every wrong argument.
    """
    parameters = inspect.signature(build).parameters.values()
    written = SimpleNamespace(__annotations__={p.name: p.annotation for p in parameters if p.annotation is not p.empty})
    # Without the return type, which may need a heavy import.
    types = get_type_hints(written, globalns=inspect.unwrap(build).__globals__)
    fields: dict[str, Any] = {
        p.name: (types.get(p.name, Any), ... if p.default is p.empty else p.default)
        for p in parameters
        if p.kind is not p.VAR_KEYWORD
    }
    extra: Literal["allow", "forbid"] = "allow" if any(p.kind is p.VAR_KEYWORD for p in parameters) else "forbid"
    _checked(
        create_model("Arguments", __config__=ConfigDict(extra=extra, strict=True), **fields),
        given,
        place,
    )


def _checked(model: type[Model], content: Any, place: str) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        errors = "\n".join(f"  {_message(model, item)}" for item in error.errors())
        raise SlipwayError(f"{place}:\n{errors}") from None


def _message(model: type[BaseModel], item: Any) -> str:
    *parents, name = [str(part) for part in item["loc"]] or ["the file"]
    place = ".".join([*parents, name])
    if item["type"] == "missing":
        return f"{place}: missing"
    if item["type"] != "extra_forbidden":
        return f"{place}: {item['msg']} (it is {item['input']!r})"
    return f"{place}: unknown; {close_names(name, _names(model, parents))}"


def _names(section: type[BaseModel], parents: list[str]) -> list[str]:
    for name in parents:
        annotation = _fields(section).get(name, section)  # an entry of a list or dict is as the section of all
        options = [annotation, *getattr(annotation, "__args__", ())]
        section = next(option for option in options if isinstance(option, type) and issubclass(option, BaseModel))
    return list(_fields(section))


def _fields(section: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in section.model_fields.items()}
