"""What serves, as Git records it: the file `champion.dvc`, with the decision in its `meta` section."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from slipway.bundle import VERSION_DIGITS
from slipway.errors import SlipwayError

POINTER = "champion.dvc"
BUNDLE, EVALUATION, DECISION = "bundle", "evaluation", "decision.json"  # in champion/


class Decision(BaseModel):
    """Why a bundle serves.

    digest: of the bundle. action: promote or rollback. previous: the version that served before. commit: that the
    candidate was built from. when: in UTC, ISO 8601. run: in MLflow. scores: point estimates on the
    held-out rows. withdrawn: versions that were rolled back, never to be promoted again unless asked.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    digest: str
    action: str
    previous: str | None = None
    verdict: str
    reason: str
    who: str
    commit: str | None = None
    scores: dict[str, float] = {}
    withdrawn: list[str] = []
    when: str | None = None
    run: str | None = None

    @property
    def version(self) -> str:
        """The bundle's version."""
        return self.digest[:VERSION_DIGITS]


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
        return Decision.model_validate(yaml.safe_load(text)["meta"])
    except (yaml.YAMLError, KeyError, TypeError, ValidationError) as error:
        raise SlipwayError(f"{place}: does not say what was released: {error}") from None
