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
import pyspark
import pytest

from batch.conftest import ROWS, read, run, store, table
from serving import bundles

HOME = Path(pyspark.__file__).parent
ENVIRONMENT = {
    **os.environ,
    "SPARK_HOME": str(HOME),
    "SPARK_LOCAL_IP": "127.0.0.1",
    "PYSPARK_PYTHON": sys.executable,
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
    bundles.write(tmp_path / "bundle", bundles.KINDS["species"][0], runtime="onnx")
    rows = table().to_pylist()
    rows[7]["height"], rows[9]["site"] = 11.5, "east"
    content = pa.Table.from_pylist(rows, table().schema)
    for number in range(3):
        store(content.slice(number * 100, 100), tmp_path / "in" / f"day={number}" / "x.parquet")
    command = [Path(sys.executable).with_name("spark-submit"), "--master", cluster]
    command += ["--conf", "spark.executor.memory=512m", Path(__file__).with_name("spark_score.py")]
    command += [tmp_path / "in", tmp_path / "scored", tmp_path / "bundle"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    run(f"{tmp_path}/in/*/*.parquet", tmp_path / "out", tmp_path / "bundle")
    found = pd.read_parquet(tmp_path / "scored").sort_values("code", ignore_index=True)
    refused = found["refused"].notna()
    assert (len(found), found["code"][refused].tolist()) == (ROWS, ["00007", "00009"])
    assert [json.loads(one)[0]["field"] for one in found["refused"][refused]] == ["height", "site"]
    own = read(tmp_path / "out").drop(columns="prediction_id")
    pd.testing.assert_frame_equal(
        found[~refused].reset_index(drop=True)[list(own)], own, check_dtype=False, check_exact=True
    )
