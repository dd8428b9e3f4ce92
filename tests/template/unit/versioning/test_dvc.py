"""What Slipway asks of DVC, in a small repository: what is fetched, and which stages run."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from dvc.repo import Repo

from checkouts import ROOT, commit_files, make_repository, run
from slipway import cli, versioning
from slipway.problem import SlipwayError
from slipway.reproduction import complete

STAGES = {
    "prepare": ("data/x", "build/table"),
    "validate": ("build/table", "build/passed"),
    "train": ("build/passed", "build/model"),
    "evaluate": ("build/model", "build/scores"),
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Path:
    """A repository with two versions of data and champion, both in the DVC remote alone, and a pipeline."""
    root = make_repository(tmp_path_factory.mktemp("stored") / "checkout")
    Repo.init(str(root)).close()
    (root / ".dvc/config").write_text("[core]\n    remote = store\n['remote \"store\"']\n    url = store\n")
    pipeline = [f"  {name}: {{cmd: cp {a} {b}, deps: [{a}], outs: [{b}]}}" for name, (a, b) in STAGES.items()]
    (root / "dvc.yaml").write_text("\n".join(["stages:", *pipeline, ""]))
    (root / ".gitignore").write_text("/build\n/.dvc/store\n")
    (root / "build").mkdir()
    for version in ("old", "new"):
        for folder in ("data", "champion"):
            change(root / folder / "x", f"{version} {folder}")
        add(root, "data", "champion")
        commit_files(root, version, {})
        with versioning.dvc_repository(root) as repository:
            repository.push()
    shutil.rmtree(root / ".dvc/cache")
    return root


@pytest.fixture
def here(stored, tmp_path) -> Path:
    """A copy of `stored` for a test to change."""
    return Path(shutil.copytree(stored, tmp_path / "here", symlinks=True))


def add(root: Path, *folders: str) -> None:
    with versioning.dvc_repository(root) as repository:
        repository.add([str(root / folder) for folder in folders])


def has(root: Path, folder: str, text: str) -> bool:
    return (root / folder / "x").read_text() == text


def change(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)  # DVC keeps it write-protected
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def test_what_a_pointer_names_is_fetched_where_it_is_missing_or_of_an_earlier_version(here):
    assert versioning.fetch(here) == []
    shutil.rmtree(here / "data")
    assert versioning.fetch(here) == ["fetched what data.dvc names, which was not here"]
    assert has(here, "data", "new data")
    old = versioning.pointed(here, "data.dvc", "HEAD~1")
    change(here / "data/x", "old data")
    assert versioning.fetch(here, "champion.dvc") == []
    assert versioning.fetch(here) == [f"fetched what data.dvc names instead of {old[:8]}, which was here"]
    assert has(here, "data", "new data")


def test_a_version_of_another_branch_is_an_earlier_one_too(here):
    run(here, "git", "checkout", "--quiet", "-b", "old", "HEAD~1")
    assert len(versioning.fetch(here)) == 2
    assert (has(here, "data", "old data"), has(here, "champion", "old champion")) == (True, True)


@pytest.mark.parametrize("way", ["reset", "amended"])
def test_a_version_of_a_commit_that_is_on_no_branch_any_more_is_an_earlier_one_too(here, way):
    """As after `git reset --hard` to a branch that was pushed again after a rebase."""
    change(here / "data/x", "draft")
    add(here, "data")
    commit_files(here, "Draft", {})
    if way == "reset":
        run(here, "git", "reset", "--quiet", "--hard", "HEAD~1")
    else:
        run(here, "git", "checkout", "--quiet", "HEAD~1", "--", "data.dvc")
        run(here, "git", "commit", "--quiet", "--amend", "--allow-empty", "--message", "Not yet")
    assert len(versioning.fetch(here)) == 1
    assert has(here, "data", "new data")


def test_data_that_was_changed_here_stays_and_a_champion_does_not(here):
    for folder in ("data", "champion"):
        change(here / folder / "x", "mine")
    (said,) = versioning.fetch(here)
    assert said.startswith("fetched what champion.dvc names instead of ")
    assert (has(here, "data", "mine"), has(here, "champion", "new champion")) == (True, True)


def test_a_pointer_to_a_champion_that_was_never_committed_is_taken_back(here):
    change(here / "champion/x", "interrupted")
    add(here, "champion")
    assert len(versioning.fetch(here)) == 1
    assert has(here, "champion", "new champion")
    assert run(here, "git", "status", "--porcelain") == ""


def test_without_pointers_nothing_is_fetched_and_one_that_is_not_committed_is_used(here):
    commit_files(here, "Nothing is released", {"champion.dvc": None, "data.dvc": None})
    assert versioning.fetch(here) == []
    add(here, "champion")
    change(here / "champion/x", "mine")
    assert versioning.fetch(here)[0].startswith("fetched what champion.dvc names")
    assert has(here, "champion", "new champion")


def test_stages_run_when_something_changed_or_when_they_are_forced(here, monkeypatch):
    names = ["prepare", "validate", "train", "evaluate"]
    monkeypatch.chdir(here)
    assert versioning.reproduce(here) == dict.fromkeys(names, True)
    assert versioning.reproduce(here) == dict.fromkeys(names, False)
    change(here / "build/model", "spoiled")
    versioning.checkout(here)
    assert (here / "build/model").read_text() == "new data"
    assert versioning.reproduce(here, force=True) == dict.fromkeys(names, True)


def test_results_of_an_unchanged_stage_can_be_pulled(here, monkeypatch):
    monkeypatch.chdir(here)
    versioning.reproduce(here)
    with versioning.dvc_repository(here) as repository:
        repository.push()
    shutil.rmtree(here / "build")
    (here / "build").mkdir()
    shutil.rmtree(here / ".dvc/cache")
    assert not any(versioning.reproduce(here, pull=True).values())
    assert (here / "build/scores").read_text() == "new data"


def from_elsewhere(root: Path, monkeypatch, text: str = "new data") -> None:
    """Leave of a candidate what another machine hands over: the record of the pipeline, model and scores."""
    monkeypatch.chdir(root)
    change(root / "data/x", text)
    versioning.reproduce(root)
    for name in ("table", "passed"):
        (root / "build" / name).unlink()
    shutil.rmtree(root / "data")
    run(root, "git", "checkout", "--quiet", "data.dvc")


def test_the_tables_of_a_candidate_from_another_machine_are_made_here(here, monkeypatch):
    from_elsewhere(here, monkeypatch)
    lock = (here / "dvc.lock").read_bytes()
    complete(here)
    assert (here / "build/passed").read_text() == "new data"
    assert (here / "dvc.lock").read_bytes() == lock
    change(here / "build/model", "spoiled")
    complete(here)  # nothing to do: the tables are here
    assert (here / "dvc.lock").read_bytes() == lock


def test_a_candidate_of_other_rows_is_not_completed(here, monkeypatch):
    from_elsewhere(here, monkeypatch, "other data")
    with pytest.raises(SlipwayError, match=r"do not make the rows that the candidate was made of"):
        complete(here)


def test_dvcs_errors_are_told_with_their_causes_and_once_each(tmp_path, here):
    with (
        pytest.raises(SlipwayError, match=r"^DVC: you are not inside of a DVC repository"),
        versioning.dvc_repository(make_repository(tmp_path / "checkout")),
    ):
        pass
    cause = OSError("no room")
    cause.__cause__ = RuntimeError("no room")
    with pytest.raises(SlipwayError, match=r"^DVC: outside: no room$"), versioning.dvc_repository(here):
        raise OSError("outside") from cause


def test_stages_find_the_commands_of_this_environment_though_it_is_not_activated(here, monkeypatch):
    scripts = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", os.pathsep.join(one for one in os.environ["PATH"].split(os.pathsep) if one != scripts))
    with versioning.dvc_repository(here):
        assert os.environ["PATH"].split(os.pathsep)[0] == scripts
    with versioning.dvc_repository(here):
        assert os.environ["PATH"].split(os.pathsep).count(scripts) == 1


def test_a_run_says_from_what_to_what_data_that_was_changed_here_moves_its_pointer(here, monkeypatch):
    for name in ("pyproject.toml", "params.yaml"):
        shutil.copy(ROOT / name, here / name)
    shutil.copytree(ROOT / "src/project", here / "src/project")
    monkeypatch.setattr("slipway.cli.learn._judge", lambda at: "HOLD")
    monkeypatch.chdir(here)
    assert "data.dvc" not in CliRunner().invoke(cli.main, ["run", "--no-track"]).output
    before = versioning.pointed(here, "data.dvc")
    change(here / "data/x", "mine")
    said = CliRunner().invoke(cli.main, ["run", "--no-track"]).output
    assert f"data.dvc: {before[:8]} -> {versioning.pointed(here, 'data.dvc')[:8]}, since data/ was changed here" in said


@pytest.mark.parametrize("left", ["", '{"/data'])
def test_a_list_of_files_in_use_that_was_half_written_when_dvc_was_killed_stops_nothing(here, monkeypatch, left):
    monkeypatch.chdir(here)
    versioning.fetch(here)
    (here / ".dvc/tmp/rwlock").write_text(left)
    assert all(versioning.reproduce(here).values())


def test_an_index_of_dvcs_that_was_half_written_when_it_was_killed_hides_nothing(here):
    shutil.rmtree(here / "champion")
    versioning.fetch(here)
    with Repo(str(here)) as repository:
        index = repository.data_index
        (entry,) = [key for key, _ in index.items() if key[0] == "tree" and key[-1] == "champion"]
        del index[entry]  # the folder; its files stay
        index.commit()
    shutil.rmtree(here / "champion")
    versioning.fetch(here)
    assert has(here, "champion", "new champion")
