"""The record of a candidate, collected from the files that pipeline and gate wrote."""

from __future__ import annotations

import hashlib
import re
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


def metric_name(score: str) -> str:
    """Give a score's name in MLflow: a class may have a name that no metric can have there."""
    return re.sub(r"[^\w.\- /:]", "_", score)


class Record:
    """The record of a candidate.

    metrics: each score as SCORE, and the ends of its interval as SCORE.low and SCORE.high. parameters: `params.yaml`,
    flattened. files: each file, with the folder of the run that it goes to. verdict: on this candidate, or "none".
    """

    def __init__(self, workspace: Workspace, bundle: Bundle) -> None:
        """Raises SlipwayError if the candidate was not evaluated."""
        import pandas as pd

        self.workspace, self.bundle, self.name = workspace, bundle, bundle.manifest.name
        self.metrics: dict[str, float] = {}
        for name, score in workspace.read(workspace.evaluation / METRICS).items():
            allowed = metric_name(name)
            ends = {f"{allowed}.{end}": score[end] for end in ("low", "high")}
            self.metrics |= {allowed: score["value"], **ends}
        content = workspace.params.model_dump(by_alias=True, exclude={"search"})  # which proposes parameters only
        parameters = pd.json_normalize(content).to_dict("records")[0]
        self.parameters: dict[str, Any] = {str(name): value for name, value in parameters.items()}
        verdict = workspace.read_about(workspace.verdict, bundle.digest)
        self.verdict = str(verdict.get("verdict", "none"))
        files: dict[Path, str | None] = dict.fromkeys(sorted(workspace.evaluation.iterdir()), "evaluation")
        files |= {workspace.validation / REPORT: "validation", workspace.root / "params.yaml": None}
        files |= {workspace.verdict: None} if verdict else {}
        self.files = {path: folder for path, folder in files.items() if path.is_file()}

    @cached_property
    def digest(self) -> str:
        """The digest of everything that can change while the bundle stays the same."""
        contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in self.files]
        return hashlib.sha256(canonical_json([self.parameters, self.metrics, self.verdict, contents])).hexdigest()

    @cached_property
    def tags(self) -> dict[str, str]:
        """The bundle's digest and version, and the code: commit, whether files differ from it, repository."""
        tags = {DIGEST: self.bundle.digest, VERSION: self.bundle.version}
        root = self.workspace.root
        try:
            tags |= {COMMIT: git(root, "rev-parse", "HEAD").strip(), DIRTY: str(bool(changed_files(root))).lower()}
            url = git(root, "remote", "get-url", "origin").strip()
        except SlipwayError:
            return tags  # no repository, no commit yet, or no remote
        return tags | ({REPOSITORY: without_password(url)} if "://" in url else {})

    @property
    def slipway(self) -> str | None:
        """The requirement by which pip installs the Slipway of this very commit; None if it is in no repository."""
        url = self.tags.get(REPOSITORY, "")
        known = url.startswith("https://") and self.tags[DIRTY] == "false"
        return f"slipway @ git+{url}@{self.tags[COMMIT]}" if known else None
