"""Mutation testing: count small changes to the code that no unit test notices.

    python benchmarks/mutants.py [MODULE ...] [--tests PATH ...] [--sample N]

MODULE: such as slipway.gate.checks, or 'slipway.gate*', or the name of a mutant. N: so many of the mutants of each
module, drawn by a fixed seed, where the tests are slow.

mutmut changes the code, one change at a time; pyproject.toml names the modules and the tests. All tests run once, in
one session. Then the process forks for each mutant, and runs the tests that call the changed function until one
fails: what tests share, such as a released checkout, is made once, where `mutmut run` makes it anew for each mutant.
`mutmut results` lists the survivors, `mutmut show NAME` shows one.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter, defaultdict
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from random import Random

KILLED, SURVIVED, UNTESTED, TIMEOUT = 1, 0, 33, 36  # mutmut's exit codes
CHILDREN = os.cpu_count() or 2
sys.path.pop(0)  # this folder: benchmarks/serving.py would be taken for the tests' package
# Threads of a pool do not survive a fork.
os.environ |= dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"], "1")

import pytest  # noqa: E402
from _pytest.runner import runtestprotocol  # noqa: E402
from mutmut.__main__ import create_mutants  # noqa: E402
from mutmut.configuration import config  # noqa: E402
from mutmut.mutation.trampoline import set_mutant_under_test  # noqa: E402
from mutmut.state import state  # noqa: E402
from mutmut.utils.file_utils import copy_also_copy_files, copy_src_dir, setup_source_paths  # noqa: E402


def run_test(item: pytest.Item, following: pytest.Item) -> tuple[bool, float]:
    """Run a test; give whether it passed and its seconds, without those of its fixtures, which others may share.

    following: as long as it is given, what the session's tests share is kept.
    """
    reports = runtestprotocol(item, log=False, nextitem=following)
    passed = not any(report.failed for report in reports)
    return passed, sum(report.duration for report in reports if report.when == "call")


class Mutants:
    """A plugin of pytest that runs the session's tests once, and then for each mutant."""

    def __init__(self, names: list[str]) -> None:
        self.names, self.found = names, dict.fromkeys(names, UNTESTED)
        self.tests: dict[str, list[tuple[float, int]]] = defaultdict(list)  # by function: seconds, number of the test
        self.running: dict[int, tuple[str, str]] = {}  # by process: the mutant, its temporary folder

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = session.items
        for number, item in enumerate(items):
            state()._stats.clear()
            set_mutant_under_test("stats")
            passed, seconds = run_test(item, items[(number + 1) % len(items)])
            if not passed:
                pytest.exit(f"fails without a mutant: {item.nodeid}", returncode=1)
            for function in state()._stats:
                self.tests[function].append((seconds, number))
        set_mutant_under_test("")
        gc.freeze()  # so that a collection in a child does not copy the memory
        print(f"{len(items)} tests, {len(self.names)} mutants", flush=True)
        for count, name in enumerate(self.names):
            if tests := sorted(self.tests[name.partition("__mutmut_")[0]]):
                while len(self.running) >= CHILDREN:
                    self.wait()
                self.fork(session, name, tests)
            if count % 100 == 99:
                print(f"{count + 1} of {len(self.names)}: {survivors(self.found)} survived", flush=True)
        while self.running:
            self.wait()
        return True

    def fork(self, session: pytest.Session, name: str, tests: list[tuple[float, int]]) -> None:
        """Run the tests of a mutant in a process of its own, within a time that also a busy machine keeps."""
        folder = tempfile.mkdtemp(prefix="mutant-")
        if pid := os.fork():
            self.running[pid] = name, folder
            return
        status = KILLED
        try:
            os.setpgid(0, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, 60 + 30 * sum(seconds for seconds, _ in tests))
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nothing, stream)
            session.config._tmp_path_factory._basetemp = Path(folder)  # type: ignore[attr-defined]
            set_mutant_under_test(name)
            items = [session.items[number] for _, number in tests]
            if all(run_test(*pair)[0] for pair in zip(items, [*items[1:], items[0]], strict=True)):
                status = SURVIVED
        finally:
            os._exit(status)

    def wait(self) -> None:
        pid, status = os.wait()
        if pid in self.running:
            name, folder = self.running.pop(pid)
            timed_out = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM
            self.found[name] = TIMEOUT if timed_out else min(abs(os.waitstatus_to_exitcode(status)), KILLED)
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            shutil.rmtree(folder, ignore_errors=True)


def survivors(found: dict[str, int]) -> int:
    return Counter(found.values())[SURVIVED]


def generate() -> None:
    """Write the changed code to mutants/, all changes of a function beside it."""
    set_mutant_under_test("mutant_generation")
    shutil.rmtree("mutants", ignore_errors=True)
    Path("mutants").mkdir()
    copy_src_dir()
    copy_also_copy_files()
    setup_source_paths()
    create_mutants(CHILDREN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    parser.add_argument("--tests", nargs="+", metavar="PATH")
    parser.add_argument("--sample", type=int, metavar="N")
    options = parser.parse_args()
    os.chdir(Path(__file__).parents[1])
    if options.modules:  # only these are changed, which takes less time
        config().only_mutate = [f"src/{one.partition('.x')[0].replace('.', '/')}*" for one in options.modules]
    generate()
    metas = {path: json.loads(path.read_bytes()) for path in sorted(Path("mutants/src").resolve().rglob("*.meta"))}
    patterns = [pattern for module in options.modules or ["*"] for pattern in (f"{module}.x*", module)]
    names = []
    for meta in metas.values():
        found = [name for name in meta["exit_code_by_key"] if any(fnmatch(name, pattern) for pattern in patterns)]
        names += Random(0).sample(found, min(options.sample or len(found), len(found)))
    run = Mutants(names)
    os.chdir("mutants")
    arguments = ["-q", "--capture=no", "-p", "no:cacheprovider", "-W", "ignore"]
    tests = options.tests or config().pytest_add_cli_args_test_selection
    if status := pytest.main([*arguments, *tests], plugins=[run]):
        sys.exit(status)
    print(f"{'':36} noticed  timed out  survived  untested")
    for path, meta in metas.items():
        codes = meta["exit_code_by_key"]
        codes |= {name: code for name, code in run.found.items() if name in codes}
        path.write_text(json.dumps(meta, indent=4))
        counts = Counter(run.found[name] for name in codes if name in run.found)
        if counts:
            noticed = counts[KILLED] + counts[TIMEOUT]
            share = noticed / ((noticed + counts[SURVIVED]) or 1)
            name = path.relative_to(Path("src").resolve()).as_posix().removesuffix(".meta")
            print(f"{name:36} {noticed:5} {share:4.0%} {counts[TIMEOUT]:7} {counts[SURVIVED]:9} {counts[UNTESTED]:9}")


if __name__ == "__main__":
    main()
