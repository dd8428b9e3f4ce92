"""Arrow batches of another engine: the predictions of `slipway predict`, and refused rows with their reasons."""

from __future__ import annotations

import json
import subprocess
import sys

import pandas as pd
import pyarrow as pa

from batch.conftest import ROWS, read, run, store, table
from slipway.batch import annotated


def test_batches_get_the_columns_of_predict_and_refused_rows_their_errors(scorer, tmp_path):
    rows = table().to_pylist()
    rows[7]["height"], rows[9]["leaves"], rows[9]["site"] = 11.5, None, "east"
    content = pa.Table.from_pylist(rows, table().schema)
    run(store(content, tmp_path / "in.parquet"), tmp_path / "out.parquet", scorer)
    found = pa.Table.from_batches(annotated(content.to_batches(), scorer)).to_pandas()
    refused = found["refused"].notna()
    pd.testing.assert_frame_equal(
        found[~refused].drop(columns=["prediction_id", "refused"]).reset_index(drop=True),
        read(tmp_path / "out.parquet").drop(columns="prediction_id"),
        check_dtype=False,
        check_exact=True,
    )
    assert len(found) == ROWS
    told = {row["code"]: json.loads(row["refused"]) for row in found[refused].to_dict("records")}
    assert {code: [one["field"] for one in errors] for code, errors in told.items()} == {
        "00007": ["height"],
        "00009": ["site", "leaves"],
    }
    assert told["00007"][0]["value"] == 11.5
    assert found[refused][["prediction", "model_version", "prediction_id"]].isna().all(axis=None)


def test_an_empty_batch_tells_the_columns(scorer):
    (none,) = annotated([pa.RecordBatch.from_pylist([], table().schema)], scorer)
    assert none.schema.names[-6:] == [
        "probability.rose",
        "probability.lily",
        "probability.fern",
        "model_version",
        "prediction_id",
        "refused",
    ]


def test_who_predicts_loads_no_web_framework():
    loaded = "import sys, slipway.batch; print({'fastapi', 'starlette', 'httpx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
