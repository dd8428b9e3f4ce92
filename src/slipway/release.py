"""What serves is decided here: promote and rollback. Git is the record, `champion.dvc` the pointer.

Every step can be repeated: what serves *now* is read from the last commit, never from the work tree, and the commit
comes last. Killed before it, nothing was released, and the same call does it all again.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slipway.champion import BUNDLE, DECISION, EVALUATION, POINTER, Decision, Release, history, serving_now
from slipway.contract import canonical_json
from slipway.gate import Verdict
from slipway.model.bundle import read_bundle
from slipway.model.signature import read_signature, signature_of
from slipway.problem import SlipwayError
from slipway.versioning import author, changed_files, dvc_repository, file_at, git, remote_folder
from slipway.workspace import Workspace

# What a promotion commits: what was learned, from what, and what serves.
RECORD = ("data.dvc", "dvc.lock", POINTER)


def promote(workspace: Workspace, *, force_reason: str | None = None) -> Decision | None:
    """Make the candidate the champion: move `champion.dvc`, push to the DVC remote, make one commit.

    force_reason: why a verdict other than PROMOTE is overruled; it is recorded.
    Gives the decision, or None if the candidate is the champion already. Raises SlipwayError if the verdict is not
    PROMOTE, belongs to another candidate, champion or table, or the work tree holds other changes.
    """
    root = workspace.root
    with dvc_repository(root) as repository:
        bundle = read_bundle(workspace.bundle)
        now = serving_now(root)
        if now and now.digest == bundle.digest:
            return None
        verdict = _read_verdict(workspace)
        _require_current(workspace, verdict, bundle.digest, now)
        if verdict["verdict"] != "PROMOTE" and not force_reason:
            raise SlipwayError(_refusal(verdict))
        _require_committed(root, repository)
        decision = Decision(
            digest=bundle.digest,
            name=bundle.manifest.name,
            action="promote",
            previous=now.version if now else None,
            verdict=verdict["verdict"],
            reason=force_reason or "the gate's verdict",
            who=author(root),
            commit=git(root, "rev-parse", "HEAD").strip(),
            data=bundle.manifest.data,
            scores=verdict["metrics"],
            rolled_back=[v for v in (now.rolled_back if now else []) if v != bundle.version],
            when=_now(),
            run=_run(workspace, bundle.digest),
        )
        _place(workspace, decision, verdict)
        repository.add([str(workspace.champion)])
        _write_pointer(root, _pointer(root)["outs"], decision)
        _push(repository, root / POINTER)
        _commit(root, repository, decision)
    return decision


def rollback(workspace: Workspace, version: str | None = None, *, reason: str) -> Decision:
    """Make an earlier champion serve again, byte for byte, with one commit.

    version: of the champion to restore, or the start of it; by default the one that served before. What is rolled
    back is rolled_back: it is not promoted again unless asked. Raises SlipwayError if there is no such champion.
    """
    root = workspace.root
    with dvc_repository(root) as repository:
        now = serving_now(root)
        if not now:
            raise SlipwayError("nothing was released yet: there is nothing to roll back")
        earlier = _earlier(_since_the_first(history(root)), version)
        text = file_at(root, earlier.commit, POINTER) or ""
        rolled_back = [*(v for v in now.rolled_back if v != now.version), now.version]
        decision = earlier.decision.model_copy(
            update={
                "action": "rollback",
                "previous": now.version,
                "reason": reason,
                "who": author(root),
                "rolled_back": [v for v in rolled_back if v != earlier.decision.version],
                "when": _now(),
            }
        )
        _write_pointer(root, _parse(text)["outs"], decision)
        _restore(workspace, repository, decision)
        _commit(root, repository, decision)
    return decision


def _since_the_first(releases: list[Release]) -> list[Release]:
    """Leave out what came before the first that followed nothing: in a fork, what another problem released."""
    first = next((n for n, release in enumerate(releases) if release.decision.previous is None), len(releases))
    return releases[: first + 1]


def _earlier(releases: list[Release], version: str | None) -> Release:
    now = releases[0].decision
    for release in releases[1:]:
        found = release.decision
        wanted = found.version.startswith(version) if version else found.version not in now.rolled_back
        if wanted and found.digest != now.digest:
            return release
    known = ", ".join(dict.fromkeys(release.decision.version for release in releases))
    if version and now.version.startswith(version):
        raise SlipwayError(f"{now.version} serves already")
    what = f"no champion {version} in the history" if version else "no earlier champion that was not rolled_back"
    raise SlipwayError(f"there is {what}; it has {known}")


def _read_verdict(workspace: Workspace) -> dict[str, Any]:
    try:
        verdict = json.loads(workspace.verdict.read_bytes())
        return {field.name: verdict[field.name] for field in fields(Verdict)}
    except FileNotFoundError:
        raise SlipwayError(f"{workspace.verdict}: no verdict; `slipway gate` makes one") from None
    except (ValueError, KeyError, TypeError) as error:
        raise SlipwayError(f"{workspace.verdict}: not a verdict ({error}); `slipway gate` makes it anew") from None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _run(workspace: Workspace, candidate: str) -> str | None:
    """Give the candidate's run in MLflow, if it was recorded."""
    try:
        tracked = json.loads(workspace.tracked.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return str(tracked["run"]) if tracked["candidate"] == candidate else None


def _require_current(workspace: Workspace, verdict: dict[str, Any], candidate: str, now: Decision | None) -> None:
    """See that the verdict was given of this candidate, this champion and this test set."""
    for what, judged, found in (
        ("candidate", verdict["candidate"], candidate),
        ("champion", verdict["champion"], now.digest if now else None),
        ("test set", verdict["table"], workspace.test_set_digest()),
    ):
        if judged != found:
            raise SlipwayError(
                f"the verdict was given of another {what} ({_short(judged)}, now {_short(found)}); "
                "run `slipway gate` again"
            )


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "none"


def _refusal(verdict: dict[str, Any]) -> str:
    against = [f"  {r['check']}: {r['detail']}" for r in verdict["reasons"] if r["outcome"] != "pass"]
    return "\n".join(
        [f"the verdict is {verdict['verdict']}, not PROMOTE:", *against, "--force with --reason overrules it"]
    )


def _require_committed(root: Path, repository: Any) -> None:
    """See that the code and parameters that made the candidate are in the last commit."""
    store = remote_folder(root, repository)
    other = [f for f in changed_files(root) if f not in RECORD and not (store and f.startswith(f"{store}/"))]
    if other:
        raise SlipwayError(f"commit these first, or the record will not say what was released: {', '.join(other)}")


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


def _restore(workspace: Workspace, repository: Any, decision: Decision) -> None:
    """Put in the champion's place what the pointer names; if that fails, pointer and champion stay as they were."""
    root, champion = workspace.root, workspace.champion
    aside = champion.with_name(f".{champion.name}-old")
    shutil.rmtree(aside, ignore_errors=True)
    if champion.exists():
        champion.rename(aside)
    try:
        repository._reset()  # DVC read its files before the pointer was moved
        repository.pull(targets=[str(root / POINTER)], force=True)
        read_bundle(champion / BUNDLE, expected=decision.digest)
    except BaseException:
        git(root, "checkout", "--quiet", "HEAD", "--", POINTER)
        if aside.exists():
            shutil.rmtree(champion, ignore_errors=True)
            aside.rename(champion)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _parse(text: str) -> dict[str, Any]:
    import yaml

    return dict(yaml.safe_load(text))


def _pointer(root: Path) -> dict[str, Any]:
    return _parse((root / POINTER).read_text("utf-8"))


def _write_pointer(root: Path, outs: Any, decision: Decision) -> None:
    import yaml

    text = yaml.safe_dump({"outs": outs, "meta": decision.model_dump()}, sort_keys=False, allow_unicode=True)
    temporary = root / f".{POINTER}"
    temporary.write_text(text, "utf-8")
    temporary.replace(root / POINTER)


def _commit(root: Path, repository: Any, decision: Decision) -> None:
    """Commit the record, and the DVC remote's new files where the remote is a folder of this repository."""
    store = remote_folder(root, repository)
    paths = [path for path in (*RECORD, *([store] if store else [])) if (root / path).exists()]
    scores = ", ".join(f"{name} {value:.4g}" for name, value in list(decision.scores.items())[:2])
    subject = f"{decision.action.capitalize()} {decision.version}: {scores}"
    body = f"Previous: {decision.previous or 'none'}\nVerdict: {decision.verdict}\nReason: {decision.reason}"
    git(root, "add", "--", *paths)
    git(root, "commit", "--quiet", "--message", subject, "--message", body, "--", *paths)
