"""What serves, as Git records it: the file `champion.dvc`, with the decision in its `meta` section."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from slipway.model.bundle import VERSION_DIGITS
from slipway.problem import SlipwayError
from slipway.versioning import file_at, file_history

POINTER = "champion.dvc"
BUNDLE, EVALUATION, DECISION = "bundle", "evaluation", "decision.json"  # in champion/


class Decision(BaseModel):
    """Why a bundle serves.

    digest: of the bundle. name: of the model. action: promote or rollback. previous: the version that served before.
    commit: that the candidate was built from. data: DVC's digest of what it learned from. when: in UTC, ISO 8601.
    run: in MLflow. scores: point estimates on the test set. rolled_back: versions that were rolled back, never to be
    promoted again unless asked.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    digest: str
    name: str | None = None
    action: str
    previous: str | None = None
    verdict: str
    reason: str
    who: str
    commit: str | None = None
    data: str | None = None
    scores: dict[str, float] = {}
    rolled_back: list[str] = []
    when: str | None = None
    run: str | None = None

    @property
    def version(self) -> str:
        """The bundle's version."""
        return self.digest[:VERSION_DIGITS]


@dataclass(frozen=True)
class Release:
    """One line of the history: a decision, and the commit that made it."""

    decision: Decision
    commit: str
    when: str


def read_decision(root: Path) -> Decision | None:
    """Read the decision from `champion.dvc` in the work tree; None when nothing was released yet."""
    path = root / POINTER
    if not path.exists():
        return None
    return parse_decision(path.read_text("utf-8"), str(path))


def parse_decision(text: str, place: str) -> Decision:
    """Read the decision from a `champion.dvc` file's text. Raises SlipwayError, naming `place`, if it has none."""
    import yaml

    try:
        # In C, where it was built in: ten times as fast, and histories grow long.
        content = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
        return Decision.model_validate(content["meta"])
    except (yaml.YAMLError, KeyError, TypeError, ValidationError) as error:
        raise SlipwayError(f"{place}: does not say what was released: {error}") from None


def serving_now(root: Path, revision: str = "HEAD") -> Decision | None:
    """Read from a commit, by default the last one, what serves; None if nothing was released yet."""
    text = file_at(root, revision, POINTER)
    return parse_decision(text, f"{revision}:{POINTER}") if text else None


def history(root: Path, *, revisions: Sequence[str] = ("HEAD",), unreadable: list[str] | None = None) -> list[Release]:
    """List what was released, newest first, as Git recorded it.

    revisions: whose history. unreadable: takes one line for each commit whose record cannot be read; without it, such a
    commit raises SlipwayError.
    """
    try:
        versions = file_history(root, POINTER, revisions=revisions)
    except SlipwayError:
        return []  # no commit yet
    releases = []
    for version in versions:
        if not version.text:  # a commit may also have removed the file
            continue
        try:
            decision = parse_decision(version.text, f"{version.commit[:8]}:{POINTER}")
        except SlipwayError as error:
            if unreadable is None:
                raise
            unreadable.append(str(error))
        else:
            releases.append(Release(decision, version.commit, version.when))
    return releases
