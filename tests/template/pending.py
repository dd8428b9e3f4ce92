"""A small checkout with a champion and a judged candidate: Git, DVC and bundles are real, nothing was trained."""

from __future__ import annotations

import json
from pathlib import Path

from dvc.repo import Repo

from checkouts import commit_files, make_repository
from slipway.champion import serving_now
from slipway.model.bundle import Bundle, write_bundle
from slipway.problem.files import TEST
from slipway.release import promote
from slipway.versioning import dvc_repository
from slipway.workspace import Workspace
from unit.test_bundle import FILES, MANIFEST

CONFIG = "[core]\n    analytics = false\n    remote = store\n['remote \"store\"']\n    url = store\n"
SCORES = {"accuracy": 0.95, "log_loss": 0.123456}


def put_candidate(workspace: Workspace, digit: str, verdict: str = "PROMOTE") -> Bundle:
    """Build a candidate whose content depends on `digit` alone, and judge it against the champion that serves."""
    bundle = write_bundle(workspace.bundle, {**MANIFEST, "params": digit * 64}, FILES)
    for path in (workspace.evaluation / "metrics.json", workspace.table / TEST):
        path.parent.mkdir(exist_ok=True)
        path.write_text(digit)
    now = serving_now(workspace.root)
    judged = {
        "verdict": verdict,
        "candidate": bundle.digest,
        "champion": now.digest if now else None,
        "table": workspace.test_set_digest(),
        "metrics": SCORES,
        "comparison": {},
        "reasons": [{"check": "threshold accuracy", "outcome": "fail", "detail": "0.7, at least 0.85 is needed"}],
    }
    workspace.verdict.write_text(json.dumps(judged))
    return bundle


def make_pending(folder: Path) -> Workspace:
    """Make a checkout whose first model was released and whose second one waits for its release."""
    root = make_repository(folder)
    Repo.init(str(root)).close()
    (root / "data").mkdir()
    (root / "data/rows.csv").write_text("a,b\n1,2\n")
    (root / ".dvc/config").write_text(CONFIG)
    with dvc_repository(root) as repository:
        repository.add([str(root / "data")])
        repository.push()
    ignored = "/build\n/data\n/champion\n"
    commit_files(root, "The project", {".gitignore": ignored, "dvc.lock": "1\n", "src/project/model.py": "1\n"})
    workspace = Workspace(root)
    put_candidate(workspace, "1")
    promote(workspace)
    put_candidate(workspace, "2")
    return workspace
