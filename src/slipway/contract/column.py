"""One field of a row: its kind, its bounds, its arrays, and which values it allows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from slipway.contract import dates
from slipway.contract.dates import Array
from slipway.problem import SlipwayError

Kind = Literal["number", "integer", "boolean", "category", "text", "date", "datetime"]
Label = str | bool | int  # of a class
EXACT = 2**53  # float64, the dtype of arrays, holds larger integers inexactly
# By kind of column: NumPy kinds of arrays that are checked by value, and Python types of single values.
NATIVE = {"number": "iuf", "integer": "iuf", "boolean": "biuf", "category": "", "text": ""}
TYPES = {
    "number": (int, float, np.number),
    "integer": (int, np.integer),
    "boolean": (bool, np.bool_),
    "category": (str,),
    "text": (str,),
}
WORDS = {"number": "a number", "integer": "a whole number", "boolean": "true or false", "text": "text", **dates.WORDS}
BOUND_WORDS = ("above", "at least", "at most", "below")
COMPARE = {"ge": np.greater_equal, "le": np.less_equal, "gt": np.greater, "lt": np.less}
SOME_DAY = dates.parse("date", "2024-01-31")
MISSING = ""  # a missing category or text, in arrays (a missing number is NaN)


@dataclass(frozen=True)
class Column:
    """One field of a row. `minimum` and `maximum` are inclusive bounds, `above` and `below` exclusive ones.

    Bounds are as in arrays: of a date in days, of a date-time in seconds. Categories are texts; or the whole numbers
    that a column of the kind integer may have. A private column is left out of kept predictions.
    """

    name: str
    kind: Kind
    optional: bool = False
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    categories: tuple[str, ...] | tuple[int, ...] = ()
    unit: str | None = None
    private: bool = False
    description: str | None = None
    examples: tuple[Any, ...] = ()

    @property
    def numeric(self) -> bool:
        """Whether arrays hold this column as float64 (booleans as 0 and 1, dates by `dates`) rather than as strings."""
        return self.kind not in ("category", "text")

    @property
    def temporal(self) -> bool:
        """Whether it is a date or a date-time: a text in requests and tables, a number in arrays."""
        return self.kind in ("date", "datetime")

    @property
    def type(self) -> Any:
        """The Python type of a value in JSON."""
        if self.categories:
            return Literal[self.categories]
        return {"number": float, "integer": int, "boolean": bool}.get(self.kind, str)

    @property
    def dtype(self) -> str:
        """The NumPy dtype of this column in arrays."""
        return "float64" if self.numeric else "object"

    @property
    def example(self) -> Any:
        """A value that the column allows: the declared example, else one within the bounds."""
        if self.examples:
            return self.examples[0]
        if self.categories:
            return self.categories[0]
        if self.kind in ("text", "boolean"):
            return "text" if self.kind == "text" else True
        middle = self._middle()
        return dates.write(self.kind, middle) if self.temporal else middle

    def _middle(self) -> float | int:
        low = self.minimum if self.minimum is not None else self.above
        high = self.maximum if self.maximum is not None else self.below
        if low is not None and high is not None:
            value = (low + high) / 2
        elif low is not None:
            value = low + 1
        elif high is not None:
            value = high - 1
        else:
            value = {"date": SOME_DAY, "datetime": SOME_DAY * 86400}.get(self.kind, 1)
        return math.ceil(value) if self.kind in ("integer", "date") else float(value)

    @property
    def limits(self) -> dict[str, Any]:
        """The bounds as Pydantic and msgspec name them; integers are limited to those that float64 holds exactly."""
        bounds = {"ge": self.minimum, "le": self.maximum, "gt": self.above, "lt": self.below}
        if self.kind == "text" and not self.optional:
            return {"min_length": 1}  # the empty text means missing
        if self.kind == "integer" and not self.categories:
            bounds["ge"] = -EXACT if self.minimum is None and self.above is None else self.minimum
            bounds["le"] = EXACT if self.maximum is None and self.below is None else self.maximum
        return {name: bound for name, bound in bounds.items() if bound is not None}

    def array(self, values: Any) -> Array:
        """Make this column's array from a sequence, a NumPy array or a pandas series; shape (rows,).

        Raises SlipwayError if a value is not of the column's kind.
        """
        try:
            if self.temporal:
                return self._stamps(values)
            if self.numeric and hasattr(values, "to_numpy"):  # a pandas series may hold its own kinds of missing value
                return np.asarray(values.to_numpy(dtype="float64", na_value=np.nan))
            if self.numeric:
                return np.asarray(values, dtype="float64")
            strings = np.asarray(values, dtype=object)
        except (TypeError, ValueError) as error:
            raise SlipwayError(f"{self.name}: not a {self.kind}: {error}") from None
        nan = strings != strings  # pandas' missing string
        return np.where((strings == None) | nan, MISSING, strings)  # noqa: E711  (elementwise)

    def checked(self, values: Any) -> tuple[Array, Array]:
        """Give this column's array, and which values it does not allow (boolean); each of shape (rows,).

        Python values must have the column's type; numeric NumPy arrays and pandas series are checked by value only.
        """
        if self.temporal:
            array, wrong = dates.convert(self.kind, values)
            return array, np.where(wrong, True, self._refused(array))
        dtype = getattr(values, "dtype", None)
        if dtype is not None and dtype.kind in NATIVE[self.kind]:
            array = self.array(values)
            return array, self._refused(array)
        listed = values.tolist() if dtype is not None else values
        absent = [dates.is_missing(value) or (dtype is not None and value == MISSING) for value in listed]
        fits = [not gone and self._fits(value) for value, gone in zip(listed, absent, strict=True)]
        array = self.array([value if fit else None for value, fit in zip(listed, fits, strict=True)])
        return array, self._refused(array) | ~(np.array(absent, bool) | np.array(fits, bool))

    def _fits(self, value: Any) -> bool:
        if isinstance(value, bool) and self.kind != "boolean":
            return False
        return isinstance(value, TYPES[self.kind]) and (not self.categories or value in self.categories)

    def within(self, number: float) -> bool:
        """Whether a number, as in arrays, is within the declared bounds."""
        return all(COMPARE[name](number, bound) for name, bound in self.limits.items())

    def _refused(self, array: Array) -> Array:
        if not self.numeric:
            return np.asarray((array == MISSING) & (not self.optional))
        wrong = np.isinf(array)
        if self.kind not in ("number", "datetime"):
            wrong |= np.floor(array) != array
        if self.categories:
            wrong |= ~np.isin(array, self.categories)
        if self.kind == "boolean":
            wrong |= (array < 0) | (array > 1)
        for name, bound in self.limits.items():
            wrong |= ~COMPARE[name](array, bound)
        return np.where(np.isnan(array), not self.optional, wrong)

    @property
    def words(self) -> str:
        """A phrase for the allowed values: "a number at least 0 mm"."""
        if self.categories:
            return f"one of {', '.join(map(str, self.categories))}"
        return WORDS[self.kind] + (f" {self.bounds}" if self.bounds else "")

    @property
    def bounds(self) -> str:
        """The declared bounds as a phrase, the narrower of two on one side: "at least 0 and below 9 mm"."""
        low, high = self.low, self.high
        above, least, most, below = ("after", "from", "to", "before") if self.temporal else BOUND_WORDS
        words = [f"{above if low[1] else least} {self.shown(low[0])}"] if low else []
        words += [f"{most if high[1] else below} {self.shown(high[0])}"] if high else []
        return " and ".join(words) + (f" {self.unit}" if words and self.unit else "")

    def shown(self, number: float) -> str:
        """Write a number of an array for a person: a date as a date."""
        return dates.write(self.kind, number) if self.temporal else f"{number:.12g}"

    @property
    def low(self) -> tuple[float, bool] | None:
        """The lower bound, and whether it is exclusive."""
        return max(_declared((self.minimum, False), (self.above, True)), default=None)

    @property
    def high(self) -> tuple[float, bool] | None:
        """The upper bound, and whether it is inclusive."""
        return min(_declared((self.maximum, True), (self.below, False)), default=None)

    def points(self, values: Any) -> Array:
        """Give each value as a point in time: float64, shape (rows,); NaN if it is missing or no date.

        Raises SlipwayError if a value of a number is not one.
        """
        if not self.temporal:
            return self.array(values)
        array, wrong = dates.convert(self.kind, values)
        return np.where(wrong, np.nan, array)

    def point(self, value: Any, place: str) -> float:
        """Give one point in time. Raises SlipwayError, naming the place, if it is not of the column's kind."""
        try:
            return dates.parse(self.kind, value) if self.temporal else float(value)
        except ValueError:
            raise SlipwayError(f"{place}: {value!r} is not {WORDS[self.kind]}, as {self.name} is") from None

    def written(self, at: float) -> str | float:
        """Write a point in time as JSON has it."""
        if self.temporal:
            return dates.write(self.kind, at)
        return int(at) if self.kind == "integer" else float(at)

    @property
    def gap(self) -> float:
        """The length of a gap of 1 between points in time: a day, or one of a number."""
        return 86_400.0 if self.kind == "datetime" else 1.0

    def _stamps(self, values: Any) -> Array:
        array, wrong = dates.convert(self.kind, values)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            value = values.iloc[row] if hasattr(values, "iloc") else values[row]
            raise ValueError(f"{str(value)!r} is not {self.words}")
        return array


def _declared(*bounds: tuple[float | None, bool]) -> list[tuple[float, bool]]:
    return [(value, flag) for value, flag in bounds if value is not None]
