"""Releases on the Git remote: promote, pin the image, tag, and push it all at once; or propose it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slipway.champion import OVERLAYS, POINTER, Pin, pins, serving_now
from slipway.model.bundle import VERSION_DIGITS
from slipway.problem import SlipwayError
from slipway.release.promote import promote
from slipway.release.proposal import propose
from slipway.release.record import ENVIRONMENTS, INPUTS, deploy
from slipway.release.rollback import rollback
from slipway.reproduction import complete
from slipway.versioning import current_branch, dvc_repository, find_commit, git, is_ancestor, remote_folder
from slipway.workspace import Workspace

# The parts of an image, besides the champion.
PARTS = (
    *("Dockerfile", "requirements.txt", "requirements-skops.txt", "requirements-store.txt", "requirements-signing.txt"),
    *("pyproject.toml", "src/slipway", "src/project"),
)


@dataclass(frozen=True)
class Remote:
    """Where a release goes. branch: by default the one checked out. propose: by a pull request, not by a push."""

    name: str = "origin"
    branch: str | None = None
    propose: bool = False


@dataclass(frozen=True)
class Published:
    """The result of a release. said: one line, as Markdown. commit: to deploy, if any. tag: of a new model."""

    said: str
    commit: str | None = None
    tag: str | None = None


def publish(workspace: Workspace, remote: Remote, image: str | None = None) -> Published:
    """Release the judged candidate, with one commit and one atomic push.

    On a PROMOTE verdict the candidate becomes the champion. Where the image is another one than the environments run,
    they are pinned to it. A champion without a tag gets one, model/<version>.

    image: name@sha256:... of the last commit, as the registry knows it; without one the environments stay as they are.
    Nothing to release is no error, and a repeated call continues where the last one stopped. Raises SlipwayError
    if the verdict is REJECT or was given of something else, or the remote cannot be reached or refuses the push.
    """
    root, branch = workspace.root, _branch(workspace.root, remote)
    tip = _fetch(root, remote, branch)
    if not is_ancestor(root, tip, "HEAD"):
        return _moved_on(root, branch, tip, image)
    verdict = workspace.read_verdict()["verdict"] if workspace.verdict.exists() else None
    if verdict == "REJECT":
        raise SlipwayError("nothing was released: the gate rejected the candidate (build/report.md says why)")
    if verdict == "PROMOTE":
        complete(root)
        promote(workspace, image=image)
    champion = serving_now(root)
    if champion is None:
        return Published(f"Nothing to release: there is no champion yet, and the verdict is {verdict or 'missing'}.")
    if image and _is_new(root, image, champion.version):
        deploy(root, Pin(image, champion.version, git(root, "rev-parse", "HEAD").strip()))
    return _push(root, remote, branch, tip, champion.version)


def _push(root: Path, remote: Remote, branch: str, tip: str, version: str) -> Published:
    head, subject = git(root, "log", "-1", "--format=%H %s").strip().partition(" ")[::2]
    if head != tip and remote.propose:
        return Published(propose(root, remote.name, f"release/{version}", branch, subject, _report(root)))
    refs, tag = [f"HEAD:refs/heads/{branch}"] if head != tip else [], f"model/{version}"
    if not git(root, "ls-remote", remote.name, f"refs/tags/{tag}"):
        message = git(root, "log", "-1", "--format=%B", "--", POINTER)
        git(root, "tag", "--annotate", "--force", "--message", message, tag)
        refs.append(f"refs/tags/{tag}")
    if not refs:
        return Published(f"Nothing to release: `{version}` serves already, in an image of the same parts.", head)
    _send(root, remote, *refs)
    return Published(f"Released: `{version}` ({subject})", head, tag if f"refs/tags/{tag}" in refs else None)


def publish_rollback(workspace: Workspace, remote: Remote, version: str | None, reason: str) -> Published:
    """Make an earlier champion serve again, in the image that it was released in, and push that, or propose it.

    A rollback that was made here and not pushed yet is not made once more. Raises SlipwayError if the branch moved on,
    there is no such champion, or the remote refuses it.
    """
    root, branch = workspace.root, _branch(workspace.root, remote)
    tip = _fetch(root, remote, branch)
    if not is_ancestor(root, tip, "HEAD"):
        raise SlipwayError(f"nothing was rolled back: {branch} has moved on; pull, and run it again")
    now = serving_now(root)
    if not (now and now.action == "rollback" and now != serving_now(root, tip)):
        now = rollback(workspace, version, reason=reason)
    head, title = git(root, "log", "-1", "--format=%H %s").strip().partition(" ")[::2]
    there = pins(root)
    others = [name for name in ENVIRONMENTS if name in there and there[name].version != now.version]
    hint = f" {' and '.join(others)} run no image of it until the pipeline has made one." if others else ""
    if remote.propose:
        text = f"{now.reason}\n\nIt replaces `{now.previous}`.{hint}"
        return Published(propose(root, remote.name, f"rollback/{now.version}", branch, title, text) + hint)
    _send(root, remote, f"HEAD:refs/heads/{branch}")
    return Published(f"Rolled back: `{now.version}` serves again.{hint}", head)


def propose_candidate(workspace: Workspace, remote: Remote) -> Published:
    """Propose the candidate and its data, on the branch retrain/<version>; nothing new proposes nothing.

    Raises SlipwayError if there is no verdict, or the DVC remote or the Git remote refuses it.
    """
    root, branch = workspace.root, _branch(workspace.root, remote)
    if not git(root, "status", "--porcelain", "--", *INPUTS):
        return Published("Nothing new: the same data and code gave the same candidate.")
    verdict = workspace.read_verdict()
    version = verdict["candidate"][:VERSION_DIGITS]
    with dvc_repository(root) as repository:
        repository.push()
        store = remote_folder(root, repository)
    title = f"Retrain: candidate {version}, {verdict['verdict']}"
    git(root, "add", "--", *INPUTS, *([store] if store else []))
    git(root, "commit", "--quiet", "--message", title)
    return Published(propose(root, remote.name, f"retrain/{version}", branch, title, _report(root)))


def _branch(root: Path, remote: Remote) -> str:
    branch = remote.branch or current_branch(root)
    if not branch:
        raise SlipwayError("no branch is checked out here: --branch (or BRANCH) says which one is meant")
    return branch


def _fetch(root: Path, remote: Remote, branch: str) -> str:
    try:
        git(root, "fetch", "--quiet", remote.name, f"refs/heads/{branch}")
    except SlipwayError as error:
        raise SlipwayError(f"nothing was changed: {remote.name} cannot be reached; run it again ({error})") from None
    return git(root, "rev-parse", "FETCH_HEAD").strip()


def _moved_on(root: Path, branch: str, tip: str, image: str | None) -> Published:
    """Recognize this very release in the branch's last commit: an earlier run was cut off after its push."""
    there, champion = pins(root, tip).values(), serving_now(root, tip)
    ours = git(root, "log", "-1", "--format=%P", tip) == git(root, "rev-parse", "HEAD")
    if champion and ours and image and image in {pin.image for pin in there}:
        said = f"Released already, by an earlier run: `{champion.version}`."
        return Published(said, tip, f"model/{champion.version}")
    return Published(f"Nothing released: {branch} has moved on; the run of its last commit judges what is there now.")


def _is_new(root: Path, image: str, version: str) -> bool:
    """Whether an environment must run another image: of another name, with another model, or of other parts."""
    there = pins(root)
    for name in ENVIRONMENTS:
        if not (root / OVERLAYS / name).is_dir():
            continue
        pin = there.get(name)
        if pin is None or pin.version != version or pin.image.partition("@")[0] != image.partition("@")[0]:
            return True
        built = find_commit(root, pin.commit or "")
        if not built or git(root, "diff", "--name-only", built, "HEAD", "--", *PARTS):
            return True
    return False


def _send(root: Path, remote: Remote, *refs: str) -> None:
    try:
        git(root, "push", "--quiet", "--atomic", remote.name, *refs)
    except SlipwayError as error:
        ways = "Run it again; for a protected branch, set RELEASE_BY to pull-request (docs/pipeline.md)"
        raise SlipwayError(f"nothing was released: {remote.name} did not take it ({error}). {ways}") from None


def _report(root: Path) -> str:
    path = root / "build/report.md"
    return path.read_text("utf-8") if path.exists() else "`slipway report` was not run."
