"""A run that was killed: what is complete stays, and the next one loses and doubles nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from batch.conftest import read, run, spoiled, store
from slipway.problem import SlipwayError

HERE = Path(__file__).parent
WRONG = (3, 220, 449)


def kill(given: Path | str, output: Path | str, bundle: Path, call: int, *resume: str) -> None:
    """Run in a process that is killed while it predicts for the part of that number, from 1."""
    command = [sys.executable, str(HERE / "killed.py"), *map(str, (given, output, bundle, call)), *resume]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(HERE.parent)}, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.fixture(scope="session")
def interrupted(bundle, tmp_path_factory) -> Path:
    """A folder with the input and the output of a run that was killed; only for copying and reading."""
    folder = tmp_path_factory.mktemp("interrupted")
    kill(store(spoiled(*WRONG, rows=450), folder / "in.csv"), folder / "out", bundle, 5)
    return folder


@pytest.fixture
def given(interrupted, tmp_path, monkeypatch) -> Path:
    """A copy of its output, in the working directory; gives the input, which is where it was."""
    for name in ("out", "out.rejected"):
        if (interrupted / name).exists():
            shutil.copytree(interrupted / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return Path(interrupted / "in.csv")


def kept(folder: Path) -> pd.DataFrame:
    """All predictions and refused rows; ids are other ones in each run."""
    lists = [pd.read_csv(path) for path in sorted(Path(f"{folder}.rejected").iterdir())]
    return pd.concat([read(folder).drop(columns="prediction_id"), *lists], ignore_index=True)


def test_a_killed_run_leaves_complete_parts_without_the_mark_of_success(interrupted):
    names = sorted(path.name for path in (interrupted / "out").iterdir() if path.suffix == ".csv")
    assert names[:2] == ["part-00000.csv", "part-00001.csv"]
    assert [len(pd.read_csv(interrupted / "out" / name)) for name in names[:2]] == [99, 100]
    assert not (interrupted / "out" / "_SUCCESS").exists()


def test_the_next_run_loses_and_doubles_nothing(given, bundle):
    resumed = run(given, "out", bundle, resume=True)
    whole = run(given, "whole", bundle)
    pd.testing.assert_frame_equal(kept(Path("out")), kept(Path("whole")))
    assert read(Path("out"))["prediction_id"].is_unique
    assert resumed.resumed >= 200
    assert (resumed.rows, resumed.rejected, resumed.predictions) == (450, 3, whole.predictions)
    assert resumed.drift == whole.drift
    assert sorted(path.name for path in Path("out").iterdir()) == ["_SUCCESS", *(f"part-0000{n}.csv" for n in range(5))]


def test_a_run_that_is_killed_twice_can_be_resumed_twice(given, bundle):
    kill(given, "out", bundle, 1, "resume")
    assert run(given, "out", bundle, resume=True).rows == 450
    assert len(read(Path("out"))) == 447


def test_a_run_without_resume_does_not_touch_the_parts(given, bundle):
    with pytest.raises(SlipwayError, match=r"out: exists already.*--resume continues an interrupted run"):
        run(given, "out", bundle)


@pytest.mark.parametrize("other", ["input", "model", "number of rows in a part", "list of counts"])
def test_parts_of_another_run_are_not_mixed(other, given, made, bundle):
    if other == "input":
        given = store(spoiled(*WRONG, rows=450), Path("in.csv"))
    if other == "list of counts":  # of another version of Slipway
        state = Path("out/_progress/run.json")
        state.write_text(state.read_text().replace("sampled", "seen"))
    rows = 50 if other == "number of rows in a part" else 100
    with pytest.raises(SlipwayError, match=f"the interrupted run had another {other}"):
        run(given, "out", made["alive"] if other == "model" else bundle, part_rows=rows, resume=True)


def test_a_complete_folder_has_nothing_to_resume(given, bundle):
    run(given, "out", bundle, resume=True)
    with pytest.raises(SlipwayError, match="out: no interrupted run is here: it is complete"):
        run(given, "out", bundle, resume=True)


def test_where_no_run_was_interrupted_one_begins(given, bundle):
    assert run(given, "other", bundle, resume=True).resumed == 0
    assert len(read(Path("other"))) == 447
    Path("foreign").mkdir()
    Path("foreign/part-00000.csv").write_text("not ours")
    with pytest.raises(SlipwayError, match="foreign: exists already"):
        run(given, "foreign", bundle, resume=True)


def test_a_file_is_written_as_a_whole_so_there_is_nothing_to_resume(given, bundle):
    with pytest.raises(SlipwayError, match="--resume needs a folder as OUTPUT"):
        run(given, "out.csv", bundle, resume=True)
