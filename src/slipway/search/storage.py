"""Where a study is kept: a journal file on one machine, a database beyond it.

Both know workers by their heartbeat: a trial without one has lost its worker, and another worker runs it again.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages._heartbeat import BaseHeartbeat  # Optuna's own journal has none
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from slipway.problem import SlipwayError
from slipway.tracking.connection import without_password

HEARTBEAT, GRACE = 10, 60  # seconds
BEAT = "heartbeat"


class Journal(JournalStorage, BaseHeartbeat):
    """A journal file whose trials have a heartbeat."""

    def record_heartbeat(self, trial_id: int) -> None:
        """Note that the trial's worker lives."""
        self.set_trial_system_attr(trial_id, BEAT, time.time())

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        return [one._trial_id for one in running if time.time() - one.system_attrs.get(BEAT, time.time()) > GRACE]

    def get_heartbeat_interval(self) -> int:
        """Give the seconds between two beats."""
        return HEARTBEAT

    def get_heartbeat_stale_trial_callback(self) -> Callable[[optuna.Study, FrozenTrial], None]:
        """Give the action for a trial that lost its worker."""
        return RetryHeartbeatStaleTrialCallback()


@contextmanager
def opened(where: str) -> Iterator[BaseStorage]:
    """Open the storage at a URL of a database, or a path of a journal.

    Raises SlipwayError, also for errors inside the block, if it cannot be read or does not answer.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    try:
        yield _database(where) if "://" in where else _journal(where)
    except (SQLAlchemyError, OSError, ImportError) as error:
        words = " ".join(str(getattr(error, "orig", None) or error.__cause__ or error).split())
        raise SlipwayError(
            f"{without_password(f'{where}: {words}')}\nNo finished trial is lost: call it again to go on"
        ) from error


def _journal(where: str) -> BaseStorage:
    Path(where).parent.mkdir(parents=True, exist_ok=True)
    return Journal(JournalFileBackend(where))


def _database(where: str, attempts: int = 5) -> BaseStorage:
    try:
        return RDBStorage(
            where,
            heartbeat_interval=HEARTBEAT,
            grace_period=GRACE,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
        )
    except (IntegrityError, ProgrammingError):  # workers that begin at the same moment all make the tables
        if attempts == 1:
            raise
        time.sleep(1)
        return _database(where, attempts - 1)
