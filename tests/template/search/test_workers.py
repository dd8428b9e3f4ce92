"""Several workers of one study on a real PostgreSQL, one of which is killed in the middle of a trial."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from optuna.trial import TrialState
from sqlalchemy.exc import ProgrammingError

from postgres import Postgres
from search.meadows import make_meadow
from slipway.search import run, storage

TRIALS = 12


@pytest.fixture
def database() -> Iterator[str]:
    server = Postgres()
    yield server.url
    server.remove()


def worker(root: Path, url: str, dies_at: int = 0) -> subprocess.Popen[str]:
    """Start a worker, which begins when it reads a line."""
    command = [sys.executable, "-c", WORKER, str(root), url, str(dies_at)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)


WORKER = """
import os, signal, sys
from pathlib import Path
from slipway.search import Objective, run
from slipway.workspace import Workspace

root, url, dies_at = sys.argv[1:]
fold, left = Objective.score, int(dies_at)

def score(*arguments):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return fold(*arguments)

Objective.score = score
input()
run(Workspace(Path(root)), url, joins=True, say=print)
"""


def test_a_killed_worker_loses_its_trial_to_the_others_and_nothing_else(database, tmp_path):
    workspace = make_meadow(tmp_path / "meadow", trials=f"{TRIALS}\n  pruning: false")
    killed, *others = (worker(workspace.root, database, dies_at) for dies_at in (3, 0, 0))
    killed.communicate("go\n")
    assert killed.returncode == -signal.SIGKILL
    with sqlalchemy.create_engine(database).begin() as connection:  # an hour later
        connection.execute(sqlalchemy.text("UPDATE trial_heartbeats SET heartbeat = heartbeat - interval '1 hour'"))
    for one in others:
        one.stdin.write("go\n")
        one.stdin.flush()
    said = [one.communicate()[0] for one in others]
    assert [one.returncode for one in others] == [0, 0]
    assert all(f"/{TRIALS}  log_loss" in text for text in said)

    with storage.opened(database) as opened:
        (study,) = opened.get_all_studies()
        every = opened.get_all_trials(study._study_id)
    (lost,) = (one for one in every if one.state == TrialState.FAIL)
    (retried,) = (one for one in every if one.system_attrs.get("failed_trial") == lost.number)
    assert (retried.state, retried.params) == (TrialState.COMPLETE, lost.params)
    complete = sum(one.state == TrialState.COMPLETE for one in every)
    assert TRIALS <= complete <= TRIALS + 1  # each of two workers may run the last one
    assert complete + 1 == len(every)

    found, trials = run(workspace, database, joins=False, say=print)
    assert (found.trials, len(trials)) == ({"complete": complete}, complete)


def test_workers_that_make_the_tables_at_the_same_moment_try_again(tmp_path, monkeypatch):
    url, made, waited = f"sqlite:///{tmp_path}/study.db", storage.RDBStorage, []

    def crowded(*arguments, **options):
        if not waited:
            raise ProgrammingError("CREATE TABLE", {}, Exception("it exists already"))
        return made(*arguments, **options)

    monkeypatch.setattr(storage, "RDBStorage", crowded)
    monkeypatch.setattr(storage.time, "sleep", waited.append)
    with storage.opened(url) as opened:
        assert opened.get_all_studies() == []
    assert waited == [1]
