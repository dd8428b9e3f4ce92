"""The section `search` of `params.yaml`: which arguments of the project's `build` are searched, how and how long."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

Choice = bool | int | float | str | None
Ends = Field(min_length=2, max_length=2)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Range(_Section):
    """The values of one argument: `float` or `int` with both ends, or `choice` with each value.

    log: drawn evenly over the orders of magnitude. step: between the integers.
    """

    float_: Annotated[list[float] | None, Ends, Field(alias="float")] = None
    int_: Annotated[list[int] | None, Ends, Field(alias="int")] = None
    choice: Annotated[list[Choice], Field(min_length=2)] | None = None
    log: bool = False
    step: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _one_kind(self) -> Range:
        kinds = [self.float_, self.int_, self.choice]
        if sum(kind is not None for kind in kinds) != 1:
            raise ValueError("one of float: [LOW, HIGH], int: [LOW, HIGH] and choice: [A, B] is needed")
        if (ends := self.float_ or self.int_) and not ends[0] < ends[1]:
            raise ValueError(f"the range begins at {ends[0]:g} and ends at {ends[1]:g}; the lower end comes first")
        if self.log and not (ends and ends[0] > 0):
            raise ValueError("log: true needs a range of numbers above 0")
        if self.step > 1 and (self.int_ is None or self.log):
            raise ValueError("step belongs to an int without log")
        return self

    @property
    def examples(self) -> list[Any]:
        """The values that stand for all: the ends, or each choice."""
        return [*(self.float_ or self.int_ or self.choice or ())]


class Search(_Section):
    """A search for better arguments of `build`, by cross-validation within the training rows.

    minutes: after which no further trial begins. metric: by default the first of `gate.thresholds`. pruning: ends a
    trial that is worse than most after some of the folds.
    """

    arguments: Annotated[dict[str, Range], Field(min_length=1)]
    trials: Annotated[int, Field(ge=1, le=10_000)] = 50
    minutes: Annotated[float | None, Field(gt=0)] = None
    metric: str | None = None
    folds: Annotated[int, Field(ge=2, le=50)] = 5
    pruning: bool = True
