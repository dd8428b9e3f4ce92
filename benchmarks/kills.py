"""Kill commands at random moments, then call them again: nothing may be lost, and no person may be needed.

    python benchmarks/kills.py [--points 200] [--seed 0]

Each point: a copy of a released checkout with a remote, one of run, promote, rollback and release with all of its child
processes killed (SIGKILL) at a random moment of its usual duration, then the same command once more. Git, the pointer,
the champion's bundle, the candidate and its verdict must then be what one undisturbed call leaves. A checkout in which
they are not is kept, and named. tests/template/unit kills the same commands before and after each of their steps.
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
from collections import Counter
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1] / "tests/template")

from checkouts import ROOT, commit_params, copy_checkout, make_release, retrain, run  # noqa: E402
from slipway.champion import BUNDLE, POINTER, fetch_champion, parse_decision  # noqa: E402
from slipway.gate import judge  # noqa: E402
from slipway.model.predictor import Predictor  # noqa: E402
from slipway.release import promote  # noqa: E402
from slipway.workspace import Workspace  # noqa: E402

IMAGE = f"ghcr.io/ada/penguins@sha256:{'1' * 64}"
COMMANDS = {
    "run": ["run"],
    "promote": ["promote"],
    "rollback": ["rollback", "--reason", "it bites"],
    "release": ["release"],
}


def prepare(folder: Path) -> dict[str, Workspace]:
    """Make what each command starts from: a candidate that is not made yet, one that is judged, one that serves."""
    first = make_release(folder / "judged")
    first = commit_params(first, "behaviour: true", "behaviour: false")  # a pytest of its own, most of a point's time
    # part: kubernetes
    shutil.copytree(ROOT / "k8s/overlays", first.root / "k8s/overlays")
    run(first.root, "git", "add", ".")
    run(first.root, "git", "commit", "--quiet", "--message", "Overlays")
    # end: kubernetes
    judged = retrain(first, 1.1)
    served = copy_checkout(judged, folder / "served")
    promote(served)
    changed = commit_params(copy_checkout(judged, folder / "changed"), "regularization: 1.1", "regularization: 1.2")
    starts = {"run": changed, "promote": judged, "rollback": served, "release": judged}
    for one in (judged, served, changed):
        run(folder, "git", "clone", "--quiet", "--bare", str(one.root), f"{one.root}.git")
    return starts


def call(workspace: Workspace, command: str, *, kill_after: float | None = None) -> tuple[int, str]:
    """Call a command, perhaps only for so many seconds; its exit status and output."""
    env = {**os.environ, "PIN_IMAGE": IMAGE, "PYTHONPATH": str(workspace.root / "src")}
    process = subprocess.Popen(
        [sys.executable, "-m", "slipway", *COMMANDS[command]],
        cwd=workspace.root,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
    return process.returncode, said


def state(workspace: Workspace) -> tuple[object, ...]:
    """What a command leaves: commits, what serves here and on the remote, the candidate and what the gate says of it.

    Raises an error if any of it is damaged.
    """
    run(workspace.root, "git", "fsck", "--no-dangling")
    decision = fetch_champion(workspace.root)
    assert decision is not None
    Predictor.load(workspace.champion / BUNDLE, expected=decision.digest)
    remote = Path(run(workspace.root, "git", "remote", "get-url", "origin").strip())
    there = parse_decision(run(remote, "git", "show", f"main:{POINTER}"), "the remote")
    commits = [run(place, "git", "rev-list", "--count", "main").strip() for place in (workspace.root, remote)]
    verdict = judge(Workspace(workspace.root))
    changed = run(workspace.root, "git", "status", "--porcelain")
    return (
        *commits,
        decision.version,
        decision.action,
        there.version,
        verdict.candidate,
        verdict.verdict,
        changed,
    )


def fresh(start: Workspace, folder: Path) -> Workspace:
    """Make a copy to work in, with a copy of its remote."""
    shutil.rmtree(folder, ignore_errors=True)
    workspace = copy_checkout(start, folder / "checkout")
    shutil.copytree(f"{start.root}.git", folder / "remote.git")
    run(workspace.root, "git", "remote", "add", "origin", str(folder / "remote.git"))
    return workspace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance, folder = random.Random(options.seed), Path(tempfile.mkdtemp(prefix="kills-"))
    starts = prepare(folder)
    seconds, expected = {}, {}
    for command, start in starts.items():
        workspace, began = fresh(start, folder / "usual"), time.perf_counter()
        status, said = call(workspace, command)
        seconds[command] = time.perf_counter() - began
        assert status == 0, said
        expected[command] = state(workspace)
    outcomes: Counter[str] = Counter()
    for point in range(options.points):
        command = [*COMMANDS][point % len(COMMANDS)]
        workspace = fresh(starts[command], folder / f"point-{point}")
        after = chance.uniform(0, seconds[command])
        killed, _ = call(workspace, command, kill_after=after)
        status, said = call(workspace, command)
        try:
            found = state(workspace)
            # A rollback that was complete when it was killed says so the second time, and changes nothing.
            healed = found == expected[command] and (status == 0 or (command == "rollback" and killed != 0))
        except Exception as error:  # noqa: BLE001  (whatever it is, it is what was looked for)
            found, healed = error, False
        outcomes[f"{command}: {'healed' if healed else 'NOT HEALED'}"] += 1
        if healed:
            shutil.rmtree(workspace.root.parent)
        else:
            print(f"{workspace.root}: {command} after {after:.2f} s: {status} {said}\n{found}\n{expected[command]}")
        if sys.stderr.isatty() or point % 20 == 19:
            print(f"{point + 1} of {options.points}", file=sys.stderr)
    for outcome, count in sorted(outcomes.items()):
        print(f"{outcome:24} {count}")
    sys.exit(any("NOT" in outcome for outcome in outcomes))


if __name__ == "__main__":
    main()
