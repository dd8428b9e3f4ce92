"""Kept predictions: what is written, and that no request waits for it or fails by it."""

from __future__ import annotations

import errno
import gzip
import http.server
import io
import json
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.json
import pytest

from serving.running import Direct, Process, quiet
from slipway.contract import Column, Contract, canonical_json
from slipway.model.bundle import MANIFEST
from slipway.model.predictor import Predictions
from slipway.problem import SlipwayError
from slipway.serving import kept
from slipway.serving.outbox import Answered, Outbox, together
from slipway.serving.stores import Folder, store_of


def files(folder: Path, kind: str = "predictions") -> list[Path]:
    return sorted(folder.glob(f"{kind}/*/*"))


def lines(folder: Path, kind: str = "predictions") -> list[dict[str, Any]]:
    contents = [gzip.decompress(path.read_bytes()) for path in files(folder, kind)]
    return [json.loads(line) for content in contents for line in content.splitlines()]


def counted(direct: Direct, kind: str, outcome: str) -> float:
    series = f'slipway_kept_rows_total{{kind="{kind}",outcome="{outcome}"'
    (line,) = (line for line in direct.ask("/metrics").body.decode().splitlines() if line.startswith(series))
    return float(line.rsplit(" ", 1)[1])


@pytest.fixture
def keeping(bundle: Path, tmp_path: Path) -> Iterator[Direct]:
    service = Direct(quiet(bundle, predictions=str(tmp_path / "kept")))
    yield service
    service.model.close()
    service.close()


def test_a_row_is_kept_with_its_answer_and_the_feedback_to_it(
    keeping: Direct, row: dict[str, Any], tmp_path: Path
) -> None:
    answer = keeping.ask("/predict", row).json()["predictions"][0]
    before = datetime.now(UTC)
    keeping.ask("/feedback", {"id": answer["id"], "truth": "fern"})
    keeping.ask("/feedback", {"id": answer["id"], "truth": "fern"})  # refused: a duplicate
    keeping.model.close()
    (found,) = lines(tmp_path / "kept")
    assert abs(datetime.fromisoformat(found.pop("time")) - before) < timedelta(minutes=1)
    assert found == {
        "id": answer["id"],
        "version": keeping.model.version,
        "row": {**row, "shade": None, "acidity": None},
        "prediction": answer["label"],
        "probabilities": answer["probabilities"],
    }
    (judged,) = lines(tmp_path / "kept", "feedback")
    assert (judged["id"], judged["truth"]) == (answer["id"], "fern")
    assert (counted(keeping, "predictions", "written"), counted(keeping, "feedback", "written")) == (1, 1)


def test_a_regression_keeps_its_value_and_true_number(
    made: dict[str, Path], row: dict[str, Any], tmp_path: Path
) -> None:
    direct = Direct(quiet(made["weight"], predictions=str(tmp_path)))
    answer = direct.ask("/predict", row).json()["predictions"][0]
    direct.ask("/feedback", {"id": answer["id"], "truth": 2})
    direct.model.close()
    (found,) = lines(tmp_path)
    assert found["prediction"] == answer["value"]
    assert "probabilities" not in found
    assert lines(tmp_path, "feedback")[0]["truth"] == 2
    direct.close()


def test_every_protocol_is_kept_and_pyarrow_reads_the_files(
    keeping: Direct, row: dict[str, Any], tmp_path: Path
) -> None:
    table = pa.table({name: [value] * 100 for name, value in row.items()})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    tensors = [
        {"name": "site", "datatype": "BYTES", "shape": [1], "data": ["north"]},
        {"name": "height", "datatype": "FP64", "shape": [1], "data": [4.5]},
        {"name": "leaves", "datatype": "INT64", "shape": [1], "data": [3]},
        {"name": "potted", "datatype": "BOOL", "shape": [1], "data": [True]},
    ]
    answers = [
        keeping.ask("/predict", row),
        keeping.ask("/predict", {"rows": [row] * 2}),
        keeping.ask("/predict", {"columns": {name: [value] * 300 for name, value in row.items()}}),
        keeping.ask("/predict", sink.getvalue(), "application/vnd.apache.arrow.stream"),
        keeping.ask("/invocations", {"dataframe_records": [row]}),
        keeping.ask("/v2/models/flowers/infer", {"inputs": tensors}),
    ]
    assert [answer.status for answer in answers] == [200] * 6
    keeping.model.close()
    (path,) = files(tmp_path / "kept")
    read = pyarrow.json.read_json(path)
    assert read.num_rows == 1 + 2 + 300 + 100 + 1 + 1
    assert len(set(read["id"].to_pylist())) == read.num_rows
    assert {json.dumps(one, sort_keys=True) for one in read["row"].to_pylist()} == {
        json.dumps({**row, "shade": None, "acidity": None}, sort_keys=True)
    }


def test_what_is_refused_is_not_kept(keeping: Direct, row: dict[str, Any], tmp_path: Path) -> None:
    assert keeping.ask("/predict", row | {"height": 99}).status == 422
    keeping.model.close()
    assert files(tmp_path / "kept") == []


def test_a_private_field_is_answered_but_never_written(bundle: Path, row: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(bundle, folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["row"]["properties"]["site"]["private"] = True
    (folder / MANIFEST).write_bytes(canonical_json(manifest))
    direct = Direct(quiet(folder, predictions=str(tmp_path / "kept")))
    assert direct.model.contract == Contract.from_schema(direct.model.contract.schema())
    assert direct.ask("/predict", row).status == 200
    direct.model.close()
    assert set(lines(tmp_path / "kept")[0]["row"]) == set(direct.model.contract.names) - {"site"}
    direct.close()


def test_off_by_default_nothing_is_made(direct: Direct) -> None:
    assert direct.model.keeper is None
    assert b"slipway_kept" not in direct.ask("/metrics").body


@pytest.mark.parametrize(("setting", "value"), [("predictions_bytes", 1), ("predictions_seconds", 1e-9)])
def test_files_are_complete_at_a_size_or_after_a_time(
    setting: str, value: float, bundle: Path, row: dict[str, Any], tmp_path: Path
) -> None:
    direct = Direct(quiet(bundle, predictions=str(tmp_path), **{setting: value}))
    written = threading.Semaphore(0)
    write = direct.model.keeper._store.write
    direct.model.keeper._store.write = lambda name, content: (write(name, content), written.release())
    for count in (1, 2):
        direct.ask("/predict", {"rows": [row] * 500})
        assert written.acquire(timeout=30)
        assert len(files(tmp_path)) == count
    assert len(lines(tmp_path)) == 1000
    direct.model.close()
    direct.close()


def test_replicas_write_side_by_side(bundle: Path, row: dict[str, Any], tmp_path: Path) -> None:
    replicas = [Direct(quiet(bundle, predictions=str(tmp_path))) for _ in range(2)]
    for direct in replicas:
        direct.ask("/predict", row)
        direct.model.close()
        direct.close()
    assert len(files(tmp_path)) == len({one["id"] for one in lines(tmp_path)}) == 2


def refuse(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("fault", ["full", "a file in the way"])
def test_a_store_that_cannot_be_written_loses_no_answer_and_is_counted(
    fault: str, keeping: Direct, row: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(keeping.model.keeper._log, "line", lambda event, **fields: told.append(f"{event} {fields}"))
    if fault == "full":
        monkeypatch.setattr("os.fsync", refuse)
    else:
        (tmp_path / "kept").write_text("")
    assert keeping.ask("/predict", {"rows": [row] * 3}).status == 200
    keeping.model.close()
    assert counted(keeping, "predictions", "dropped") == 3
    assert [path for path in (tmp_path / "kept").rglob("*") if path.is_file()] == []
    assert len(told) == 1
    assert "not kept" in told[0]


def test_a_store_that_was_gone_is_written_again(
    keeping: Direct, row: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, dropped = keeping.model.keeper, threading.Event()
    drop = keeper._drop
    monkeypatch.setattr(keeper, "_drop", lambda *given: (drop(*given), dropped.set()))
    keeper._settings = keeper._settings.model_copy(update={"predictions_bytes": 1})
    (tmp_path / "kept").write_text("in the way")
    assert keeping.ask("/predict", {"rows": [row] * 3}).status == 200
    assert dropped.wait(30)
    (tmp_path / "kept").unlink()
    assert keeping.ask("/predict", row).status == 200
    keeping.model.close()
    assert len(lines(tmp_path / "kept")) == 1
    assert (counted(keeping, "predictions", "dropped"), counted(keeping, "predictions", "written")) == (3, 1)


def test_a_store_that_never_answers_blocks_neither_requests_nor_the_end(
    keeping: Direct, row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, free = threading.Event(), threading.Event()

    def hang(*_: Any) -> None:
        hanging.set()
        free.wait()

    keeper = keeping.model.keeper
    monkeypatch.setattr(keeper._store, "write", hang)
    monkeypatch.setattr(kept, "CLOSE_SECONDS", 0.01)
    keeper._queue.limit = 100 * keeper._queue.width
    keeper._settings = keeper._settings.model_copy(update={"predictions_bytes": 1})
    keeping.ask("/predict", {"rows": [row] * 64})
    assert hanging.wait(30)
    statuses = [keeping.ask("/predict", {"rows": [row] * 64}).status for _ in range(5)]
    assert statuses == [200] * 5
    assert counted(keeping, "predictions", "dropped") == 4 * 64  # one request's rows wait, the others found no room
    keeping.model.close()
    assert keeper._thread.is_alive()
    free.set()
    keeper._thread.join(30)


def test_a_row_that_cannot_be_written_does_not_end_the_keeping(
    keeping: Direct, row: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = keeping.model.keeper
    with monkeypatch.context() as patch:
        failed = threading.Event()
        drop = keeper._drop
        patch.setattr(keeper, "_drop", lambda *given: (drop(*given), failed.set()))
        patch.setattr(keeper._lines, "of", refuse)
        keeping.ask("/predict", row)
        assert failed.wait(30)
    keeping.ask("/predict", row)
    keeping.model.close()
    assert len(lines(tmp_path / "kept")) == 1
    assert counted(keeping, "predictions", "dropped") == 1


def test_of_rows_that_cannot_be_written_there_is_no_empty_file(
    keeping: Direct, row: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping.model.keeper._lines, "of", refuse)
    keeping.ask("/predict", row)
    keeping.model.close()
    assert files(tmp_path / "kept") == []


def test_after_kill_9_there_are_complete_files_only(bundle: Path, row: dict[str, Any], tmp_path: Path) -> None:
    with Process(bundle, predictions=tmp_path, predictions_bytes=1) as process:
        with httpx.Client() as client:
            while len(files(tmp_path)) < 3:
                client.post(f"{process.url}/predict", json={"rows": [row] * 64})
        process.stop(signal.SIGKILL)
    assert len(lines(tmp_path)) % 64 == 0


def test_sigterm_writes_what_is_open(bundle: Path, row: dict[str, Any], tmp_path: Path) -> None:
    with Process(bundle, predictions=tmp_path) as process:
        httpx.post(f"{process.url}/predict", json=row)
        assert process.stop() == 0
    assert len(lines(tmp_path)) == 1


def test_old_days_go_and_nothing_else(tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    days = [f"{today - timedelta(days=back)}" for back in (0, 30, 31)]
    for name in (*days, "2020-99-99", "notes"):
        (tmp_path / "predictions" / name).mkdir(parents=True)
    Folder(tmp_path).expire("predictions", 30)
    assert {path.name for path in (tmp_path / "predictions").iterdir()} == {*days[:2], "2020-99-99", "notes"}


def test_days_are_removed_when_a_file_is_written(bundle: Path, row: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "feedback/2020-01-01").mkdir(parents=True)
    direct = Direct(quiet(bundle, predictions=str(tmp_path), predictions_days=7))
    direct.ask("/predict", row)
    direct.model.close()
    assert not (tmp_path / "feedback/2020-01-01").exists()
    assert len(lines(tmp_path)) == 1
    direct.close()


def answered(text: str, rows: int = 1) -> Answered:
    notes = np.array([text] * rows, object)
    return Answered([0.0] * rows, {"note": notes}, Predictions(np.zeros(rows), None, ()), ["id"] * rows)


def test_the_queue_has_a_limit_in_bytes_but_takes_one_large_item() -> None:
    box = Outbox(Contract("Row", (Column("note", "text"),)), 1000)
    short, more, long = answered("x"), answered("xx", 4), answered("x" * 900)
    assert [box.put(long), box.put(short)] == [True, False]
    assert box.take(1) == [long]
    assert [box.put(short), box.put(long)] == [True, False]
    assert [box.put(more), box.put(short)] == [False, True]


def test_a_batch_is_taken_up_to_a_number_of_rows_and_joined_in_order() -> None:
    box = Outbox(Contract("Row", (Column("note", "text"),)), 1 << 20)
    for text, rows in (("a", 2), ("b", 3), ("c", 1)):
        box.put(answered(text, rows))
    batch = box.take(3)
    assert together(batch).arrays["note"].tolist() == ["a", "a", "b", "b", "b"]
    assert len(together(batch).times) == len(together(batch).ids) == len(together(batch).predictions) == 5
    assert [len(one.ids) for one in box.take(99)] == [1]
    assert box.take(99) == []


def test_feedback_that_finds_no_room_is_counted(
    keeping: Direct, row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "QUEUE_JUDGED", 0)
    made = keeping.ask("/predict", row).json()["predictions"][0]["id"]
    assert keeping.ask("/feedback", {"id": made, "truth": "rose"}).status == 200
    assert counted(keeping, "feedback", "dropped") == 1


class Bucket(http.server.BaseHTTPRequestHandler):
    """As much of an S3 server as an upload needs."""

    objects: dict[str, bytes]

    def do_PUT(self) -> None:
        self.objects[self.path] = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("etag", '"1"')
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def test_a_bucket_gets_the_same_files(bundle: Path, row: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    handler = type("Handler", (Bucket,), {"objects": {}})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "here")
    direct = Direct(quiet(bundle, predictions="s3://bucket/flowers"))
    direct.ask("/predict", row)
    direct.model.close()
    server.shutdown()
    ((name, content),) = handler.objects.items()
    assert name.startswith(f"/bucket/flowers/predictions/{datetime.now(UTC):%Y-}")
    assert len(gzip.decompress(content).splitlines()) == 1
    assert counted(direct, "predictions", "dropped") == 0
    direct.close()


def test_a_dead_bucket_is_counted(bundle: Path, row: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ENDPOINT_URL": "http://127.0.0.1:9", "ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "s"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    direct = Direct(quiet(bundle, predictions="s3://bucket"))
    assert direct.ask("/predict", row).status == 200
    direct.model.close()
    assert counted(direct, "predictions", "dropped") == 1
    direct.close()


def test_a_store_that_is_none_or_lacks_its_package_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SlipwayError, match=r"nonsense://x: .*recognise"):
        store_of("nonsense://x")
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(SlipwayError, match=r"slipway\[store\]"):
        store_of("s3://bucket")
