"""Promote: the candidate becomes the champion, with one commit.

It is atomic: the champion is read from the last commit, never from the work tree, and the commit comes last. An
interrupted call released nothing, and the same call does it all again.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from slipway.champion import BUNDLE, DECISION, EVALUATION, POINTER, Decision, Pin, serving_now
from slipway.contract import canonical_json
from slipway.model.bundle import VERSION_DIGITS, read_bundle
from slipway.model.signature import read_signature, signature_of
from slipway.problem import SlipwayError
from slipway.release.record import RECORD, author, commit, pinned_overlays, timestamp, write_pointer
from slipway.versioning import dvc_repository, git, remote_folder, require_committed
from slipway.workspace import Workspace


def promote(workspace: Workspace, *, force_reason: str | None = None, image: str | None = None) -> Decision | None:
    """Make the candidate the champion: move `champion.dvc`, push to the DVC remote, make one commit.

    force_reason: why a verdict other than PROMOTE is overruled; it is recorded. image: name@sha256:... with the
    candidate in it, which the overlays are pinned to. Gives the decision, or None if the candidate is the champion
    already. Raises SlipwayError if the verdict is not PROMOTE or not the current one, or the work tree holds changes.
    """
    root = workspace.root
    with dvc_repository(root) as repository:
        bundle = read_bundle(workspace.bundle)
        now = serving_now(root)
        if now and now.digest == bundle.digest:
            return None
        verdict = _current_verdict(workspace, bundle.digest, now)
        if verdict["verdict"] != "PROMOTE" and not force_reason:
            raise SlipwayError(_refusal(verdict))
        head = git(root, "rev-parse", "HEAD").strip()
        pin = Pin(image, bundle.version, head) if image else None
        _require_committed(root, repository, pin)
        decision = Decision(
            digest=bundle.digest,
            name=bundle.manifest.name,
            action="promote",
            previous=now.version if now else None,
            verdict=verdict["verdict"],
            reason=force_reason or "the gate's verdict",
            who=author(root),
            commit=head,
            data=bundle.manifest.data,
            scores=verdict["metrics"],
            rolled_back=[v for v in (now.rolled_back if now else []) if v != bundle.version],
            when=timestamp(),
            run=workspace.read_about(workspace.tracked, bundle.digest).get("run"),
        )
        _place(workspace, decision, verdict)
        repository.add([str(workspace.champion)])
        write_pointer(root, (root / POINTER).read_text("utf-8"), decision)
        _push(repository, root / POINTER)
        commit(root, repository, decision, pin)
    return decision


def _current_verdict(workspace: Workspace, candidate: str, now: Decision | None) -> dict[str, Any]:
    """Read the verdict. Raises SlipwayError unless it is on this candidate, this champion and this test set."""
    verdict = workspace.read_verdict()
    for what, judged, found in (
        ("candidate", verdict["candidate"], candidate),
        ("champion", verdict["champion"], now.digest if now else None),
        ("test set", verdict["table"], workspace.test_set_digest()),
    ):
        if judged != found:
            before, here = ((digest or "none")[:VERSION_DIGITS] for digest in (judged, found))
            raise SlipwayError(
                f"the verdict was given of another {what} ({before}, now {here}); run `slipway gate` again"
            )
    return verdict


def _refusal(verdict: dict[str, Any]) -> str:
    against = [f"  {r['check']}: {r['detail']}" for r in verdict["reasons"] if r["outcome"] != "pass"]
    return "\n".join(
        [f"the verdict is {verdict['verdict']}, not PROMOTE:", *against, "--force with --reason overrules it"]
    )


def _require_committed(root: Path, repository: Any, pin: Pin | None) -> None:
    """Check that the code and parameters that made the candidate are in the last commit."""
    store = remote_folder(root, repository)
    ours = (*RECORD, *(pinned_overlays(root, pin) if pin else ()), *([store] if store else ()))
    others = (".", *(f":(exclude,literal){path}" for path in ours))
    require_committed(root, *others, why="the record would not say what was released")


def _place(workspace: Workspace, decision: Decision, verdict: dict[str, Any]) -> None:
    """Put candidate, evaluation and decision where the champion lies; the folder is replaced in one rename."""
    signature = read_signature(workspace.bundle, decision.digest)
    champion = workspace.champion
    new, old = (champion.with_name(f".{champion.name}-{which}") for which in ("new", "old"))
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(workspace.bundle, new / BUNDLE)
    shutil.copytree(workspace.evaluation, new / EVALUATION)
    (new / DECISION).write_bytes(canonical_json({**decision.model_dump(), "judged": verdict}))
    if signature:
        signature_of(new / BUNDLE).write_bytes(signature)
    read_bundle(new / BUNDLE, expected=decision.digest)
    if champion.exists():
        champion.rename(old)
    new.rename(champion)
    shutil.rmtree(old, ignore_errors=True)


def _push(repository: Any, pointer: Path) -> None:
    """Push everything to the DVC remote. Raises SlipwayError unless the champion is there afterwards."""
    repository._reset()  # DVC read its files before the champion was added
    try:
        repository.push()
    except Exception as error:  # each kind of remote has its own library with its own errors
        raise SlipwayError(
            f"the DVC remote did not take the champion: {error}; nothing was released, try again"
        ) from error
    if missing := repository.status(targets=[str(pointer)], cloud=True):
        raise SlipwayError(f"the DVC remote did not take {', '.join(missing)}; nothing was released, try again")
