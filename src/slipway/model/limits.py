"""Time and memory limits for a call into a library that has none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TypeVar

T = TypeVar("T")
GRACE = 1.0  # seconds to end after `stop`


def limited(function: Callable[[], T], *, seconds: float, memory: int, stop: Callable[[], object] = int) -> T:
    """Call a function in a thread; return its result or raise its error.

    seconds: the timeout (wall clock). stop: called at the timeout to end the function; a thread that does not end is
    abandoned. memory: bytes that the process may allocate meanwhile (Linux only).
    Raises TimeoutError or MemoryError, naming the limit.
    """
    done: Future[T] = Future()

    def call() -> None:
        try:
            done.set_result(function())
        except BaseException as error:  # noqa: BLE001  (raised again in the caller's thread)
            done.set_exception(error)

    with memory_limit(memory):
        Thread(target=call, daemon=True).start()
        wait([done], seconds)
    if not done.done():
        stop()
        wait([done], GRACE)
        raise TimeoutError(f"longer than the limit of {seconds:g} seconds")
    error = done.exception()
    if isinstance(error, MemoryError) or "alloc" in str(error):  # "alloc": C++'s bad_alloc
        raise MemoryError(f"more than the limit of {memory / 1e6:,.0f} MB of memory") from error
    return done.result()


@contextmanager
def memory_limit(memory: int) -> Iterator[None]:
    """Lower the soft limit on the process's data in this context; without /proc/self/statm do nothing."""
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    except (ImportError, OSError):
        used = 0
    if not used:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [used + memory, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
