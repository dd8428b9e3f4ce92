"""The example on a cluster, a master and two workers: the rows of `slipway predict`, and refused ones with reasons."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from batch.conftest import read, run, store, trip_table
from trips import make_trip_bundle

HOME = Path(os.environ["SPARK_HOME"])
ENVIRONMENT = {
    **os.environ,
    "SPARK_LOCAL_IP": "127.0.0.1",
    "PYSPARK_PYTHON": sys.executable,
    # Half the CPU in processes that live for seconds: no compiler that optimizes, no threads that collect garbage.
    "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}


def start(log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [HOME / "bin/spark-class", *arguments, "--host", "127.0.0.1", "--webui-port", "0"]
    with log.open("wb") as file:
        return subprocess.Popen(command, env=ENVIRONMENT, stdout=file, stderr=subprocess.STDOUT)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """The URL of a master; its workers and programs wait until it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    url = f"spark://127.0.0.1:{port}"
    at = "org.apache.spark.deploy"
    processes = [start(tmp_path / "master.log", f"{at}.master.Master", "--port", port)]
    for number in range(2):
        options = ("--cores", "1", "--memory", "1g", "--work-dir", f"{tmp_path}/work")
        processes.append(start(tmp_path / f"worker-{number}.log", f"{at}.worker.Worker", url, *options))
    yield url
    for process in processes:
        process.terminate()
        process.wait()


def test_a_cluster_gives_the_rows_of_predict(cluster: str, tmp_path: Path) -> None:
    bundle = make_trip_bundle(tmp_path)  # a field of every kind, and of every kind one that may be missing
    rows = [{"code": number, **row} for number, row in enumerate(trip_table().to_pylist())]
    rows[7]["km"], rows[9]["line"] = 1000.0, "east"
    content = pa.Table.from_pylist(rows, pa.schema([("code", pa.int64()), *trip_table().schema]))
    for number in range(2):
        store(content.slice(number * 50, 50), tmp_path / "in" / f"night={number}" / "x.parquet")
    command = [HOME / "bin/spark-submit", "--master", cluster]
    times = "spark.sql.parquet.outputTimestampType=TIMESTAMP_MICROS"  # by default, Spark 1's own form
    for setting in ("spark.executor.memory=512m", "spark.ui.enabled=false", "spark.log.level=WARN", times):
        command += ["--conf", setting]
    command += [Path(__file__).with_name("spark_score.py"), tmp_path / "in", tmp_path / "scored", bundle]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    run(f"{tmp_path}/in/*/*.parquet", tmp_path / "out", bundle)
    found = pd.read_parquet(tmp_path / "scored").sort_values("code", ignore_index=True)
    refused = found["refused"].notna()
    assert (len(found), found["code"][refused].tolist()) == (len(rows), [7, 9])
    assert [json.loads(one)[0]["field"] for one in found["refused"][refused]] == ["km", "line"]
    own = read(tmp_path / "out").drop(columns="prediction_id")
    pd.testing.assert_frame_equal(
        found[~refused].reset_index(drop=True)[list(own)], own, check_dtype=False, check_exact=True
    )
