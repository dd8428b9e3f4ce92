import json
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from checkouts import commit_params, copy_checkout, retrain, run
from overlays import commit_overlays, pinned
from slipway.champion import POINTER, history
from slipway.cli import main
from slipway.model.bundle import read_bundle
from slipway.problem import SlipwayError
from slipway.release import promote, rollback
from slipway.stages.prepare import data_digest
from slipway.trace import CommitTrace, ModelTrace, trace
from slipway.workspace import Workspace


@dataclass
class Story:
    """A first champion, deployed; a second one, deployed and rolled back; a third candidate, never released."""

    workspace: Workspace
    versions: list[str]  # of the three
    commits: dict[str, str]

    @property
    def root(self) -> Path:
        return self.workspace.root


def head(root: Path, revision: str = "HEAD") -> str:
    return run(root, "git", "rev-parse", revision).strip()


def lock(workspace: Workspace) -> None:
    """Write what DVC would write of the candidate."""
    stages = {
        "prepare": {"cmd": "slipway prepare", "deps": [{"path": "data", "md5": data_digest(workspace.data)}]},
        "train": {"cmd": "slipway train", "outs": [{"path": "build/bundle", "md5": data_digest(workspace.bundle)}]},
    }
    (workspace.root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def deploy(workspace: Workspace, digit: str, version: str, commit: str) -> str:
    text = pinned(digit, version, commit)
    return commit_overlays(workspace.root, f"Deploy {version}", {"staging": text, "production": text})


@pytest.fixture(scope="module")
def story(original, tmp_path_factory) -> Story:
    workspace = copy_checkout(original, tmp_path_factory.mktemp("story") / "checkout")
    root, commits = workspace.root, {"first": head(original.root), "built first": head(original.root, "HEAD~1")}
    versions = [read_bundle(workspace.bundle).version]
    commits["first deployed"] = deploy(workspace, "a", versions[0], commits["built first"])

    workspace = retrain(workspace, 0.9)
    commits["built second"] = head(root)
    versions.append(read_bundle(workspace.bundle).version)
    workspace.tracked.write_text(json.dumps({"candidate": read_bundle(workspace.bundle).digest, "run": "r2"}))
    lock(workspace)
    promote(workspace)
    commits["second"] = head(root)
    run(root, "git", "tag", f"model/{versions[1]}")
    commits["second deployed"] = deploy(workspace, "b", versions[1], commits["built second"])
    rollback(workspace, reason="it bites")
    commits["rolled back"] = head(root)
    commits["deployed again"] = deploy(workspace, "a", versions[0], commits["built first"])

    workspace = retrain(commit_params(workspace, "inverse_regularization: 0.9", "inverse_regularization: 1.0"), 0.8)
    commits["built third"] = head(root)
    versions.append(read_bundle(workspace.bundle).version)
    return Story(workspace, versions, commits)


@pytest.fixture
def clone(story, tmp_path) -> Path:
    """A clone in which nothing was pulled."""
    folder = tmp_path / "clone"
    run(tmp_path, "git", "clone", "--quiet", str(story.root), str(folder))
    run(folder, "git", "config", "user.name", "Ada")
    run(folder, "git", "config", "user.email", "ada@example.org")
    return folder


def model(root: Path, what: str) -> ModelTrace:
    found = trace(root, what)
    assert isinstance(found, ModelTrace)
    return found


def commit(root: Path, what: str) -> CommitTrace:
    found = trace(root, what)
    assert isinstance(found, CommitTrace)
    return found


@pytest.mark.parametrize(
    "name",
    [
        lambda digest: digest[:6],
        lambda digest: f" {digest[:12].upper()} ",
        lambda digest: digest,
        lambda digest: f"sha256:{digest}",
        lambda digest: f"model/{digest[:12]}",
        lambda digest: f"refs/tags/model/{digest[:12]}",
        lambda digest: "sha256:" + "b" * 64,
        lambda digest: "ghcr.io/ada/penguins@sha256:" + "b" * 64,
    ],
)
def test_a_model_goes_by_many_names(story, name):
    digest = model(story.root, story.versions[1]).digest
    assert digest is not None
    assert model(story.root, name(digest)) == model(story.root, story.versions[1])


def test_a_model_is_traced_back_to_all_that_made_it(story, clone):
    found = model(clone, story.versions[1])
    bundle = read_bundle(story.workspace.champion / "bundle")
    assert found.name == bundle.manifest.name
    assert found.built_from is not None
    assert found.built_from.hash == story.commits["built second"]
    assert found.built_from.subject == "Turn inverse_regularization: 1.0 into inverse_regularization: 0.9"
    [release] = found.releases
    assert (release.commit, release.action) == (story.commits["second"], "promote")
    assert (release.previous, release.who) == (story.versions[0], "Ada <ada@example.org>")
    [ended] = found.replaced
    assert (ended.commit, ended.version, ended.reason) == (story.commits["rolled back"], story.versions[0], "it bites")
    assert found.data is not None
    assert found.data.digest == bundle.manifest.data
    assert found.parameters["model"] == {"inverse_regularization": 0.9}
    assert set(found.parameters) == {"prepare", "model", "train"}
    assert found.scores["accuracy"] > 0.9
    assert (found.verdict, found.run, found.tag) == ("PROMOTE", "r2", f"model/{story.versions[1]}")
    assert found.images == [f"ghcr.io/ada/penguins@sha256:{'b' * 64}"]
    assert found.notes == []


def test_the_commands_that_it_prints_fetch_bundle_and_data(story, clone):
    found = model(clone, story.versions[1])
    assert found.fetch is not None
    assert found.data is not None
    assert found.data.fetch is not None
    run(clone, "sh", "-c", found.fetch)
    run(clone, "sh", "-c", found.data.fetch)
    assert read_bundle(clone / "champion" / "bundle").digest == found.digest
    assert data_digest(clone / "data") == found.data.digest


def test_data_that_the_releasing_commit_no_longer_names_is_fetched_from_the_commit_that_does(clone, story):
    text = (clone / "data.dvc").read_text()
    digest = model(clone, story.versions[1]).data.digest
    run(clone, "git", "checkout", "--quiet", "--orphan", "copied")
    (clone / "data.dvc").write_text(text.replace(digest, "f" * 32 + ".dir"))
    run(clone, "git", "commit", "--quiet", "--all", "--message", "All at once, and newer data")
    found = model(clone, story.versions[0])
    assert found.data.digest == digest
    named = found.data.fetch.split()[2]
    assert digest in run(clone, "git", "show", f"{named}:data.dvc")


def test_what_a_model_is_now(story):
    states = [(found.state, found.candidate) for found in (model(story.root, v) for v in story.versions)]
    assert states == [("serves", False), ("rolled_back", False), ("candidate", True)]


def test_what_a_model_was_is_seen_from_an_earlier_commit(story, clone):
    run(clone, "git", "checkout", "--quiet", story.commits["second"])
    assert [model(clone, version).state for version in story.versions[:2]] == ["earlier champion", "serves"]
    run(clone, "git", "checkout", "--quiet", story.commits["first"])
    later = model(clone, story.versions[1])
    assert later.state == "released elsewhere"
    assert later.releases[0].commit == story.commits["second"]
    assert any("not in HEAD's history" in note for note in later.notes)


def test_a_model_that_was_released_twice_shows_each_release_and_what_made_the_first(story):
    found = model(story.root, story.versions[0])
    assert [(r.action, r.commit) for r in found.releases] == [
        ("rollback", story.commits["rolled back"]),
        ("promote", story.commits["first"]),
    ]
    assert found.built_from.hash == story.commits["built first"]
    assert story.commits["first"][:12] in found.fetch


def test_where_a_model_is_deployed_and_was(story):
    def places(version: str) -> set[tuple[str, str, str | None, bool]]:
        return {(d.overlay, d.pin.image[-1], d.commit, d.until is None) for d in model(story.root, version).deployed}

    again, first, second = (story.commits[n] for n in ("deployed again", "first deployed", "second deployed"))
    overlays = ("staging", "production")
    assert places(story.versions[0]) == {(o, "a", c, c == again) for o in overlays for c in (again, first)}
    assert places(story.versions[1]) == {(o, "b", second, False) for o in overlays}
    assert places(story.versions[2]) == set()


def test_a_candidate_that_was_never_released_is_traced_from_the_work_tree(story):
    found = model(story.root, story.versions[2])
    assert found.built_from.hash == story.commits["built third"]
    assert (found.fetch, found.releases, found.tag) == (None, [], None)
    assert found.data.digest == data_digest(story.workspace.data)
    assert found.parameters["model"] == {"inverse_regularization": 0.8}
    assert found.verdict == "PROMOTE"
    assert found.run is None  # build/tracked.json is of another one


def test_a_commit_is_traced_forward_to_what_was_built_of_it(story, clone):
    found = commit(clone, story.commits["built second"])
    assert [step.commit for step in found.built] == [story.commits["second"]]
    assert (found.champion, found.next, found.released) == (story.versions[0], None, [])
    assert {(d.overlay, d.commit) for d in found.deployed} == {
        (overlay, story.commits["second deployed"]) for overlay in ("staging", "production")
    }
    assert {(d.overlay, d.pin.version) for d in found.pinned} == {
        (overlay, story.versions[0]) for overlay in ("staging", "production")
    }


def release_by_hand(root: Path, **meta: str | None) -> None:
    """Commit the champion as it is, with another decision."""
    pointer = yaml.safe_load((root / POINTER).read_text())
    pointer["meta"].update(meta)
    (root / POINTER).write_text(yaml.safe_dump(pointer))
    run(root, "git", "commit", "--quiet", "--all", "--message", "By hand")


def test_of_a_commit_that_nothing_was_built_of_the_next_promotion_is_shown(story, clone):
    after = commit(clone, story.commits["second deployed"])
    assert [step.commit for step in commit(clone, story.commits["built first"]).built] == [story.commits["first"]]
    assert (after.built, after.next) == ([], None)  # the rollback that followed was built of nothing later
    release_by_hand(clone, action="promote", digest="f" * 64, commit=head(clone))
    found = commit(clone, story.commits["first deployed"])
    assert found.built == []
    assert found.next.commit == story.commits["second"]
    assert commit(clone, story.commits["second deployed"]).next.version == "f" * 12


def test_a_commit_that_released_says_so_and_names_the_bundle_of_its_dvc_lock(story, clone):
    found = commit(clone, story.commits["second"])
    assert [step.version for step in found.released] == [story.versions[1]]
    assert (found.champion, found.candidate) == (story.versions[1], story.versions[1])
    assert found.data.digest == data_digest(story.workspace.data)
    before = commit(clone, story.commits["built second"])
    assert (before.bundle, before.candidate) == (None, None)  # there was no dvc.lock yet
    assert before.data.digest == found.data.digest  # of data.dvc


def test_a_bundle_in_dvc_lock_that_was_never_released_is_named_if_it_is_at_hand(story, tmp_path):
    workspace = copy_checkout(story.workspace, tmp_path / "copy")
    lock(workspace)
    run(workspace.root, "git", "commit", "--quiet", "--all", "--message", "A run")
    assert commit(workspace.root, "HEAD").candidate == story.versions[2]
    shutil.rmtree(workspace.bundle)
    found = commit(workspace.root, "HEAD")
    assert found.bundle.endswith(".dir")
    assert found.candidate is None


def test_a_commit_of_another_branch_came_to_nothing_here(clone):
    run(clone, "git", "checkout", "--quiet", "-b", "side", "HEAD~1")
    run(clone, "git", "commit", "--quiet", "--allow-empty", "--message", "Aside")
    run(clone, "git", "checkout", "--quiet", "main")
    found = commit(clone, "side")
    assert (found.built, found.next) == ([], None)
    assert any("not in HEAD's history" in note for note in found.notes)


def test_what_may_be_a_model_and_a_commit_is_the_model_and_it_says_how_the_commit_is_meant(story, clone):
    both = story.commits["built second"][:12]
    commit_overlays(clone, "By hand", {"canary": pinned("e", both)})
    found = model(clone, both)
    assert found.state == "not released"
    assert found.digest is None
    assert f"slipway trace {both}^0" in found.notes[-1]
    assert commit(clone, f"{both}^0").commit.hash == story.commits["built second"]


def test_the_start_of_several_models_is_refused_and_names_them(clone):
    commit_overlays(clone, "By hand", {"one": pinned("d", "abcdef000001"), "two": pinned("e", "abcdef000002")})
    with pytest.raises(SlipwayError, match=r"abcdef may be any of abcdef00000\d, abcdef00000\d: give more digits"):
        trace(clone, "abcdef")
    assert model(clone, "abcdef000002").deployed[0].overlay == "two"


def test_an_image_of_which_no_overlay_says_the_model_is_refused_with_the_way_out(clone):
    commit_overlays(clone, "By hand", {"canary": pinned("e").replace("slipway/model-version", "team")})
    with pytest.raises(SlipwayError, match=r"no overlay says with which model.*image.version"):
        trace(clone, "sha256:" + "e" * 64)


@pytest.mark.parametrize("what", ["ffffffff", "12", "model/ffffffffffff", "no-such-branch", "--all", ""])
def test_what_is_unknown_is_refused_and_the_versions_known_are_named(story, what):
    with pytest.raises(SlipwayError, match="git fetch --tags") as refused:
        trace(story.root, what)
    assert all(version in str(refused.value) for version in story.versions)


def test_a_shallow_clone_says_what_it_cannot_know_and_how_to_get_it(story, tmp_path):
    run(tmp_path, "git", "clone", "--quiet", "--depth", "1", story.root.as_uri(), "shallow")
    shallow = tmp_path / "shallow"
    found = model(shallow, story.versions[0])
    assert (found.state, found.built_from.when, found.parameters) == ("serves", None, {})
    assert [(step.action, step.commit) for step in found.releases] == [("rollback", None)]
    assert found.data == model(story.root, story.versions[0]).data.__class__(found.data.digest, found.data.fetch)
    assert found.data.fetch.startswith(f"git checkout {head(shallow)[:12]} ")
    assert {(d.commit, d.since) for d in found.deployed} == {(None, None)}
    assert any("git fetch --unshallow" in note for note in found.notes)
    assert commit(shallow, "HEAD").released == []
    with pytest.raises(SlipwayError, match="this clone is shallow: `git fetch --unshallow --tags`"):
        trace(shallow, story.versions[1])
    run(shallow, "git", "fetch", "--quiet", "--unshallow", "--tags")
    assert model(shallow, story.versions[1]) == model(story.root, story.versions[1])


def copy_without_history(clone: Path) -> None:
    """As "Use this template" does, or a squash: the commits that made it are not there."""
    shutil.rmtree(clone / ".git")
    run(clone, "git", "init", "--quiet")
    run(clone, "git", "config", "user.name", "Ada")
    run(clone, "git", "config", "user.email", "ada@example.org")
    run(clone, "git", "add", ".")
    run(clone, "git", "commit", "--quiet", "--message", "All at once")


@pytest.mark.parametrize("recorded", [True, False])
def test_a_copied_repository_still_says_what_is_known(story, clone, recorded):
    run(clone, "git", "checkout", "--quiet", story.commits["second"])
    if not recorded:  # as before decisions named the data
        release_by_hand(clone, data=None)
    copy_without_history(clone)
    found = model(clone, story.versions[1])
    assert found.built_from.hash == story.commits["built second"]
    assert found.built_from.when is None
    assert found.parameters["model"] == {"inverse_regularization": 0.9}
    assert found.data.digest == data_digest(story.workspace.data)
    assert head(clone)[:12] in found.data.fetch
    assert any("is not here (rebased" in note for note in found.notes)


def test_of_a_copied_repository_nothing_is_said_that_its_one_commit_does_not_prove(story, clone):
    run(clone, "git", "checkout", "--quiet", story.commits["second"])
    copy_without_history(clone)
    assert commit(clone, "HEAD").candidate is None  # its dvc.lock may be of another one than the champion
    run(clone, "git", "commit", "--quiet", "--allow-empty", "--message", "Later")
    release_by_hand(clone, action="rollback", digest="f" * 64)
    assert commit(clone, "HEAD~1").next is None


def test_a_broken_record_in_the_history_is_told_and_the_rest_is_traced(story, clone):
    whole = (clone / POINTER).read_bytes()
    (clone / POINTER).write_bytes(b"\xff<<<<<<< HEAD")
    run(clone, "git", "commit", "--quiet", "--all", "--message", "A conflict, committed")
    broken = head(clone)
    found = model(clone, story.versions[1])
    assert found.state == "earlier champion"  # what was rolled_back cannot be read just now
    assert any(broken[:8] in note for note in found.notes)
    assert any("what serves cannot be told" in note for note in found.notes)
    (clone / POINTER).write_bytes(whole)
    run(clone, "git", "commit", "--quiet", "--all", "--message", "Mended")
    assert model(clone, story.versions[1]).state == "rolled_back"
    assert commit(clone, broken).champion is None
    with pytest.raises(SlipwayError, match=f"{broken[:8]}:champion.dvc: does not say what was released"):
        history(clone)  # what a rollback would restore must not be guessed


def test_without_overlays_nothing_is_deployed(clone, story):
    run(clone, "git", "rm", "--quiet", "-r", "k8s")
    run(clone, "git", "commit", "--quiet", "--message", "No cluster")
    assert [d for d in model(clone, story.versions[0]).deployed if d.until is None] == []


def test_a_candidate_that_cannot_be_read_is_told_and_the_rest_is_traced(story, tmp_path):
    workspace = copy_checkout(story.workspace, tmp_path / "copy")
    (workspace.bundle / "model.onnx").write_bytes(b"")
    assert any("the candidate cannot be read" in note for note in model(workspace.root, story.versions[1]).notes)


def test_outside_of_git_and_before_the_first_commit_it_says_what_is_missing(story, tmp_path):
    with pytest.raises(SlipwayError, match="run it in a clone of the project"):
        trace(tmp_path, "HEAD")
    with pytest.raises(SlipwayError, match="no such folder"):
        trace(tmp_path / "nowhere", "HEAD")
    run(tmp_path, "git", "init", "--quiet")
    with pytest.raises(SlipwayError, match="models known here: none"):
        trace(tmp_path, "HEAD")
    shutil.copytree(story.workspace.bundle, tmp_path / "build" / "bundle")
    assert model(tmp_path, story.versions[2]).state == "candidate"


def test_the_command_prints_what_is_known_for_people_and_as_json(story):
    def call(*arguments: str) -> str:
        done = CliRunner().invoke(main, ["--root", str(story.root), "trace", *arguments])
        assert done.exit_code == 0, done.output
        return done.output

    found = model(story.root, story.versions[1])
    assert json.loads(call("--json", story.versions[1])) == asdict(found)
    said = call(story.versions[1])
    assert said.startswith(f"{found.name} {story.versions[1]}: rolled_back\n")
    for part in (found.fetch, found.data.fetch, found.built_from.subject, "it bites", "r2", found.images[0], found.tag):
        assert part in said
    forward = call(story.commits["built second"])
    assert f"promote {story.versions[1]} instead of {story.versions[0]}: the gate's verdict" in forward
    assert json.loads(call("--json", "HEAD"))["commit"]["hash"] == head(story.root)
    assert "candidate\nbundle" in call(story.versions[2])


def test_nothing_heavy_is_imported(clone, story):
    code = (
        "import sys; from pathlib import Path; from slipway.trace import trace\n"
        f"trace(Path({str(clone)!r}), {story.versions[1]!r}); trace(Path({str(clone)!r}), 'HEAD')\n"
        "print([m for m in ('dvc', 'pandas', 'sklearn', 'mlflow', 'onnxruntime', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
