"""What is recorded of a candidate, collected from the files that the pipeline and the gate left."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from slipway.contract import canonical_json
from slipway.model.bundle import Bundle
from slipway.problem import SlipwayError
from slipway.problem.files import METRICS, REPORT
from slipway.tracking.connection import without_password
from slipway.versioning import changed_files, git
from slipway.workspace import Workspace

DIGEST, VERSION, VERDICT = "slipway.digest", "slipway.version", "slipway.verdict"  # tags
COMMIT, REPOSITORY, DIRTY = "mlflow.source.git.commit", "mlflow.source.git.repoURL", "slipway.git.dirty"
NO_VERDICT = "none"


class Record:
    """What is recorded of a candidate.

    metrics: each score, and the ends of its interval as `SCORE.low` and `SCORE.high`. parameters: `params.yaml`,
    flattened. files: each file and the folder that it goes to. verdict: of just this candidate.
    """

    def __init__(self, workspace: Workspace, bundle: Bundle) -> None:
        self.workspace = workspace
        self.bundle = bundle
        self.name = bundle.manifest.name
        metrics = workspace.evaluation / METRICS
        if not metrics.exists():
            raise SlipwayError(f"{metrics}: missing; the stages before this one make it: slipway run")
        self.metrics = dict(_numbers(json.loads(metrics.read_bytes())))
        self.parameters = dict(_flat(workspace.params.model_dump(by_alias=True)))
        verdict = json.loads(workspace.verdict.read_bytes()) if workspace.verdict.exists() else {}
        mine = verdict.get("candidate") == bundle.digest  # else it is an earlier candidate's
        self.verdict = str(verdict["verdict"]) if mine else NO_VERDICT
        files: dict[Path, str | None] = dict.fromkeys(sorted(workspace.evaluation.iterdir()), "evaluation")
        files |= {workspace.validation / REPORT: "validation", workspace.root / "params.yaml": None}
        files |= {workspace.verdict: None} if mine else {}
        self.files = {path: folder for path, folder in files.items() if path.is_file()}

    @property
    def pictures(self) -> list[Path]:
        """The files that are pictures."""
        return [path for path in self.files if path.suffix == ".svg"]

    @cached_property
    def digest(self) -> str:
        """The digest of all that can change while the bundle stays the same."""
        contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in self.files]
        return hashlib.sha256(canonical_json([self.parameters, self.metrics, self.verdict, contents])).hexdigest()

    @cached_property
    def tags(self) -> dict[str, str]:
        """Which bundle it is, and from which code: commit, whether files differed from it, repository."""
        tags = {DIGEST: self.bundle.digest, VERSION: self.bundle.version}
        root = self.workspace.root
        try:
            tags |= {COMMIT: git(root, "rev-parse", "HEAD").strip(), DIRTY: str(bool(changed_files(root))).lower()}
            url = git(root, "remote", "get-url", "origin").strip()
        except SlipwayError:
            return tags  # in no repository, nothing committed yet, or no remote
        return tags | ({REPOSITORY: without_password(url)} if "://" in url else {})

    @property
    def slipway(self) -> str | None:
        """Where pip finds just this Slipway, if that is known."""
        url = self.tags.get(REPOSITORY, "")
        known = url.startswith("https://") and self.tags[DIRTY] == "false"
        return f"git+{url}@{self.tags[COMMIT]}" if known else None


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _numbers(scores: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, float]]:
    for name, score in scores.items():
        allowed = re.sub(r"[^\w.\- /:]", "_", name)  # a class may have a name that no metric of MLflow's can have
        yield allowed, score["value"]
        yield from ((f"{allowed}.{end}", score[end]) for end in ("low", "high"))
