import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from checkouts import commit_params, copy_checkout, retrain, run
from overlays import commit_overlays, pinned
from slipway.champion import POINTER
from slipway.cli import main
from slipway.lineage import lineage
from slipway.model.bundle import read_bundle
from slipway.problem import SlipwayError
from slipway.release import promote, rollback
from slipway.stages.prepare import data_digest
from slipway.workspace import Workspace

pytestmark = pytest.mark.xdist_group("story")  # its fixtures are made once


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


def deploy(workspace: Workspace, digit: str, version: str, commit: str) -> str:
    text = pinned(digit, version, commit)
    return commit_overlays(workspace.root, f"Deploy {version}", {"staging": text, "production": text})


@pytest.fixture(scope="module")
def story(original, tmp_path_factory) -> Story:
    workspace = copy_checkout(original, tmp_path_factory.mktemp("story") / "checkout")
    root, commits = workspace.root, {"first": head(original.root), "built first": head(original.root, "HEAD~1")}
    versions = [read_bundle(workspace.bundle).version]
    deploy(workspace, "a", versions[0], commits["built first"])

    workspace = retrain(workspace, 1.1)
    commits["built second"] = head(root)
    versions.append(read_bundle(workspace.bundle).version)
    workspace.tracked.write_text(json.dumps({"candidate": read_bundle(workspace.bundle).digest, "run": "r2"}))
    promote(workspace)
    commits["second"] = head(root)
    run(root, "git", "tag", f"model/{versions[1]}")
    deploy(workspace, "b", versions[1], commits["built second"])
    rollback(workspace, reason="it bites")
    commits["rolled back"] = head(root)
    deploy(workspace, "a", versions[0], commits["built first"])

    workspace = retrain(commit_params(workspace, "inverse_regularization: 1.1", "inverse_regularization: 1.0"), 1.2)
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
    found = lineage(story.root, story.versions[1])
    assert lineage(story.root, name(found["bundle"])) == found


def test_a_model_is_followed_back_to_all_that_made_it(story, clone):
    found = lineage(clone, story.versions[1])
    bundle = read_bundle(story.workspace.champion / "bundle")
    assert found["name"] == bundle.manifest.name
    commit, *_, subject = found["built from"].split(maxsplit=3)
    assert commit == story.commits["built second"][:12]
    assert subject == "Turn inverse_regularization: 1.0 into inverse_regularization: 1.1"
    [release] = found["released"]
    assert release.startswith(story.commits["second"][:12])
    assert f"promote {story.versions[1]} instead of {story.versions[0]}: the gate's verdict (Ada <ada@e" in release
    [ended] = found["replaced"]
    assert ended.startswith(story.commits["rolled back"][:12])
    assert f"rollback {story.versions[0]} instead of {story.versions[1]}: it bites" in ended
    assert found["data"] == bundle.manifest.data
    assert found["parameters"]["model"] == {"inverse_regularization": 1.1}
    assert set(found["parameters"]) == {"prepare", "model", "train"}
    assert found["scores"]["accuracy"] > 0.9
    assert (found["verdict"], found["MLflow run"], found["tag"]) == ("PROMOTE", "r2", f"model/{story.versions[1]}")
    assert found["images"] == [f"ghcr.io/ada/penguins@sha256:{'b' * 64}"]
    assert found["notes"] == []


def test_the_commands_that_it_prints_fetch_bundle_and_data(story, clone):
    found = lineage(clone, story.versions[1])
    run(clone, "sh", "-c", found["fetch bundle"])
    run(clone, "sh", "-c", found["fetch data"])
    assert read_bundle(clone / "champion" / "bundle").digest == found["bundle"]
    assert data_digest(clone / "data") == found["data"]


def test_data_that_the_releasing_commit_does_not_name_is_fetched_from_the_commit_that_does(clone, story):
    text = (clone / "data.dvc").read_text()
    digest = lineage(clone, story.versions[1])["data"]
    run(clone, "git", "checkout", "--quiet", "--orphan", "copied")
    (clone / "data.dvc").write_text(text.replace(digest, "f" * 32 + ".dir"))
    run(clone, "git", "commit", "--quiet", "--all", "--message", "All at once, and newer data")
    found = lineage(clone, story.versions[0])
    assert found["data"] == digest
    assert digest in run(clone, "git", "show", f"{found['fetch data'].split()[2]}:data.dvc")


def test_the_state_of_each_model(story):
    assert [lineage(story.root, v)["state"] for v in story.versions] == ["serves", "rolled back", "candidate"]


def test_the_state_is_that_of_the_commit_that_is_checked_out(story, clone):
    run(clone, "git", "checkout", "--quiet", story.commits["second"])
    assert [lineage(clone, v)["state"] for v in story.versions[:2]] == ["earlier champion", "serves"]
    run(clone, "git", "checkout", "--quiet", story.commits["first"])
    assert lineage(clone, story.versions[1])["state"] == "released on another branch"


def test_a_model_that_was_released_twice_shows_each_release_and_what_made_the_first(story):
    found = lineage(story.root, story.versions[0])
    again, first = found["released"]
    assert again.startswith(story.commits["rolled back"][:12])
    assert first.startswith(story.commits["first"][:12])
    assert found["built from"].startswith(story.commits["built first"][:12])
    assert story.commits["first"][:12] in found["fetch bundle"]


def test_what_is_pinned_where_is_that_of_the_last_commit(story):
    image = f"ghcr.io/ada/penguins@sha256:{'a' * 64}"
    assert lineage(story.root, story.versions[0])["pinned in"] == {"staging": image, "production": image}
    assert [lineage(story.root, version)["pinned in"] for version in story.versions[1:]] == [{}, {}]


def test_a_candidate_that_was_never_released_is_described_from_the_work_tree(story):
    found = lineage(story.root, story.versions[2])
    assert found["built from"].startswith(story.commits["built third"][:12])
    assert (found["fetch bundle"], found["released"], found["tag"]) == (None, [], None)
    assert found["data"] == data_digest(story.workspace.data)
    assert found["parameters"]["model"] == {"inverse_regularization": 1.2}
    assert found["verdict"] == "PROMOTE"
    assert found["MLflow run"] is None  # build/tracked.json is of another one


def test_a_candidate_made_of_uncommitted_files_says_so(story, tmp_path):
    workspace = copy_checkout(story.workspace, tmp_path / "copy")
    (workspace.root / "params.yaml").open("a").write("\n# a change\n")
    assert "params.yaml" in lineage(workspace.root, story.versions[2])["notes"][-1]


def test_the_start_of_several_models_is_refused_and_names_them(clone):
    commit_overlays(clone, "By hand", {"one": pinned("d", "abcdef000001"), "two": pinned("e", "abcdef000002")})
    with pytest.raises(SlipwayError, match=r"abcdef may be any of abcdef00000\d, abcdef00000\d: give more digits"):
        lineage(clone, "abcdef")
    found = lineage(clone, "abcdef000002")
    assert (found["state"], found["bundle"], list(found["pinned in"])) == ("not released", None, ["two"])


def test_an_image_of_which_no_overlay_says_the_model_is_refused_with_the_way_out(clone):
    commit_overlays(clone, "By hand", {"canary": pinned("e").replace("slipway/model-version", "team")})
    with pytest.raises(SlipwayError, match=r"no overlay says which model.*image.version"):
        lineage(clone, "sha256:" + "e" * 64)


@pytest.mark.parametrize("what", ["ffffffff", "12", "model/ffffffffffff", "HEAD", "--all", ""])
def test_what_is_unknown_is_refused_and_the_versions_known_are_named(story, what):
    with pytest.raises(SlipwayError, match="git fetch --tags") as refused:
        lineage(story.root, what)
    assert all(version in str(refused.value) for version in story.versions)


def test_a_shallow_clone_says_how_to_get_the_rest(story, tmp_path):
    run(tmp_path, "git", "clone", "--quiet", "--depth", "1", story.root.as_uri(), "shallow")
    shallow = tmp_path / "shallow"
    found = lineage(shallow, story.versions[0])
    assert found["state"] == "serves"
    assert found["built from"] == f"{story.commits['built first']}, not in this clone"
    with pytest.raises(SlipwayError, match="git fetch --unshallow --tags"):
        lineage(shallow, story.versions[1])
    run(shallow, "git", "fetch", "--quiet", "--unshallow", "--tags")
    assert lineage(shallow, story.versions[1]) == lineage(story.root, story.versions[1])


def test_a_repository_copied_without_its_history_still_says_what_is_known(story, clone):
    run(clone, "git", "checkout", "--quiet", story.commits["second"])
    shutil.rmtree(clone / ".git")
    run(clone, "git", "init", "--quiet")
    run(clone, "git", "add", ".")
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    run(clone, "git", *identity, "commit", "--quiet", "--message", "All at once")
    found = lineage(clone, story.versions[1])
    assert found["built from"] == f"{story.commits['built second']}, not in this clone"
    assert found["parameters"]["model"] == {"inverse_regularization": 1.1}
    assert found["data"] == data_digest(story.workspace.data)
    assert head(clone)[:12] in found["fetch data"]
    assert "the parameters are those of the release" in found["notes"][0]


def test_a_decision_that_does_not_name_the_data_has_the_data_of_its_commit(story, clone):
    pointer = yaml.safe_load((clone / POINTER).read_text())
    pointer["meta"] |= {"digest": "f" * 64, "data": None}
    (clone / POINTER).write_text(yaml.safe_dump(pointer))
    run(clone, "git", "commit", "--quiet", "--all", "--message", "By hand")
    assert head(clone)[:12] in lineage(clone, "f" * 12)["fetch data"]


def test_a_broken_record_in_the_history_is_told_and_the_rest_is_found(story, clone):
    whole = (clone / POINTER).read_bytes()
    (clone / POINTER).write_bytes(b"\xff<<<<<<< HEAD")
    broken = commit_overlays(clone, "A conflict, committed", {"production": "images: ["})
    found = lineage(clone, story.versions[1])
    assert found["state"] == "earlier champion"  # what was rolled back cannot be read just now
    assert sum(note.startswith(broken[:8]) for note in found["notes"]) == 2
    assert any("which model serves is not known" in note for note in found["notes"])
    (clone / POINTER).write_bytes(whole)
    run(clone, "git", "commit", "--quiet", "--all", "--message", "Repaired")
    assert lineage(clone, story.versions[1])["state"] == "rolled back"


def test_an_overlay_that_is_gone_pins_nothing(clone, story):
    run(clone, "git", "rm", "--quiet", "-r", "k8s")
    run(clone, "git", "commit", "--quiet", "--message", "No cluster")
    assert lineage(clone, story.versions[0])["pinned in"] == {}


def test_a_candidate_that_cannot_be_read_is_told_and_the_rest_is_found(story, tmp_path):
    workspace = copy_checkout(story.workspace, tmp_path / "copy")
    (workspace.bundle / "model.onnx").write_bytes(b"")
    assert any("the candidate cannot be read" in note for note in lineage(workspace.root, story.versions[1])["notes"])


def test_outside_of_git_and_before_the_first_commit_it_says_what_is_missing(story, tmp_path):
    with pytest.raises(SlipwayError, match="not a git repository"):
        lineage(tmp_path, "123456")
    with pytest.raises(SlipwayError, match="no such folder"):
        lineage(tmp_path / "nowhere", "123456")
    run(tmp_path, "git", "init", "--quiet")
    with pytest.raises(SlipwayError, match="models known here: none"):
        lineage(tmp_path, "123456")
    shutil.copytree(story.workspace.bundle, tmp_path / "build" / "bundle")
    assert lineage(tmp_path, story.versions[2])["state"] == "candidate"


def test_the_command_prints_what_is_known_for_people_and_as_json(story):
    def call(*arguments: str) -> str:
        done = CliRunner().invoke(main, ["--root", str(story.root), "lineage", *arguments])
        assert done.exit_code == 0, done.output
        return done.output

    found = lineage(story.root, story.versions[1])
    assert json.loads(call("--json", story.versions[1])) == found
    printed = call(story.versions[1])
    assert printed.startswith(
        f"version      {story.versions[1]}\nname         {found['name']}\nstate        rolled back\n"
    )
    for part in (
        *found["released"],
        *found["images"],
        found["fetch bundle"],
        "model: inverse_regularization 1.1",
        "r2",
    ):
        assert part in printed
    assert "scores       accuracy 0.95, " in printed
    assert "pinned in    production: ghcr.io/ada/penguins@sha256:aaa" in call(story.versions[0])


def test_nothing_heavy_is_imported(clone, story):
    code = (
        "import sys; from pathlib import Path; from slipway.lineage import lineage\n"
        f"lineage(Path({str(clone)!r}), {story.versions[1]!r})\n"
        "print([m for m in ('dvc', 'pandas', 'sklearn', 'mlflow', 'onnxruntime', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
