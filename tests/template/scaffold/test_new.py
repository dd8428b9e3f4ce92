"""`slipway new` in whole checkouts: to a verdict without an edit; and nothing at all, if anything is wrong."""

import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from checkouts import make_checkout, run, run_stages
from slipway.problem import SlipwayError
from slipway.scaffold import checkout, default_name, draft, swap
from slipway.scaffold.table import read_table
from slipway.workspace import Workspace
from strangers import PUBLIC, public, sales, write

SLIPWAY = (sys.executable, "-m", "slipway")


@pytest.fixture
def project(tmp_path):
    """A checkout of the shipped example."""
    return make_checkout(tmp_path / "checkout").root


@pytest.fixture
def plan(project, tmp_path):
    """What would be done to it for a small table."""
    table = read_table(write(public("iris"), tmp_path / "flowers.csv"))
    checkout.require_clean(project, table.path)
    return checkout.make_plan(project, table, draft(table, "target", name="flowers").files, 0.4)


def state(folder):
    """Every file of a checkout but Git's own and DVC's temporary ones, with its content."""
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    own = [
        path for path in files if path.parts[0] != ".git" and path.parts[:2] not in ((".dvc", "tmp"), (".dvc", "cache"))
    ]
    assert len(own) > 20
    return {path.as_posix(): (folder / path).read_bytes() for path in own}


def new(project, table, *options):
    return subprocess.run(
        [*SLIPWAY, "--root", str(project), "new", str(table), *options],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_the_command_makes_a_project_of_a_parquet_file_without_an_edit(project, tmp_path):
    done = new(project, write(sales(), tmp_path / "sales.parquet"), "--target", "price", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (project / "champion.dvc").exists()
    _is_laid_out(project)


def _is_laid_out(project):
    run(project, sys.executable, "-m", "ruff", "check", "src/project", "tests/model")
    run(project, sys.executable, "-m", "ruff", "format", "--check", "src/project", "tests/model", "tests/data")


@pytest.fixture
def own_project(monkeypatch):
    """Let the module `project` be that of the checkout at hand; afterwards it is what it was."""

    def named():
        return [name for name in sys.modules if name.partition(".")[0] == "project"]

    before = {name: sys.modules.pop(name) for name in named()}
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for name in named():
        del sys.modules[name]
    sys.modules.update(before)


@pytest.mark.parametrize("kind", PUBLIC)
def test_each_public_table_reaches_a_verdict_without_an_edit(kind, project, own_project, tmp_path):
    """In this process, so that the tables share what is imported: that takes most of a command's time."""
    make, target = PUBLIC[kind]
    table = read_table(write(make(), tmp_path / f"{kind}.csv"))
    checkout.apply(checkout.make_plan(project, table, draft(table, target, name=kind).files, None))
    assert run_stages(Workspace(project)).verdict == "PROMOTE"
    _is_laid_out(project)


def test_without_a_terminal_and_without_yes_the_plan_is_shown_and_nothing_written(project, tmp_path):
    before = state(project)
    done = new(project, write(public("iris"), tmp_path / "flowers.csv"), "--target", "target")
    assert done.returncode == 1
    assert "Writes   src/project/__init__.py" in done.stdout
    assert "nothing was changed" in done.stderr
    assert state(project) == before


def test_uncommitted_work_is_not_overwritten(project, tmp_path):
    path = project / "src" / "project" / "model.py"
    path.write_text(path.read_text() + "\n# mine\n")
    with pytest.raises(SlipwayError, match=r"uncommitted work could be lost: .*model\.py"):
        checkout.require_clean(project, tmp_path / "flowers.csv")


def test_rows_in_data_that_no_commit_names_are_not_lost(project, tmp_path):
    (project / "data" / "mine.csv").write_text("a,b\n")
    with pytest.raises(SlipwayError, match=r"holds rows that .*data\.dvc does not name"):
        checkout.require_clean(project, tmp_path / "flowers.csv")


def test_the_example_goes_and_the_table_comes_under_dvc(project, plan):
    checkout.apply(plan)
    assert [path.name for path in (project / "data").iterdir()] == ["flowers.csv"]
    assert plan.table.path.exists()  # it lay outside of the checkout: it was copied
    assert not (project / ".dvc" / "store").exists()
    assert run(project, sys.executable, "-m", "dvc", "status", "--json", "data.dvc") == "{}\n"
    assert run(project, sys.executable, "-m", "dvc", "push", "data.dvc").startswith("2 files pushed")


def test_the_pipeline_depends_on_the_features_of_a_table_with_dates_and_on_none_without(project, plan, tmp_path):
    assert checkout.PIPELINE not in plan.writes
    table = read_table(write(sales(), tmp_path / "sales.csv"))
    dated = checkout.make_plan(project, table, draft(table, "price", name="houses").files, None)
    stages = yaml.safe_load(dated.writes[checkout.PIPELINE])["stages"]
    found = [name for name, stage in stages.items() if "src/project/features.py" in stage["deps"]]
    assert found == ["train", "evaluate"]
    checkout.apply(dated)
    again = checkout.make_plan(project, plan.table, draft(plan.table, "target", name="flowers").files, None)
    assert "src/project/features.py" in again.removes
    assert "features.py" not in again.writes[checkout.PIPELINE]


def test_a_table_within_the_checkout_is_moved(project):
    table = read_table(write(public("iris"), project / "flowers.csv"))
    files = draft(table, "target", name="flowers").files
    checkout.apply(checkout.make_plan(project, table, files, None))
    assert not table.path.exists()
    assert (project / "data" / "flowers.csv").exists()


def test_the_repositorys_address_comes_from_origin(project, plan, tmp_path):
    run(project, "git", "remote", "add", "origin", "git@github.com:Ada/Flowers.git")
    rules = project / "monitoring" / "alerts.yml"
    rules.parent.mkdir()
    rules.write_text("runbook_url: https://github.com/OWNER/REPOSITORY/blob/main/docs\n")
    overlay = project / "k8s" / "overlays" / "staging" / "kustomization.yaml"
    overlay.parent.mkdir(parents=True)
    overlay.write_text(f"images:\n  - name: slipway\n    newName: x\n    digest: sha256:{'1' * 64}\n")
    run(project, "git", "add", ".")
    checkout.apply(checkout.make_plan(project, plan.table, plan.writes, None))
    assert rules.read_text() == "runbook_url: https://github.com/Ada/Flowers/blob/main/docs\n"
    assert f"newName: ghcr.io/ada/flowers\n    digest: sha256:{'0' * 64}\n" in overlay.read_text()


@pytest.mark.parametrize("step", ["swap.lay_out", "checkout._track", "swap.Path.rename"])
def test_a_failure_in_the_middle_leaves_the_checkout_as_it_was(project, plan, monkeypatch, step):
    before, renamed = state(project), checkout.Path.rename

    def fail(*arguments):
        if step == "swap.Path.rename" and "src/project/model.py" not in str(arguments[0]):
            return renamed(*arguments)
        monkeypatch.undo()
        raise OSError("disk full")

    monkeypatch.setattr(f"slipway.scaffold.{step}", fail)
    with pytest.raises(OSError, match="disk full"):
        checkout.apply(plan)
    assert state(project) == before


def test_a_signal_in_the_middle_leaves_the_checkout_as_it_was(project, plan, monkeypatch):
    before, renamed = state(project), checkout.Path.rename

    def stop(path, other):
        if path.name == "params.yaml":
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0)  # the handler runs between two instructions
        return renamed(path, other)

    monkeypatch.setattr("slipway.scaffold.checkout.Path.rename", stop)
    with pytest.raises(KeyboardInterrupt):
        checkout.apply(plan)
    assert state(project) == before


def test_what_a_kill_left_is_undone_by_the_next_run(project, plan, monkeypatch):
    before = state(project)
    monkeypatch.setattr(swap, "recover", lambda root: None)  # as if the process had ended there
    monkeypatch.setattr(checkout.Path, "unlink", lambda path, **_: 1 / 0 if path.name == swap.JOURNAL else None)
    with pytest.raises(ZeroDivisionError):
        checkout.apply(plan)
    monkeypatch.undo()
    assert state(project) != before
    checkout.require_clean(project, plan.table.path)
    assert state(project) == before


@pytest.mark.parametrize(
    ("file", "target", "name"),
    [
        ("My Table (2).csv", "x", "my-table-2"),
        ("2024.csv", "price", "price-2024"),
        ("penguins.csv", "Sex", "sex-penguins"),
        ("123.csv", "7", "my-7-123"),
    ],
)
def test_a_problems_name_is_made_from_the_files(tmp_path, file, target, name):
    assert default_name(tmp_path / file, target) == name
