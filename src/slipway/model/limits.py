"""Limits on time and memory of a call into a library that has none of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TypeVar

T = TypeVar("T")
GRACE = 1.0  # seconds that a stopped function has to end


def limited(function: Callable[[], T], *, seconds: float, memory: int, stop: Callable[[], object] = int) -> T:
    """Call a function in a thread and give its result or raise its error.

    seconds: of wall clock. stop: called when they are over, to end the function; a thread that goes on all the same is
    left behind. memory: bytes that the process may take beyond those that it has (Linux only).
    Raises TimeoutError or MemoryError, naming the limit.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001  (raised again by the caller's thread)
            errors.append(error)

    thread = Thread(target=call, daemon=True)
    with _memory_limit(memory):
        thread.start()
        thread.join(seconds)
    if thread.is_alive():
        stop()
        thread.join(GRACE)
        raise TimeoutError(f"longer than the limit of {seconds:g} seconds")
    if errors and (isinstance(errors[0], MemoryError) or "alloc" in str(errors[0])):  # "alloc": of C++ libraries
        raise MemoryError(f"more than the limit of {memory / 1e6:,.0f} MB of memory") from errors[0]
    if errors:
        raise errors[0]
    return results[0]


@contextmanager
def _memory_limit(memory: int) -> Iterator[None]:
    """Lower the soft limit of the process's data while inside; does nothing where the system does not tell its size."""
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
