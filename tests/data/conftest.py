"""The data at hand, and the pipeline's validation of a table like it."""

from pathlib import Path

import pandas as pd
import pytest

from project import problem
from slipway.contract import record
from slipway.problem.params import load_params
from slipway.stages.prepare import in_test, shape
from slipway.stages.validate import ValidationReport, validate

ROOT = Path(__file__).parents[2]


@pytest.fixture
def table() -> pd.DataFrame:
    return problem.load(ROOT / "data")


@pytest.fixture
def check(tmp_path):
    def run(table: pd.DataFrame) -> ValidationReport:
        params = load_params(ROOT)
        table = shape(record(problem), table)
        test = in_test(table, problem.groups, params.prepare.test_share)
        table[~test].to_parquet(tmp_path / "train.parquet")
        table[test].to_parquet(tmp_path / "test.parquet")
        return validate(problem, params.validate_, tmp_path, tmp_path / "validation")

    return run
