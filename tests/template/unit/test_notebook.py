"""What a notebook reads through slipway.notebook, and how `make notebooks` tells a failing cell."""

import os
import subprocess
import sys

import pytest

from checkouts import ROOT, run
from slipway.notebook import Project
from slipway.problem import SlipwayError


def test_the_table_is_read_as_it_is_here_and_as_a_commit_names_it(released):
    table = released.data / "penguins-raw.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-10]))
    project = Project(released.root)
    here, committed = project.rows(), project.rows("HEAD")
    assert 0 < len(here) < len(committed)
    assert committed["body_mass_g"].dtype == "float64"
    assert released.data.exists()


def test_the_models_the_verdict_and_the_parts_are_those_of_the_last_run(released):
    project = Project(released.root / "src")
    train, test = project.parts()
    assert set(train["individual"]).isdisjoint(test["individual"])
    assert project.candidate().version == project.champion().version
    assert project.candidate().score(test) > 0.85
    assert project.verdict().attrs["verdict"] == "PROMOTE"
    assert "behaviour" in set(project.verdict()["check"])
    assert project.target not in project.features
    assert "bill_length_mm" in project.numbers
    assert "species" not in project.numbers


def test_without_a_recorded_run_there_are_none(released, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert len(Project(released.root).runs()) == 0


@pytest.mark.parametrize(
    ("folder", "ask", "words"),
    [
        ("/", lambda project: project, "not in a project"),
        (".", lambda project: project.rows("gone"), "gone: no such commit, branch or tag here"),
        (".", lambda project: project.parts(), "`slipway run` makes it"),
    ],
)
def test_what_is_not_there_is_told_with_the_way_out(released, folder, ask, words):
    (released.table / "test.parquet").unlink()
    with pytest.raises(SlipwayError, match=words):
        ask(Project(released.root / folder))


# part: notebooks
def test_a_failing_cell_is_named_by_its_number_and_the_next_notebook_is_executed(tmp_path):
    pytest.importorskip("nbclient", reason="needs what `make notebooks` installs")
    (tmp_path / "bad.py").write_text("# %% [markdown]\n# A text\n\n# %%\nx = 1\n\n# %%\nx / 0\n\n# %%\nx = 2\n")
    (tmp_path / "good.py").write_text("# %%\n1 + 1\n")
    environment = os.environ | {"JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    command = [sys.executable, ROOT / "notebooks/execute", "bad.py", "good.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "bad.py: cell 3 failed: ZeroDivisionError: division by zero\n    x / 0" in done.stdout
    assert "good.py: executed" in done.stdout
    assert '"text/plain": [\n       "2"' in (tmp_path / "build/notebooks/good.ipynb").read_text()


def test_the_notebooks_of_the_template_are_scripts_without_outputs():
    assert run(ROOT, "git", "ls-files", "*.ipynb") == ""
