"""An object store as input and output, of a real S3 server; and what it refuses."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pandas as pd
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from batch.conftest import ROWS, read, run, spoiled, store, table
from checkouts import ROOT
from serving.running import Direct, quiet
from slipway.batch.places import Place
from slipway.feedback import label
from slipway.problem import SlipwayError

BIN = ROOT / ".venv/moto/bin"
POLICY = """
import boto3, json, sys
bucket, action = sys.argv[1:]
client = boto3.client("s3")
statement = {"Effect": "Deny", "Principal": "*", "Action": action, "Resource": f"arn:aws:s3:::{bucket}/*"}
client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    subprocess.run(["make", "--silent", ".venv/moto/.done"], cwd=ROOT, check=True)
    command = [BIN / "moto_server", "--host", "127.0.0.1", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout or ():
        if found := re.search(r"Running on (http://\S+)", line):
            break
    else:
        pytest.fail("the server did not start")
    yield found[1]
    process.kill()
    process.communicate()


@pytest.fixture
def bucket(server, monkeypatch) -> Iterator[fs.FileSystem]:
    """The store, with a bucket of the name `here`."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "a-key")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    system = fs.S3FileSystem(endpoint_override=server, allow_bucket_creation=True, allow_bucket_deletion=True)
    system.create_dir("here")
    yield system
    system.delete_dir("here")


def put(system: fs.FileSystem, path: str, rows: slice) -> None:
    with system.open_output_stream(path) as stream:
        pq.write_table(table().slice(rows.start, rows.stop - rows.start), stream)


def names(system: fs.FileSystem) -> list[str]:
    found = system.get_file_info(fs.FileSelector("here", recursive=True))
    return sorted(info.path for info in found if info.type == fs.FileType.File)


def test_a_glob_is_read_and_a_folder_of_parts_written_as_on_a_disk(bucket, scorer, tmp_path):
    for number in range(3):
        put(bucket, f"here/in/day={number}/x.parquet", slice(100 * number, 100 * number + 100))
    put(bucket, "here/in/other/y.parquet", slice(0, 10))
    summary = run("s3://here/in/day=*/*.parquet", "s3://here/out/", scorer)
    assert (summary.rows, summary.rejected) == (ROWS, 0)
    out = [name for name in names(bucket) if name.startswith("here/out")]
    assert out == ["here/out/_SUCCESS", *(f"here/out/part-0000{n}.parquet" for n in range(3))]
    run(store(table(), tmp_path / "in.parquet"), tmp_path / "out", scorer)
    found = pd.concat([pq.read_table(bucket.open_input_file(name)).to_pandas() for name in out[1:]], ignore_index=True)
    pd.testing.assert_frame_equal(
        *(frame.drop(columns="prediction_id") for frame in (found, read(tmp_path / "out"))), check_exact=True
    )


def test_refused_rows_are_listed_in_the_store(bucket, scorer, tmp_path):
    store(spoiled(7), tmp_path / "in.csv")
    run(tmp_path / "in.csv", "s3://here/out.csv.gz", scorer)
    assert names(bucket) == ["here/out.csv.gz", "here/out.csv.gz.rejected"]
    with bucket.open_input_stream("here/out.csv.gz.rejected") as listed:
        assert pd.read_csv(listed)["field"].tolist() == ["height"]


def test_a_run_over_an_object_store_is_not_written_over(bucket, scorer):
    put(bucket, "here/in.parquet", slice(0, 100))
    run("s3://here/in.parquet", "s3://here/out/", scorer)
    with pytest.raises(SlipwayError, match="s3://here/out: exists already"):
        run("s3://here/in.parquet", "s3://here/out/", scorer)
    with pytest.raises(SlipwayError, match=r"s3://here/in\.parquet: the output is the input"):
        run("s3://here/in.parquet", "s3://here/in.parquet", scorer)


@pytest.mark.parametrize(
    ("given", "output", "words"),
    [
        ("s3://nowhere/in.parquet", "s3://here/out/", "s3://nowhere/in.parquet: no such file or folder"),
        ("s3://nowhere/*.parquet", "s3://here/out/", r"s3://nowhere/\*.parquet: no file is there"),
        ("s3://here/in.parquet", "s3://nowhere/out/", "s3://nowhere/out.*: cannot be written: .*"),
        ("s3://here/in.parquet", "s3://nowhere/out.csv", "s3://nowhere/out.csv: cannot be written: .*"),
    ],
)
def test_a_bucket_that_is_not_there_is_an_error(given, output, words, bucket, scorer):
    put(bucket, "here/in.parquet", slice(0, 100))
    with pytest.raises(SlipwayError, match=words):
        run(given, output, scorer)
    assert names(bucket) == ["here/in.parquet"]


@pytest.mark.parametrize(
    ("action", "given", "output", "words"),
    [
        ("GetObject", "no-getobject/in.parquet", "here/out.parquet", r"no-getobject/in\.parquet: cannot be re"),
        ("PutObject", "here/in.parquet", "no-putobject/out.parquet", r"no-putobject/out\.parquet: cannot be written"),
    ],
)
def test_a_bucket_that_refuses_is_an_error_with_its_words(action, given, output, words, bucket, scorer):
    bucket.create_dir(f"no-{action.lower()}")
    put(bucket, given, slice(0, 100))
    subprocess.run([BIN / "python", "-c", POLICY, f"no-{action.lower()}", f"s3:{action}"], check=True)
    with pytest.raises(SlipwayError, match=f"{words}.*(ACCESS_DENIED|403)"):
        run(f"s3://{given}", f"s3://{output}", scorer)
    assert "here/out.parquet" not in names(bucket)


def test_what_a_run_keeps_in_the_store_is_joined_with_a_truth_that_lies_there(bucket, released):
    given, bundle = released.table / "test.parquet", released.champion / "bundle"
    rows = run(given, "s3://here/out.parquet", bundle, keep="s3://here/kept")
    found = label(released, "s3://here/out.parquet", "s3://here/kept")  # the output holds the id and, here, the truth
    assert found["joined"] == found["learn"]["rows"] == rows.rows


def test_what_a_service_keeps_in_the_store_is_joined_with_its_feedback(bucket, released):
    direct = Direct(quiet(released.champion / "bundle", predictions="s3://here/kept"))
    row = direct.model.predictor.bundle.examples["rows"][0]
    (answer,) = direct.ask("/predict", row).json()["predictions"]
    direct.ask("/feedback", {"id": answer["id"], "truth": answer["label"]})
    direct.model.close()
    direct.close()
    (champion,) = label(released, None, "s3://here/kept")["models"]
    assert (champion["rows"], champion["scores"]["accuracy"]["value"]) == (1, 1.0)


def test_a_store_that_is_gone_is_an_error_with_its_name(bucket, released, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(SlipwayError, match="s3://here/kept/feedback: cannot be listed"):
        label(released, None, "s3://here/kept")


def test_az_takes_the_account_from_the_environment(monkeypatch):
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(SlipwayError, match="set AZURE_STORAGE_ACCOUNT_NAME, or write abfs://day@ACCOUNT"):
        Place.of("az://day/in.csv")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "penguins")
    place = Place.of("az://day/in.csv")
    assert place.system.equals(fs.AzureFileSystem("penguins"))
    assert (place.path, place.shown) == ("day/in.csv", "az://day/in.csv")
