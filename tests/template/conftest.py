"""Fixtures that many tests need."""

from pathlib import Path

import pytest

from checkouts import ROOT, copy_checkout, make_release, retrain
from flowers import flower_problem, flowers
from pending import make_pending
from serving import bundles
from slipway.problem import Problem
from slipway.scaffold.parts import PARTS
from slipway.workspace import Workspace
from trips import make_trip_bundle

EXAMPLE = "penguins"
LEFT_OUT = pytest.StashKey[str]()
collect_ignore = ["fork/houses"]  # another problem's files: first-push puts them where they belong


@pytest.fixture
def problem() -> Problem:
    return flower_problem()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data folder of `problem`."""
    folder = tmp_path / "data"
    folder.mkdir()
    flowers().to_csv(folder / "flowers.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A bundle's folder for each kind."""
    root = tmp_path_factory.mktemp("bundles")
    for name, (target, runtime) in bundles.KINDS.items():
        bundles.write(root / name / "bundle", target, runtime=runtime)
    return {name: root / name / "bundle" for name in bundles.KINDS}


@pytest.fixture(scope="session")
def bundle(made: dict[str, Path]) -> Path:
    """A classifier's bundle."""
    return made["species"]


@pytest.fixture(scope="session")
def trip_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a problem with a field of every kind, dates among them."""
    return make_trip_bundle(tmp_path_factory.mktemp("trips"))


@pytest.fixture(scope="session")
def penguins() -> str:
    """For tests over the data and model of the template's own problem: where it is another one, they are left out."""
    return EXAMPLE


@pytest.fixture(scope="session")
def every_part() -> None:
    """For tests over the template with all its parts: where one was removed, they are left out."""


@pytest.fixture(scope="session")
def original(penguins, tmp_path_factory) -> Workspace:
    """A checkout of the project whose first model was released; only for copying and reading."""
    return make_release(tmp_path_factory.mktemp("original") / "checkout")


@pytest.fixture
def released(original: Workspace, tmp_path: Path) -> Workspace:
    """A copy of `original` for a test to break."""
    return copy_checkout(original, tmp_path / "checkout")


@pytest.fixture(scope="session")
def challenged_original(original: Workspace, tmp_path_factory) -> Workspace:
    """A released checkout with another candidate that the gate lets pass; only for copying and reading."""
    return retrain(copy_checkout(original, tmp_path_factory.mktemp("challenged") / "checkout"), 1.1)


@pytest.fixture
def challenged(challenged_original: Workspace, tmp_path: Path) -> Workspace:
    """A copy of `challenged_original` for a test to break."""
    return copy_checkout(challenged_original, tmp_path / "checkout")


@pytest.fixture(scope="session")
def pending_original(tmp_path_factory) -> Workspace:
    """A small released checkout whose next candidate is judged, but nothing was trained; only for copying."""
    return make_pending(tmp_path_factory.mktemp("pending") / "checkout")


@pytest.fixture
def pending(pending_original: Workspace, tmp_path: Path) -> Workspace:
    """A copy of `pending_original` for a test to break."""
    return copy_checkout(pending_original, tmp_path / "checkout")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests over what is not here: the template's own problem, or all of its parts. Say so."""
    lacking = {}
    asked = any(EXAMPLE in getattr(item, "fixturenames", ()) for item in items)
    if asked and (here := Workspace(ROOT).problem.name) != EXAMPLE:
        lacking[EXAMPLE] = f"about {EXAMPLE}, not {here}"
    if removed := [name for name, part in PARTS.items() if not any((ROOT / path).exists() for path in part.paths)]:
        lacking["every_part"] = f"about all parts; removed here: {', '.join(removed)}"
    for fixture, why in lacking.items():
        left_out = [item for item in items if fixture in getattr(item, "fixturenames", ())]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
        line = f"Left out: {len(left_out)} of Slipway's tests, which are {why}.\n"
        config.stash[LEFT_OUT] = config.stash.get(LEFT_OUT, "") + line
    if hasattr(config, "workeroutput"):  # a process of pytest-xdist, which cannot write to the terminal
        config.workeroutput["left_out"] = config.stash.get(LEFT_OUT, "")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node) -> None:
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", "")


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    if text := config.stash.get(LEFT_OUT, ""):
        terminalreporter.write(text)
