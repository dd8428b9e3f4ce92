"""Micro-batches as a table of small cases: which requests run together, where, and who gets which answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from slipway.serving import ProblemDetails
from slipway.serving.batching import MAX_ROWS, QUICK, Batcher


class Model:
    """Answers each row with itself, and writes down what it was asked at once, and in which thread."""

    def __init__(self) -> None:
        self.asked: list[list[Any]] = []
        self.threads: list[str] = []
        self.free = threading.Event()
        self.free.set()

    def __call__(self, rows: list[Any]) -> list[Any]:
        self.asked.append(rows)
        self.threads.append(threading.current_thread().name.partition("_")[0])
        assert self.free.wait(10)
        if "bad" in rows:
            raise ValueError("a bad row")
        return list(rows)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def batcher(model: Model) -> Iterator[Batcher]:
    made = Batcher(model, timeout=30)
    made._cost = 0.0  # this model is known to be quick
    yield made
    made.close()


def run(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 10))


def ask(batcher: Batcher, *requests: list[Any]) -> list[Any]:
    """Send these requests at once; the answers, or errors, in their order."""

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*(batcher.few(rows) for rows in requests), return_exceptions=True)

    return run(all_of_them())


def test_requests_that_arrive_together_run_together_and_each_gets_its_own_rows(batcher: Batcher, model: Model) -> None:
    assert ask(batcher, ["a"], ["b", "c"], ["d"]) == [["a"], ["b", "c"], ["d"]]
    assert model.asked == [["a", "b", "c", "d"]]
    assert ask(batcher, ["e"]) == [["e"]]  # and the next ones run again
    assert model.threads == ["MainThread"] * 2


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([MAX_ROWS - 1, 1], [MAX_ROWS]),
        ([MAX_ROWS - 1, 2], [MAX_ROWS - 1, 2]),
        ([1, MAX_ROWS + 1, 1], [1, MAX_ROWS + 1, 1]),
        ([200, 50, 6, 1], [256, 1]),
    ],
)
def test_a_batch_has_as_many_rows_as_are_allowed_and_a_larger_request_runs_alone(
    sizes: list[int], batches: list[int], batcher: Batcher, model: Model
) -> None:
    requests = [[f"{number}-{row}" for row in range(size)] for number, size in enumerate(sizes)]
    assert ask(batcher, *requests) == requests
    assert [len(rows) for rows in model.asked] == batches


def test_an_error_goes_to_the_request_that_caused_it(batcher: Batcher, model: Model) -> None:
    first, wrong, last = ask(batcher, ["a"], ["b", "bad"], ["c"])
    assert (first, str(wrong), last) == (["a"], "a bad row", ["c"])
    assert [str(error) for error in ask(batcher, ["bad"])] == ["a bad row"]
    assert ask(batcher, ["d"]) == [["d"]]


def test_the_first_batch_runs_in_a_thread_as_it_may_be_slow_and_requests_meanwhile_form_the_next(model: Model) -> None:
    batcher = Batcher(model, timeout=30)
    model.free.clear()

    async def meanwhile() -> list[Any]:
        first = asyncio.create_task(batcher.few(["a"]))
        while not model.asked:
            await asyncio.sleep(0)
        more = [asyncio.create_task(batcher.few([name])) for name in "bc"]
        await asyncio.sleep(0)
        assert not first.done()
        model.free.set()
        return [await task for task in (first, *more)]

    assert run(meanwhile()) == [["a"], ["b"], ["c"]]
    assert model.asked == [["a"], ["b", "c"]]
    assert model.threads[0] == "inference"
    batcher.close()


def test_quick_batches_move_to_the_event_loop_and_slow_ones_back_to_the_thread(
    batcher: Batcher, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, spent = 0.0, iter(())

    def clock() -> float:
        nonlocal now
        now += next(spent, 0.0)
        return now

    monkeypatch.setattr("slipway.serving.batching.perf_counter", clock)
    batcher._cost = QUICK
    took = [0.0] * 6  # nothing is known of the first
    took += [60.0, 60.0]  # once, the machine was busy; twice, it is the model
    took += [0.0, 0.0, QUICK * 1.1, QUICK * 1.2, QUICK * 1.6, 0.0]
    for seconds in took:
        spent = iter((0.0, seconds))
        ask(batcher, ["a"])
    event_loop, thread = ["MainThread"], ["inference"]
    assert model.threads == thread + event_loop * 7 + thread * 2 + event_loop * 3 + thread


def test_a_request_waits_for_its_answer_as_long_as_it_may_and_is_then_not_run(model: Model) -> None:
    batcher = Batcher(model, timeout=0.05)
    model.free.clear()

    async def late() -> list[Any]:
        first = asyncio.create_task(batcher.few(["a"]))
        while not model.asked:
            await asyncio.sleep(0)
        answers = await asyncio.gather(first, batcher.few(["b"]), return_exceptions=True)
        model.free.set()
        while batcher._threaded or batcher._scheduled:
            await asyncio.sleep(0)
        batcher._timeout = 10
        return [*answers, await batcher.few(["c"])]

    *refused, answer = run(late())
    assert [(error.status_code, error.detail) for error in refused] == [(503, "the prediction timed out")] * 2
    assert answer == ["c"]
    assert model.asked == [["a"], ["c"]]
    batcher.close()


def test_a_large_request_runs_in_a_thread_of_its_own_and_within_the_same_time(model: Model) -> None:
    batcher = Batcher(model, timeout=10)
    never = threading.Event()

    async def many(job: Any) -> Any:
        return await batcher.many(job)

    assert run(many(lambda: threading.current_thread().name)).startswith("large")
    batcher._timeout = 0.05
    with pytest.raises(ProblemDetails, match="the prediction timed out"):
        run(many(lambda: never.wait(10)))
    never.set()
    batcher.close()


def test_large_requests_run_one_at_a_time(batcher: Batcher) -> None:
    started: list[str] = []
    go_on = threading.Event()

    def job(name: str) -> bool:
        started.append(name)
        return go_on.wait(10)

    async def both() -> list[bool]:
        jobs = [asyncio.create_task(batcher.many(lambda name=name: job(name))) for name in "ab"]
        while not started:
            await asyncio.sleep(0)
        await asyncio.sleep(0.02)
        assert started == ["a"]
        go_on.set()
        return [await one for one in jobs]

    assert run(both()) == [True, True]


def test_closing_waits_for_nothing_and_starts_nothing_more(model: Model) -> None:
    batcher = Batcher(model, timeout=10)
    model.free.clear()

    async def close() -> None:
        running = [asyncio.create_task(batcher.few(["a"])), asyncio.create_task(batcher.many(lambda: model(["b"])))]
        while len(model.asked) < 2:
            await asyncio.sleep(0)
        late = [threads.submit(model, ["c"]) for threads in (batcher._thread, batcher._large)]
        batcher.close()
        assert [one.done() for one in running] == [False, False]
        assert [one.cancelled() for one in late] == [True, True]
        model.free.set()
        assert await asyncio.gather(*running) == [["a"], ["b"]]

    run(close())


def test_of_a_batch_whose_first_client_left_the_others_get_their_answers(model: Model) -> None:
    batcher = Batcher(model, timeout=10)
    model.free.clear()

    async def leave() -> list[Any]:
        first, second = (asyncio.create_task(batcher.few([name])) for name in "ab")
        while not model.asked:
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        model.free.set()
        return await second

    assert run(leave()) == ["b"]
    assert model.asked == [["a", "b"]]
    batcher.close()


def test_a_request_waits_no_longer_than_it_may_while_a_batch_with_a_bad_row_is_run_again_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first of them are quick, so that the next batch may run on the event loop; but this one has not ended."""
    monkeypatch.setattr("slipway.serving.batching.perf_counter", lambda: 0.0)
    reached, free = threading.Event(), threading.Event()

    def answer(rows: list[Any]) -> list[Any]:
        if "bad" in rows:
            raise ValueError("a bad row")
        if rows == ["slow"]:
            reached.set()
            assert free.wait(10)
        return rows

    batcher = Batcher(answer, timeout=0.05)

    async def meanwhile() -> None:
        batch = [asyncio.create_task(batcher.few([name])) for name in ("bad", "slow")]
        while not reached.is_set():
            await asyncio.sleep(0)
        with pytest.raises(ProblemDetails, match="the prediction timed out"):
            await batcher.few(["late"])
        free.set()
        await asyncio.gather(*batch, return_exceptions=True)

    try:
        run(meanwhile())
    finally:
        free.set()
        batcher.close()
