"""The project as a notebook reads it: the versioned table, the models, the verdict and the runs."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from slipway.model.predictor import Predictor
from slipway.problem import SlipwayError
from slipway.problem.files import TEST, TRAIN
from slipway.versioning import DATA, fetch, fetch_at
from slipway.workspace import Workspace

DECLARED = "params.yaml"  # in the project's folder


class Project:
    """The project that a notebook is in.

    >>> project = Project()
    >>> rows = project.rows()              # as data/ is now
    >>> before = project.rows("HEAD~1")    # as a commit, branch or tag names it
    >>> train, test = project.parts()
    >>> project.candidate().predict(test).labels
    >>> project.verdict()
    >>> project.runs()
    """

    def __init__(self, folder: Path | None = None) -> None:
        """folder: inside of the project; by default the working directory. Raises SlipwayError if it is in none."""
        start = (folder or Path()).resolve()
        root = next((each for each in (start, *start.parents) if (each / DECLARED).exists()), None)
        if root is None:
            raise SlipwayError(f"{start}: not in a project: neither here nor above is a {DECLARED}")
        self.root = root
        self.workspace = Workspace(root)

    @property
    def features(self) -> list[str]:
        """The names of the features."""
        return list(self.workspace.features.names)

    @property
    def numbers(self) -> list[str]:
        """The names of the features that are numbers."""
        return [column.name for column in self.workspace.features.columns if column.kind in ("number", "integer")]

    @property
    def target(self) -> str:
        """The name of the target."""
        return self.workspace.target.column.name

    @property
    def classes(self) -> list[Any]:
        """The classes of the target; empty in a regression."""
        return list(self.workspace.target.classes)

    def rows(self, revision: str | None = None) -> pd.DataFrame:
        """Load the table, with the schema's columns and dtypes, and `_row`, the row's number in the file.

        revision: a commit, branch or tag, whose data is read, by the present code; by default `data/` as it is here,
        fetched if it is missing. Raises SlipwayError if DVC cannot fetch it, or the present code cannot load it.
        """
        from slipway.stages.prepare import load, shape

        if revision is None:
            if not self.workspace.data.exists():
                fetch(self.root, DATA)
            return shape(self.workspace.record, load(self.workspace.problem, self.workspace.data))
        with TemporaryDirectory() as name:
            folder = Path(name) / "data"
            fetch_at(self.root, DATA, revision, folder)
            return shape(self.workspace.record, load(self.workspace.problem, folder))

    def parts(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Read the training rows and the test set of the last run. Raises SlipwayError if there was none."""
        paths = [self.workspace.table / name for name in (TRAIN, TEST)]
        if missing := [path for path in paths if not path.exists()]:
            raise SlipwayError(f"{missing[0]}: missing; `slipway run` makes it")
        train, test = (pd.read_parquet(path) for path in paths)
        return train, test

    def candidate(self) -> Predictor:
        """Load the candidate: the model of the last run. Raises SlipwayError if there is none."""
        return Predictor.load(self.workspace.bundle)

    def champion(self) -> Predictor | None:
        """Load the champion, the model that serves, fetched if it is missing; None before the first release."""
        from slipway.gate import load_champion

        return load_champion(self.workspace)[0]

    def verdict(self) -> pd.DataFrame:
        """Read the gate's verdict on the candidate: a row for each reason; the verdict itself is in `attrs`."""
        content = self.workspace.read_verdict()
        table = pd.DataFrame(content["reasons"], columns=["outcome", "check", "detail"])
        table.attrs["verdict"] = content["verdict"]
        return table

    def runs(self) -> pd.DataFrame:
        """Read MLflow's runs, newest first: parameters, metrics and tags as columns; empty if none was recorded."""
        from slipway.tracking import read_runs

        return read_runs(self.workspace)
