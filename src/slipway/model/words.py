"""Splits texts into terms as scikit-learn's vectorizers do: with Python's own case folding, on any machine.

ONNX has no such operator: its own folds case by the machine's locale and knows ASCII words only. So a compiled model
that reads text takes, instead of the text, its terms, joined by SEPARATOR; what they are is written in the model's
metadata, and this code makes them.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

METADATA = "slipway.words"
SEPARATOR, START = "\x1f", "\x1e"  # START begins each text, so that none is empty


class Splitter(BaseModel):
    """How a text becomes terms; the names are those of scikit-learn's `CountVectorizer`.

    column: of the text. binary: whether each term counts once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str
    analyzer: Literal["word", "char", "char_wb"]
    lowercase: bool
    strip_accents: Literal["ascii", "unicode"] | None
    token_pattern: str
    stop_words: tuple[str, ...]
    ngram_range: tuple[int, int]
    binary: bool

    def split(self) -> Callable[[str], list[str]]:
        """Give the function from a text to its terms."""
        tokens, stop, (low, high) = re.compile(self.token_pattern).findall, frozenset(self.stop_words), self.ngram_range

        def terms(text: str) -> list[str]:
            text = _plain(text.lower() if self.lowercase else text, self.strip_accents)
            if self.analyzer == "word":
                words = [word for word in tokens(text) if word not in stop]
                found = words if (low, high) == (1, 1) else [" ".join(some) for some in _runs(words, low, high)]
            elif self.analyzer == "char":
                found = ["".join(some) for some in _runs(re.sub(r"\s\s+", " ", text), low, high)]
            else:
                found = list(_within_words(text, low, high))
            return list(dict.fromkeys(found)) if self.binary else found

        return terms


def _plain(text: str, accents: str | None) -> str:
    if accents is None or text.isascii():
        return text
    text = unicodedata.normalize("NFKD", text)
    if accents == "ascii":
        return text.encode("ascii", "ignore").decode()
    return "".join(character for character in text if not unicodedata.combining(character))


def _runs(items: Sequence[str], low: int, high: int) -> Iterator[Sequence[str]]:
    """Give each run of `low` to `high` items."""
    for length in range(low, high + 1):
        for start in range(len(items) - length + 1):
            yield items[start : start + length]


def _within_words(text: str, low: int, high: int) -> Iterator[str]:
    """Give the runs of characters within each word, with a space at its edges; of a short word, itself, once."""
    for word in text.split():
        padded = f" {word} "
        for length in range(low, high + 1):
            yield padded[:length]
            yield from (padded[start : start + length] for start in range(1, len(padded) - length + 1))
            if length >= len(padded):
                break


def joined(terms: Sequence[str]) -> str:
    """Join terms to what a compiled model takes."""
    return SEPARATOR.join((START, *(term for term in terms if SEPARATOR not in term)))


def dump(splitters: dict[str, Splitter]) -> str:
    """Write the splitter of each of a model's inputs that takes terms."""
    return json.dumps({name: splitter.model_dump(mode="json") for name, splitter in splitters.items()}, sort_keys=True)


def load(metadata: dict[str, Any]) -> dict[str, Splitter]:
    """Read them from a model's metadata."""
    return {name: Splitter.model_validate(one) for name, one in json.loads(metadata.get(METADATA, "{}")).items()}
