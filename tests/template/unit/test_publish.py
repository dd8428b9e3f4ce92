"""Releases on a Git remote: a bare repository, and nothing that plays Git or DVC."""

import functools
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing import get_context
from pathlib import Path

import pytest

from checkouts import ROOT, commit_files, copy_checkout, run
from overlays import commit_overlays, pinned
from pending import put_candidate
from slipway.champion import parse_decision, parse_pin, pins, serving_now
from slipway.model.bundle import read_bundle
from slipway.problem import SlipwayError
from slipway.release import Published, Remote, promote, propose_candidate, publish, publish_rollback
from slipway.release.publish import PARTS
from slipway.versioning import current_branch, dvc_repository
from slipway.workspace import Workspace

FIRST, SECOND = (f"ghcr.io/ada/penguins@sha256:{digit * 64}" for digit in "12")
ENVIRONMENTS = ("production", "staging")


def with_remote(checkout: Workspace, folder: Path) -> Workspace:
    """Give a checkout the overlays, and a bare repository as its remote."""
    commit_overlays(checkout.root, "Overlays", dict.fromkeys(ENVIRONMENTS, pinned("0")))
    run(folder, "git", "clone", "--quiet", "--bare", str(checkout.root), str(folder / "remote.git"))
    run(checkout.root, "git", "remote", "add", "origin", str(folder / "remote.git"))
    return checkout


@pytest.fixture
def judged(pending, tmp_path) -> Workspace:
    """A candidate that the gate lets pass, in a checkout whose remote has all but a release of it."""
    return with_remote(pending, tmp_path)


@pytest.fixture
def served(pending, tmp_path) -> Workspace:
    """A champion that is the candidate, too: nothing new; it was never deployed or tagged."""
    put_candidate(pending, "1")
    return with_remote(pending, tmp_path)


def remote_of(workspace: Workspace) -> Path:
    return Path(run(workspace.root, "git", "remote", "get-url", "origin").strip())


def on_remote(workspace: Workspace) -> dict[str, object]:
    """What the remote's branch says: commits, champion, image by overlay, tags."""
    there = remote_of(workspace)
    names = run(there, "git", "ls-tree", "--name-only", "main").split()
    now = parse_decision(on(there, "main", "champion.dvc"), "main") if "champion.dvc" in names else None
    return {
        "commits": int(run(there, "git", "rev-list", "--count", "main")),
        "champion": now.version if now else None,
        "images": images(there, "main"),
        "tags": run(there, "git", "tag").split(),
    }


def images(there: Path, branch: str) -> dict[str, str]:
    """The image that each overlay pins on a branch of a bare repository."""
    texts = {name: on(there, branch, f"k8s/overlays/{name}/kustomization.yaml") for name in ENVIRONMENTS}
    found = {name: parse_pin(text, name) for name, text in texts.items()}
    return {name: pin.image for name, pin in found.items() if pin}


def on(there: Path, branch: str, path: str) -> str:
    return run(there, "git", "show", f"{branch}:{path}")


def test_a_good_candidate_is_released_with_its_image_in_one_commit_and_one_tag(judged):
    before, version = on_remote(judged), read_bundle(judged.bundle).version
    head = run(judged.root, "git", "rev-parse", "HEAD").strip()
    done = publish(judged, Remote(), SECOND)
    assert on_remote(judged) == {
        "commits": before["commits"] + 1,
        "champion": version,
        "images": dict.fromkeys(ENVIRONMENTS, SECOND),
        "tags": [f"model/{version}"],
    }
    assert done.commit == run(judged.root, "git", "rev-parse", "HEAD", "origin/main").split()[0]
    assert done.tag == f"model/{version}"
    pin = pins(judged.root)["production"]
    assert (pin.version, pin.commit) == (version, head)
    assert f"Image: {SECOND}" in run(judged.root, "git", "log", "-1", "--format=%B")
    assert run(judged.root, "git", "status", "--porcelain") == ""


def test_a_release_that_is_repeated_adds_nothing(judged):
    first = publish(judged, Remote(), SECOND)
    there = on_remote(judged)
    again = publish(judged, Remote(), SECOND)
    assert on_remote(judged) == there
    assert (again.commit, again.tag) == (first.commit, None)
    assert "Nothing to release" in again.said


def test_without_an_image_the_environments_stay_as_they_are(judged):
    assert publish(judged, Remote()).tag
    assert on_remote(judged)["images"] == {}


def test_a_champion_that_was_never_deployed_is_released_in_the_image_that_there_is(served):
    version = serving_now(served.root).version
    done = publish(served, Remote(), FIRST)
    assert "Deploy" in done.said
    assert on_remote(served)["images"] == dict.fromkeys(ENVIRONMENTS, FIRST)
    assert on_remote(served)["tags"] == [f"model/{version}"]
    message = run(remote_of(served), "git", "tag", "--list", "--format=%(contents:subject)")
    assert message.startswith(f"Promote {version}")  # it tells of the model, not of the last commit


@pytest.mark.parametrize(
    ("image", "change", "deployed"),
    [
        (SECOND, None, FIRST),
        (SECOND, "README.md", FIRST),
        (SECOND, "src/slipway/added.py", SECOND),
        ("ghcr.io/grace/fork@sha256:" + "1" * 64, None, "ghcr.io/grace/fork@sha256:" + "1" * 64),
    ],
    ids=["the same parts", "a document", "another part", "another name"],
)
def test_the_same_model_is_deployed_again_where_its_image_is_another_one(served, image, change, deployed):
    publish(served, Remote(), FIRST)
    if change:
        commit_files(served.root, "A change", {change: "changed\n"})
        run(served.root, "git", "push", "--quiet", "origin", "HEAD:main")
    publish(served, Remote(), image)
    assert on_remote(served)["images"] == dict.fromkeys(ENVIRONMENTS, deployed)


def test_what_an_image_is_made_of_is_compared_and_nothing_is_forgotten():
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    copied = [
        word for line in lines if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]
    ]
    ours = [word for word in copied if "RELEASE" not in word and "*" not in word]
    assert ours
    assert [word for word in ours if not word.startswith(PARTS)] == []


def test_a_branch_that_moved_on_releases_nothing(judged, tmp_path):
    run(tmp_path, "git", "clone", "--quiet", str(remote_of(judged)), "grace")
    author = ("-c", "user.name=Grace", "-c", "user.email=grace@example.org")
    run(tmp_path / "grace", "git", *author, "commit", "--quiet", "--allow-empty", "--message", "Later")
    run(tmp_path / "grace", "git", "push", "--quiet")
    before = on_remote(judged)
    done = publish(judged, Remote(), SECOND)
    assert "has moved on" in done.said
    assert (done.commit, done.tag) == (None, None)
    assert on_remote(judged) == before
    with pytest.raises(SlipwayError, match="main has moved on"):
        publish_rollback(judged, Remote(), None, "why")


def test_a_run_that_was_cut_off_after_its_push_goes_on_to_the_deploy(judged, tmp_path):
    other = copy_checkout(judged, tmp_path / "other")
    first, again = publish(judged, Remote(), SECOND), publish(other, Remote(), SECOND)
    assert "Released already" in again.said
    assert (again.commit, again.tag) == (first.commit, first.tag)


STEPS = {"promote": "slipway.release.publish", "_push": "slipway.release.publish", "_send": "slipway.release.publish"}


def _die_at(step: str, when: str, action) -> None:
    """Do `action` in a process that dies, without a chance to clean up, before or after a step."""
    module = sys.modules[STEPS[step]]
    original = getattr(module, step)

    def die(*arguments, **named):
        if when == "after":
            original(*arguments, **named)
        os._exit(9)

    setattr(module, step, die)
    action()


def kill(step: str, when: str, action) -> None:
    process = get_context("fork").Process(target=_die_at, args=(step, when, action))
    process.start()
    process.join()
    assert process.exitcode == 9


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_release_that_is_killed_goes_on_when_it_is_called_again(judged, step, when):
    before, version = on_remote(judged), read_bundle(judged.bundle).version
    kill(step, when, functools.partial(publish, judged, Remote(), SECOND))
    publish(judged, Remote(), SECOND)
    there = on_remote(judged)
    assert (there["commits"], there["champion"]) == (before["commits"] + 1, version)
    assert (there["images"], there["tags"]) == (dict.fromkeys(ENVIRONMENTS, SECOND), [f"model/{version}"])


def test_a_remote_that_refuses_takes_nothing_and_the_same_call_works_later(judged):
    before = on_remote(judged)
    hook = remote_of(judged) / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'try again later' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(SlipwayError, match=r"(?s)released: .*try again later.*protected branch, set RELEASE_BY"):
        publish(judged, Remote(), SECOND)
    assert on_remote(judged) == before
    hook.unlink()
    publish(judged, Remote(), SECOND)
    assert on_remote(judged)["images"] == dict.fromkeys(ENVIRONMENTS, SECOND)


def test_a_remote_that_is_out_of_reach_changes_nothing(judged):
    head = run(judged.root, "git", "rev-parse", "HEAD")
    with pytest.raises(SlipwayError, match=r"nothing was changed: .* cannot be reached"):
        publish(judged, Remote("/nowhere"), SECOND)
    assert run(judged.root, "git", "rev-parse", "HEAD") == head


def test_of_two_releases_at_once_one_is_made(judged, tmp_path):
    before, said = on_remote(judged), []
    checkouts = [judged, copy_checkout(judged, tmp_path / "other")]

    def release(workspace: Workspace, image: str) -> None:
        try:
            said.append(publish(workspace, Remote(), image).said)
        except SlipwayError as error:
            said.append(str(error))

    with get_context("fork").Manager() as manager:
        said = manager.list()
        ends = [
            get_context("fork").Process(target=release, args=(workspace, image))
            for workspace, image in zip(checkouts, (FIRST, SECOND), strict=True)
        ]
        for process in ends:
            process.start()
        for process in ends:
            process.join()
        assert sorted(text.split(":")[0].split(" (")[0].lower() for text in said)[-1] == "released", list(said)
        assert sum(text.startswith("Released:") for text in said) == 1, list(said)
    assert on_remote(judged)["commits"] == before["commits"] + 1


def test_what_the_gate_rejected_is_not_released(judged):
    put_candidate(judged, "3", "REJECT")
    with pytest.raises(SlipwayError, match="the gate rejected the candidate"):
        publish(judged, Remote(), SECOND)


def test_before_the_first_champion_there_is_nothing_to_release(served):
    run(served.root, "git", "rm", "--quiet", "champion.dvc")
    run(served.root, "git", "commit", "--quiet", "--message", "Another problem")
    served.verdict.unlink()
    assert "there is no champion yet" in publish(served, Remote(), SECOND).said


def test_an_overlay_that_was_edited_and_not_committed_is_not_overwritten(judged):
    path = judged.root / "k8s/overlays/staging/kustomization.yaml"
    path.write_text(path.read_text() + "# mine\n")
    with pytest.raises(SlipwayError, match=r"commit k8s/overlays/staging/kustomization\.yaml first"):
        publish(judged, Remote(), SECOND)
    assert path.read_text().endswith("# mine\n")


# --- back ---


def test_a_rollback_restores_the_champion_in_the_image_that_it_was_released_in(served):
    first = publish(served, Remote(), FIRST)
    version = serving_now(served.root).version
    put_candidate(served, "2")
    publish(served, Remote(), SECOND)
    assert on_remote(served)["images"] == dict.fromkeys(ENVIRONMENTS, SECOND)
    built = pins(served.root, first.commit)["production"].commit
    done = publish_rollback(served, Remote(), None, "it bites")
    there = on_remote(served)
    assert (there["champion"], there["images"]) == (version, dict.fromkeys(ENVIRONMENTS, FIRST))
    assert pins(served.root)["staging"].commit == built
    assert done == Published(
        f"Rolled back: `{version}` serves again.", run(remote_of(served), "git", "rev-parse", "main").strip()
    )


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["_send"])
def test_a_rollback_that_is_killed_goes_back_one_step_and_not_two(judged, step, when):
    version = serving_now(judged.root).version
    publish(judged, Remote(), SECOND)
    kill(step, when, functools.partial(publish_rollback, judged, Remote(), None, "it bites"))
    if when == "before":
        publish_rollback(judged, Remote(), None, "it bites")
    assert on_remote(judged)["champion"] == version


def test_a_release_that_was_not_pushed_is_rolled_back_too(judged):
    version = serving_now(judged.root).version
    promote(judged)
    assert publish_rollback(judged, Remote(), None, "it bites").said.startswith(f"Rolled back: `{version}`")
    assert serving_now(judged.root).version == version


def test_a_champion_without_an_image_says_that_the_environments_stay(judged):
    publish(judged, Remote(), SECOND)
    done = publish_rollback(judged, Remote(), None, "it bites")
    assert "production and staging run no image of it" in done.said.replace(
        "staging and production", "production and staging"
    )
    assert on_remote(judged)["images"] == dict.fromkeys(ENVIRONMENTS, SECOND)


# --- proposals ---


class GitHub(BaseHTTPRequestHandler):
    """GitHub's interface for pull requests, as far as it is asked."""

    open: dict[int, dict[str, str]]
    refuse = False

    def do_GET(self):
        head = self.path.split("head=ada:")[1].split("&")[0]
        self.answer([{"number": n} for n, one in self.open.items() if one["head"] == head])

    def do_POST(self):
        self.open[len(self.open) + 1] = self.body()
        self.answer({})

    def do_PATCH(self):
        self.open[int(self.path.rsplit("/", 1)[1])] |= self.body()
        self.answer({})

    def body(self):
        assert self.headers["Authorization"] == "Bearer t0ken"
        assert self.path.startswith("/repos/ada/penguins/pulls")
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, content):
        self.send_response(403 if self.refuse else 200)
        self.end_headers()
        self.wfile.write(json.dumps({"message": "not permitted"} if self.refuse else content).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def github(monkeypatch):
    handler = type("Handler", (GitHub,), {"open": {}})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("GITHUB_API_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.setenv("GITHUB_REPOSITORY", "ada/penguins")
        monkeypatch.setenv("GH_TOKEN", "t0ken")
        yield handler
        server.shutdown()


def test_for_a_protected_branch_a_release_is_proposed_and_renewed(judged, github, tmp_path):
    before, version = on_remote(judged), read_bundle(judged.bundle).version
    (judged.root / "build/report.md").write_text("PROMOTE\n")
    other = copy_checkout(judged, tmp_path / "other")
    done = publish(judged, Remote(propose=True), SECOND)
    assert done.commit is None
    assert done.tag is None
    assert on_remote(judged) == before
    branch = f"release/{version}"
    assert images(remote_of(judged), branch)["production"] == SECOND
    request = github.open[1]
    assert (request["head"], request["base"], request["body"]) == (branch, "main", "PROMOTE\n")
    assert request["title"].startswith(f"Promote {version}")
    publish(other, Remote(propose=True), FIRST)
    assert list(github.open) == [1]
    # Once it is merged, the next run adds the tag.
    run(remote_of(judged), "git", "update-ref", "refs/heads/main", branch)
    run(other.root, "git", "fetch", "--quiet")
    run(other.root, "git", "reset", "--quiet", "--hard", "FETCH_HEAD")
    assert publish(other, Remote(propose=True)).tag == f"model/{version}"


def test_for_a_protected_branch_a_rollback_is_proposed(judged, github):
    version = serving_now(judged.root).version
    publish(judged, Remote(), SECOND)
    before = on_remote(judged)
    done = publish_rollback(judged, Remote(propose=True), None, "it bites")
    assert done.commit is None
    assert on_remote(judged) == before
    assert github.open[1]["head"] == f"rollback/{version}"
    assert "it bites" in github.open[1]["body"]


def test_where_no_pull_request_may_be_opened_it_says_where_to_allow_it(judged, github):
    github.refuse = True
    with pytest.raises(SlipwayError, match=r"is pushed, but .*403.*not permitted.*Settings, Actions, General"):
        publish(judged, Remote(propose=True), SECOND)


def test_on_gitlab_a_proposal_is_a_push_that_opens_a_merge_request(judged, tmp_path, monkeypatch):
    there = remote_of(judged)
    run(there, "git", "config", "receive.advertisePushOptions", "true")
    hook = there / "hooks/post-receive"
    hook.write_text(f"#!/bin/sh\nenv >{tmp_path / 'pushed'}\n")
    hook.chmod(0o755)
    monkeypatch.setenv("GITLAB_CI", "true")
    (judged.root / "build/report.md").write_text("## PROMOTE\n\nsame\n")
    publish(judged, Remote(propose=True), SECOND)
    told = dict(
        line.split("=", 2)[1:] if line.count("=") > 1 else (line.split("=", 1)[1], "")
        for line in (tmp_path / "pushed").read_text().splitlines()
        if line.startswith("GIT_PUSH_OPTION_") and "COUNT" not in line
    )
    assert told["merge_request.target"] == "main"
    assert told["merge_request.description"] == r"## PROMOTE\n\nsame\n"
    assert {"merge_request.create", "merge_request.remove_source_branch", "merge_request.title"} <= set(told)


def test_a_candidate_of_new_data_is_proposed_with_the_data(judged, github):
    (judged.data / "rows.csv").write_text("a,b\n3,4\n")
    with dvc_repository(judged.root) as repository:
        repository.add([str(judged.data)])
    version = read_bundle(judged.bundle).version
    done = propose_candidate(judged, Remote())
    assert done == Published(f"Proposed on the branch `retrain/{version}`: Retrain: candidate {version}, PROMOTE")
    changed = run(remote_of(judged), "git", "diff", "--name-only", "main", f"retrain/{version}").split()
    assert "data.dvc" in changed
    assert any(path.startswith(".dvc/store/") for path in changed)
    assert (github.open[1]["head"], github.open[1]["base"]) == (f"retrain/{version}", "main")


def test_without_new_data_nothing_is_proposed_whatever_else_changed(judged):
    (judged.root / "src/project/model.py").write_text("2\n")
    assert propose_candidate(judged, Remote()) == Published(
        "Nothing new: the same data and code gave the same candidate."
    )


def test_on_a_detached_head_a_release_needs_the_branchs_name(judged):
    run(judged.root, "git", "checkout", "--quiet", "--detach")
    assert current_branch(judged.root) is None
    with pytest.raises(SlipwayError, match=r"no branch is checked out here: --branch"):
        publish(judged, Remote(), SECOND)
    assert publish(judged, Remote(branch="main"), SECOND).tag


def test_promoting_with_an_image_pins_it_in_the_same_commit(judged):
    decision = promote(judged, image=FIRST)
    assert pins(judged.root)["staging"].version == decision.version
