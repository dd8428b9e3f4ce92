"""What became of each truth that was not simply joined: counted, and listed in a CSV."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

RULES = {
    "refused": "not as the schema has it: left out",
    "unknown": "no truth yet: waits for it",
    "duplicate": "the same truth once more: counted once",
    "contradictory": "several truths of one prediction: none of them counts",
    "foreign": "of no prediction of a version that was released here: left out",
    "late": "its prediction is not kept any more: left out",
    "repeated": "a key that was predicted again later: the newest prediction counts",
    "earlier version": "predicted by another version than the champion: scored by itself, trained on",
    "other classes": "answered with a class that the target does not have: not scored, trained on",
    "unusable": "has a truth and is scored, but is no row to learn from: a column is not known",
}


class Listing:
    """Counts by rule, keeps the first detail, and writes lines: rule, id or key, where the truth was read, detail."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.counts = path, Counter[str]()
        self.examples: dict[str, str] = {}
        self._file = path.open("w", newline="", encoding="utf-8")
        self._lines = csv.writer(self._file, lineterminator="\n")
        self._lines.writerow(("rule", "id or key", "truth from", "detail"))

    def add(self, rule: str, keys: Iterable[str], origins: Iterable[str], details: Iterable[str]) -> None:
        """Count and list, by one of RULES."""
        for line in zip(keys, origins, details, strict=True):
            self.counts[rule] += 1
            self.examples.setdefault(rule, line[-1])
            self._lines.writerow((rule, *line))

    def close(self) -> None:
        """Complete the file."""
        self._file.close()
