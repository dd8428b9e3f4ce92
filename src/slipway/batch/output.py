"""The output of a run: a file, or a folder of parts that a later run can resume."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from slipway.batch.places import Place, format_of, reported
from slipway.batch.reading import Table
from slipway.batch.summary import Summary, Tally
from slipway.batch.writing import Part, RefusedError, write
from slipway.contract import canonical_json
from slipway.problem import SlipwayError

if TYPE_CHECKING:
    from slipway.batch.query import Source

DONE = "_SUCCESS"  # the name that Hadoop and Spark give to the mark of a complete folder
PROGRESS = "_progress"


@dataclass(frozen=True)
class Output:
    """A file, or a folder of parts for `part_rows` rows of the input each. part_rows: None for a file.

    rejected: where refused rows are listed: a file, or a folder with a file for each part that has some.
    """

    place: Place
    format: str
    part_rows: int | None
    rejected: Place

    @classmethod
    def of(cls, given: str, table: Source, *, part_rows: int, rejected: str | None = None) -> Output:
        """Decide by the name: with the suffix of a table it is a file, else a folder of parts in the input's format.

        rejected: by default beside it, with `.rejected` at the end of its name.
        Raises SlipwayError if the output is the input, or lies where it would be read as a part of it.
        """
        place = Place.of(given)
        if isinstance(table, Table):
            if any(f"{file.place.path}/".startswith(f"{place.path}/") for file in table.files):
                raise SlipwayError(f"{given}: the output is the input; name another file or folder")
            if place.system == table.source.system and place.path.startswith(f"{table.source.path}/"):
                raise SlipwayError(f"{given}: would be read as a part of the input the next time; name another folder")
        listed = Place.of(rejected) if rejected else place.beside(f"{place.name}.rejected")
        if not given.endswith("/"):
            with contextlib.suppress(SlipwayError):
                return cls(place, format_of(place), None, listed)
        return cls(place, table.format, part_rows, listed)

    @property
    def shown(self) -> str:
        """How messages call it."""
        return self.place.shown

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs on this machine from the output. Raises SlipwayError if one is writing it."""
        if not self.place.local:
            yield
            return
        from filelock import FileLock, Timeout

        file = self.place.beside(f".{self.place.name}.lock")
        lock = FileLock(file.path)
        with reported(self.place.shown, "cannot be written"):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise SlipwayError(f"{self.place.shown}: another run is writing it") from None
        try:
            yield
        finally:
            file.remove()
            lock.release()

    def begin(self, table: Source, version: str) -> Tally:
        """Prepare the output; nothing is counted yet. Raises SlipwayError if something is there."""
        if self.place.exists and (self.part_rows is None or self.place.below() or self._state.exists):
            hint = "; --resume continues an interrupted run" if self.part_rows and self._state.exists else ""
            raise SlipwayError(f"{self.place.shown}: exists already; remove it, or name another{hint}")
        if self.rejected.exists:
            raise SlipwayError(f"{self.rejected.shown}: exists already, from another run; remove it first")
        if self.part_rows:
            write(self._state, self._identity(table, version))
        return Tally()

    def resume(self, table: Source, version: str) -> Tally:
        """Give the counts of the parts that an interrupted run has completed, in order; begin if there was none.

        Raises SlipwayError if the run was complete, or if its input, model or size of parts was another.
        """
        if not self.part_rows:
            raise SlipwayError("--resume needs a folder as OUTPUT: a file is written as a whole")
        if table.identity is None:
            raise SlipwayError("--resume needs files as INPUT: nothing says that a query gives the same rows again")
        if not self._state.exists:
            if (self.place / DONE).exists:
                raise SlipwayError(f"{self.place.shown}: no interrupted run is here: it is complete")
            return self.begin(table, version)
        before, now = json.loads(self._state.read()), json.loads(self._identity(table, version))
        if other := [name for name in now if before.get(name) != now[name]]:
            raise SlipwayError(f"{self.place.shown}: the interrupted run had another {', '.join(other)}; begin anew")
        tally, number = Tally(), 0
        while self.part(number).exists:
            tally.add(Tally(**json.loads(self._progress(number).read())))
            number += 1
        return tally

    def part(self, number: int) -> Place:
        """Give the place of a part."""
        return self.place / f"part-{number:05}.{self.format}" if self.part_rows else self.place

    @contextlib.contextmanager
    def writing(self, number: int, tally: Tally) -> Iterator[Part]:
        """Write a part: complete, with its counts as they are in the end, or not at all."""
        listed = self.rejected / f"part-{number:05}.csv" if self.part_rows else self.rejected
        part = Part(self.part(number), listed)
        try:
            yield part
            part.finish()
            if self.part_rows:  # first, so that a part that is there has been counted
                write(self._progress(number), canonical_json(asdict(tally)))
            part.commit()
        except BaseException as error:
            part.drop(keeps_list=isinstance(error, RefusedError))
            raise

    def finish(self, summary: Summary) -> None:
        """Mark a folder as complete: `_SUCCESS` holds the summary."""
        if self.part_rows:
            write(self.place / DONE, canonical_json(summary.as_json()))
            (self.place / PROGRESS).remove()

    @property
    def _state(self) -> Place:
        return self.place / PROGRESS / "run.json"

    def _progress(self, number: int) -> Place:
        return self.place / PROGRESS / f"part-{number:05}.json"

    def _identity(self, table: Source, version: str) -> bytes:
        known = {"input": table.identity, "model": version, "number of rows in a part": self.part_rows}
        counts = list(asdict(Tally()))  # an older version of Slipway may have counted something else
        return canonical_json(known | {"format": self.format, "list of counts": counts})
