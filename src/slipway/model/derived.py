"""Derived features: the project's own function from a row's columns to those of the estimator, packed into the bundle.

The bundle holds the source text of the function's module; the manifest, its digest and the returned columns.
Training, evaluation, service and MLflow model all run that text; nothing is imported from the project.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, cast

import numpy as np

from slipway.contract import Array, Column, Contract
from slipway.problem import Problem, SlipwayError

Kind = Literal["number", "text"]
Arrays = Mapping[str, Array]
KINDS: dict[str, Kind] = {**dict.fromkeys("biuf", "number"), **dict.fromkeys("OU", "text")}  # by NumPy's kind of dtype
TOLERANCE = 1e-9  # NumPy may round a vector's last elements otherwise


@dataclass(frozen=True)
class Derived:
    """A function over arrays, by its module's source and its name, and the kind of each column that it returns."""

    source: bytes
    function: str
    columns: Mapping[str, Kind]

    @cached_property
    def contract(self) -> Contract:
        """The estimator's columns; any of them may be missing."""
        return Contract("Features", tuple(Column(name, kind, optional=True) for name, kind in self.columns.items()))

    @cached_property
    def _run(self) -> Callable[[Arrays], Any]:
        module = ModuleType("features")
        # The bundle's own code, which was verified together with its model: see docs/signing.md.
        exec(compile(self.source, "features.py", "exec"), module.__dict__)  # noqa: S102
        return cast("Callable[[Arrays], Any]", getattr(module, self.function))

    def _called(self, arrays: Arrays) -> Any:
        with np.errstate(all="ignore"):
            return self._run({name: _read_only(values) for name, values in arrays.items()})

    def __call__(self, arrays: Arrays) -> dict[str, Array]:
        """Give the estimator's columns, each float64 or object strings, of shape (rows,).

        arrays: the contract's; the function cannot change them. Raises SlipwayError if it returns anything else than it
        did in training.
        """
        rows = len(next(iter(arrays.values())))
        made = dict(_columns(self.function, self._called(arrays), rows))
        if (kinds := {name: kind for name, (kind, _) in made.items()}) != self.columns:
            raise SlipwayError(f"{self.function}() returned {kinds}, but {dict(self.columns)} in training")
        return {name: made[name][1] for name in self.columns}


def derive(problem: Problem, arrays: Arrays) -> Derived | None:
    """Pack the problem's function, if it has one. arrays: of the training rows.

    Raises SlipwayError if it needs more than NumPy and Python's standard library, fails, returns no columns, or does
    not compute each row by itself.
    """
    if problem.features is None:
        return None
    source, name = _source(problem.features)
    first = Derived(source, name, {})
    try:
        found = first._called(arrays)
    except Exception as error:  # the project's own code may raise anything
        raise SlipwayError(f"{name}() failed: {type(error).__name__}: {error}") from error
    kinds = {key: kind for key, (kind, _) in _columns(name, found, len(next(iter(arrays.values()))))}
    derived = Derived(source, name, kinds)
    _require_row_by_row(derived, arrays)
    return derived


def _source(function: Callable[..., Any]) -> tuple[bytes, str]:
    function = inspect.unwrap(function)
    module = inspect.getmodule(function)
    path = inspect.getsourcefile(function)
    if module is None or path is None or getattr(module, function.__name__, None) is not function:
        raise SlipwayError(f"features: {function!r} must be a function of a module of its own: src/project/features.py")
    source = Path(path).read_bytes()
    for name in _imported(ast.parse(source)):
        if name not in ("numpy", *sys.stdlib_module_names):
            raise SlipwayError(
                f"{path}: imports {name or 'from its own package'}; a server that runs these features has NumPy and "
                "Python's standard library only"
            )
    return source, function.__name__


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "" if node.level else str(node.module).partition(".")[0]


def _columns(function: str, found: Any, rows: int) -> Iterator[tuple[str, tuple[Kind, Array]]]:
    if not isinstance(found, Mapping) or not found:
        raise SlipwayError(f"{function}() returned a {type(found).__name__}, not a mapping of columns")
    for name, values in found.items():
        array = np.asarray(values)
        kind = KINDS.get(array.dtype.kind)
        if not isinstance(name, str) or not name or name.startswith("_"):
            raise SlipwayError(f"{function}(): {name!r} is no name of a column: a text without a leading underscore")
        if kind is None or array.shape != (rows,):
            raise SlipwayError(
                f"{function}(): {name} is an array of {array.dtype}, shape {array.shape}; it must hold numbers or "
                f"texts, one for each of the {rows:,} rows"
            )
        if array.dtype == object and not all(isinstance(value, str) for value in array):
            raise SlipwayError(f"{function}(): {name} has values that are no texts; a missing text is the empty one")
        if kind == "number":  # 1 / 0 is missing, as 0 / 0 is
            array = array.astype(np.float64)
            array[np.isinf(array)] = np.nan
        yield name, (kind, array.astype(object) if kind == "text" else array)


def _require_row_by_row(derived: Derived, arrays: Arrays) -> None:
    """Refuse a function whose answer for a row depends on other rows, on the time, or on chance."""
    size = len(next(iter(arrays.values())))
    whole = derived(arrays)
    cuts = [0, 1, (size + 1) // 2, size]
    slices = [slice(start, end) for start, end in itertools.pairwise(cuts) if start < end]
    parts = [derived({name: values[part] for name, values in arrays.items()}) for part in slices]
    for name, values in whole.items():
        apart = np.concatenate([part[name] for part in parts])
        number = values.dtype != object
        same = np.allclose(apart, values, TOLERANCE, 0, equal_nan=True) if number else bool((apart == values).all())
        if not same:
            raise SlipwayError(
                f"{derived.function}() gives {name} of a row other values alone than among other rows; it must compute "
                "each row by itself: no mean of all rows, no clock, no random numbers"
            )


def _read_only(values: Array) -> Array:
    view = values.view()
    view.flags.writeable = False
    return view
