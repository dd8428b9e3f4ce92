"""Kill commands at random moments, then call them again: nothing may be lost, and no person may be needed.

    python benchmarks/kills.py [--points 200] [--seed 0] [--commands promote ...]

Each point: a copy of a checkout with a remote, one of run, promote, rollback and release killed (SIGKILL, with all of
its child processes) at a random moment of its usual duration; then the champion is read, as another command would, and
the same command called once more. Git, the pointer, the pins, the champion's bundle, and after `run` the candidate and
its verdict must then be what one undisturbed call leaves. A checkout in which they are not is kept, and named.

`run` is the command of the project's checkout. The others run over a small one in a fork of this process, so that the
moment lies in their work and not in the seconds in which Python imports. tests/template/unit kills the same commands
before and after each of their steps.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1] / "tests/template")

from checkouts import commit_params, copy_checkout, make_release, retrain, run  # noqa: E402
from overlays import commit_overlays, pinned  # noqa: E402
from pending import make_pending  # noqa: E402
from slipway.champion import BUNDLE, POINTER, fetch_champion, parse_decision, pins  # noqa: E402
from slipway.gate import judge  # noqa: E402
from slipway.model.bundle import read_bundle  # noqa: E402
from slipway.release import Remote, promote, publish, publish_rollback, rollback  # noqa: E402
from slipway.workspace import Workspace  # noqa: E402

IMAGE = f"ghcr.io/ada/penguins@sha256:{'1' * 64}"


def run_pipeline(workspace: Workspace) -> None:
    os.chdir(workspace.root)
    environment = {**os.environ, "PYTHONPATH": str(workspace.root / "src")}
    subprocess.run([sys.executable, "-m", "slipway", "run"], env=environment, check=True)


COMMANDS: dict[str, Callable[[Workspace], object]] = {
    "run": run_pipeline,
    "promote": promote,
    "rollback": lambda workspace: rollback(workspace, reason="it bites"),
    "release": lambda workspace: publish(workspace, Remote(), IMAGE),
    "rollback --push": lambda workspace: publish_rollback(workspace, Remote(), None, "it bites"),
}


def prepare(folder: Path, commands: list[str]) -> dict[str, Workspace]:
    """Make what each command starts from: a candidate that is not made yet, one that is judged, one that serves."""
    judged = make_pending(folder / "judged")
    commit_overlays(judged.root, "Overlays", dict.fromkeys(("staging", "production"), pinned("0")))
    served = copy_checkout(judged, folder / "served")
    promote(served, image=IMAGE)
    starts = {"promote": judged, "rollback": served, "release": judged, "rollback --push": served}
    if "run" in commands:
        # Without the behaviour tests, which are a pytest of its own and most of a point's time.
        made = commit_params(make_release(folder / "made"), "behaviour: true", "behaviour: false")
        starts["run"] = commit_params(retrain(made, 1.1), "regularization: 1.1", "regularization: 1.2")
    for start in {one.root for one in starts.values()}:
        run(folder, "git", "clone", "--quiet", "--bare", str(start), f"{start}.git")
    return {command: starts[command] for command in commands}


def call(command: str, workspace: Workspace, *, kill_after: float | None = None) -> tuple[int, str]:
    """Call a command, perhaps only for so many seconds; its exit status and output."""
    said = workspace.root.parent / "said.txt"
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.setsid()
            output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            COMMANDS[command](workspace)
            status = 0
        except BaseException:  # noqa: BLE001  (it is shown)
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(status)
    if kill_after is not None:
        time.sleep(kill_after)
        for kill in (os.killpg, os.kill):  # at once, it may have no group yet
            with suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, said.read_text() if said.exists() else ""


def require_champion(workspace: Workspace) -> str:
    """Read the champion as every command does; its version. Raises an error if it is damaged."""
    decision = fetch_champion(workspace.root)
    assert decision is not None
    return read_bundle(workspace.champion / BUNDLE, expected=decision.digest).version


def state(command: str, workspace: Workspace) -> tuple[object, ...]:
    """What a command leaves: commits, what serves here and on the remote, and of `run` what the gate says.

    Raises an error if any of it is damaged.
    """
    run(workspace.root, "git", "fsck", "--no-dangling")
    remote = Path(run(workspace.root, "git", "remote", "get-url", "origin").strip())
    there = parse_decision(run(remote, "git", "show", f"main:{POINTER}"), "the remote")
    commits = [run(place, "git", "rev-list", "--count", "main").strip() for place in (workspace.root, remote)]
    changed = run(workspace.root, "git", "status", "--porcelain")
    found = (require_champion(workspace), there.version, commits, run(remote, "git", "tag"), changed)
    if command != "run":
        return *found, pins(workspace.root), sorted(path.name for path in workspace.root.glob(".champion*"))
    verdict = judge(Workspace(workspace.root))
    return *found, verdict.candidate, verdict.verdict


def fresh(start: Workspace, folder: Path) -> Workspace:
    """Make a copy to work in, with a copy of its remote."""
    shutil.rmtree(folder, ignore_errors=True)
    workspace = copy_checkout(start, folder / "checkout")
    shutil.copytree(f"{start.root}.git", folder / "remote.git")
    run(workspace.root, "git", "remote", "add", "origin", str(folder / "remote.git"))
    return workspace


def heals(command: str, workspace: Workspace, after: float, expected: tuple[object, ...]) -> bool:
    """Kill a command, and say whether another and the same one go on; if not, print what they left."""
    killed, _ = call(command, workspace, kill_after=after)
    try:
        require_champion(workspace)
        status, said = call(command, workspace)
        found: object = state(command, workspace)
    except Exception as error:  # noqa: BLE001  (whatever it is, it is what was looked for)
        status, said, found = 1, traceback.format_exc(), error
    healed = status == 0 and found == expected
    if not healed:
        print(f"{workspace.root}: {command} after {after:.2f} s ({killed}): {status} {said}\n{found}\n{expected}")
    return healed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    options = parser.parse_args()
    chance, folder = random.Random(options.seed), Path(tempfile.mkdtemp(prefix="kills-"))
    seconds, expected = {}, {}
    starts = prepare(folder, options.commands)
    for command, start in starts.items():
        workspace, began = fresh(start, folder / "usual"), time.perf_counter()
        status, said = call(command, workspace)
        seconds[command] = time.perf_counter() - began
        assert status == 0, said
        expected[command] = state(command, workspace)
    outcomes: Counter[str] = Counter()
    for point in range(options.points):
        command = options.commands[point % len(options.commands)]
        workspace = fresh(starts[command], folder / f"point-{point}")
        healed = heals(command, workspace, chance.uniform(0, seconds[command]), expected[command])
        outcomes[f"{command}: {'healed' if healed else 'NOT HEALED'}"] += 1
        if healed:
            shutil.rmtree(workspace.root.parent)
        if sys.stderr.isatty() or point % 20 == 19:
            print(f"{point + 1} of {options.points}", file=sys.stderr)
    for outcome, count in sorted(outcomes.items()):
        print(f"{outcome:28} {count}")
    sys.exit(any("NOT" in outcome for outcome in outcomes))


if __name__ == "__main__":
    main()
