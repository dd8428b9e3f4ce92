"""The pipeline as DVC runs it: what re-runs when something changes, and that two clones give the same bundle."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest
import yaml
from dvc.repo import Repo

from checkouts import ROOT, make_checkout, run

pytestmark = pytest.mark.xdist_group("built")  # they share a checkout that takes half a minute to make
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# What a stage uses of the project, besides its declaration in __init__.py and schema.py. A backtest in evaluate fits.
PROJECT = {"prepare": {"data"}, "validate": {"expectations"}, "train": {"model"}, "evaluate": {"model"}}
if (ROOT / "src" / "project" / "features.py").exists():
    PROJECT = {stage: used | ({"features"} if "model" in used else set()) for stage, used in PROJECT.items()}
ARITHMETIC = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "NPY_DISABLE_CPU_FEATURES")
SMALL = {"slipway", "slipway.evaluation", "slipway.model", "slipway.stages"}  # they do not change what a stage does


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("slipway", exclude_type_checking_imports=True)


@pytest.mark.parametrize("stage", PIPELINE)
def test_a_stage_depends_on_just_the_code_that_it_imports(imports, stage):
    module = f"slipway.stages.{stage}"
    needed = (imports.find_upstream_modules(module) | {module}) - SMALL
    declared = {
        dep.removeprefix("src/").removesuffix(".py").replace("/", ".")
        for dep in PIPELINE[stage]["deps"]
        if dep.startswith("src/slipway")
    }
    assert [dep for dep in PIPELINE[stage]["deps"] if dep.startswith("src") and not (ROOT / dep).exists()] == []
    folders = {name for name in declared if (ROOT / "src" / name.replace(".", "/")).is_dir()}
    covered = {name for name in needed if any(name == f or name.startswith(f"{f}.") for f in folders)}
    assert declared - folders == needed - covered
    assert all(any(name.startswith(folder) for name in needed) for folder in folders)


@pytest.mark.parametrize("stage", PIPELINE)
def test_a_stage_depends_on_just_the_part_of_the_project_that_it_uses(stage):
    declared = {Path(dep).stem for dep in PIPELINE[stage]["deps"] if dep.startswith("src/project/")}
    assert declared == {"__init__", "schema"} | PROJECT[stage]


@pytest.fixture(scope="module")
def built(penguins, tmp_path_factory) -> Path:
    """A checkout in which `slipway run` has just been done."""
    workspace = make_checkout(tmp_path_factory.mktemp("built") / "checkout")
    run(workspace.root, "slipway", "run", "--no-track")
    run(workspace.root, "git", "add", ".")
    run(workspace.root, "git", "commit", "--quiet", "--message", "Run")
    return workspace.root


@pytest.mark.parametrize("command", [*PIPELINE, "gate", "report"])
def test_a_command_imports_just_the_part_of_the_project_that_it_uses(folder, command):
    code = (
        "import sys; from slipway.cli import main; main([sys.argv[1]], standalone_mode=False);"
        "print({m.removeprefix('project.') for m in sys.modules if m.startswith('project.')})"
    )
    imported = run(folder, sys.executable, "-c", code, command).splitlines()[-1]
    used = set() if command == "evaluate" else PROJECT.get(command, set())
    assert ast.literal_eval(imported) == {"schema"} | used


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "checkout", symlinks=True)
    return tmp_path / "checkout"


@pytest.fixture(scope="module")
def clone(built: Path, tmp_path_factory) -> Path:
    """A clone of `built`, in which the pipeline ran in a plain environment: nothing activated, no arithmetic fixed."""
    folder = tmp_path_factory.mktemp("clone") / "clone"
    run(built, "git", "clone", "--quiet", str(built), str(folder))
    plain = {name: value for name, value in os.environ.items() if name not in ARITHMETIC} | {"PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-m", "slipway", "run", "--no-track"], cwd=folder, env=plain, check=True)
    return folder


def would_run(folder: Path) -> list[str]:
    """List the stages whose inputs changed; whether those after them run depends on what these will write."""
    with Repo(str(folder)) as repository:
        changed = {address.rpartition(":")[2] for address in repository.status()}
    return [stage for stage in PIPELINE if stage in changed]


def _append(name: str, text: str = "\n# a comment\n"):
    def change(folder: Path) -> None:
        with (folder / name).open("a") as file:
            file.write(text)

    return change


def _param(old: str, new: str):
    def change(folder: Path) -> None:
        path = folder / "params.yaml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


ALL = ["prepare", "validate", "train", "evaluate"]


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        (_append("README.md"), []),
        (_append("src/slipway/gate/__init__.py"), []),
        (_append("src/slipway/serving/app.py"), []),
        (_param("margin: 0.02", "margin: 0.03"), []),
        (_append("data/penguins-raw.csv"), ["prepare"]),
        (_append("src/project/data.py"), ["prepare"]),
        (_append("src/project/schema.py"), ALL),
        (_append("src/project/expectations.py"), ["validate"]),
        (_param("max_missing: 0.2", "max_missing: 0.3"), ["validate"]),
        (_append("src/project/model.py"), ["train", "evaluate"]),
        (_append("src/slipway/compile/__init__.py"), ["train"]),
        (_param("seed: 0", "seed: 1"), ["train", "evaluate"]),
        (_param("inverse_regularization: 1.0", "inverse_regularization: 0.5"), ["train", "evaluate"]),
        (_append("src/slipway/evaluation/plots.py"), ["evaluate"]),
        (_param("confidence: 0.95", "confidence: 0.9"), ["evaluate"]),
    ],
)
def test_a_change_re_runs_the_stages_that_it_affects_and_no_other(folder, change, stages):
    change(folder)
    assert would_run(folder) == stages


def test_expectations_that_still_hold_do_not_train_again(folder):
    _append("src/project/expectations.py")(folder)
    said = run(folder, "slipway", "run", "--no-track")
    assert re.findall(r"^(\w+) +unchanged$", said, flags=re.M) == ["prepare", "train", "evaluate"]


def test_two_clones_give_the_same_bundle_byte_for_byte(built, clone):
    names = sorted(path.name for path in (built / "build" / "bundle").iterdir())
    assert sorted(path.name for path in (clone / "build" / "bundle").iterdir()) == names
    for name in names:
        assert (clone / "build" / "bundle" / name).read_bytes() == (built / "build" / "bundle" / name).read_bytes()
    assert run(clone, "git", "status", "--porcelain") == "", "the run gave another dvc.lock than the one committed"


def test_the_bundle_names_the_data_that_it_learned_from(built):
    manifest = json.loads((built / "build" / "bundle" / "manifest.json").read_bytes())
    assert f"md5: {manifest['data']}" in (built / "data.dvc").read_text()


def test_a_clone_without_data_says_whether_its_lock_is_current(built, tmp_path):
    run(tmp_path, "git", "clone", "--quiet", str(built), "clone")
    command = ["dvc", "repro", "--dry", "--allow-missing"]
    run(tmp_path / "clone", *command)
    _param("seed: 0", "seed: 1")(tmp_path / "clone")
    stale = subprocess.run(command, cwd=tmp_path / "clone", capture_output=True, check=False)
    assert stale.returncode != 0


def test_dvcs_own_metrics_and_plots_work(folder):
    _param("confidence: 0.95", "confidence: 0.9")(folder)
    run(folder, "dvc", "repro", "--quiet", "evaluate")
    assert "log_loss.low" in run(folder, "dvc", "metrics", "diff")
    run(folder, "dvc", "plots", "show")
    page = (folder / "dvc_plots" / "index.html").read_text()
    for name in ("confusion", "calibration", "importance", "slices"):
        assert f"build_evaluation_{name}_csv" in page


def test_a_second_run_does_nothing_but_judge(folder):
    said = run(folder, "slipway", "run", "--no-track")
    assert re.findall(r"^(\w+) +unchanged$", said, flags=re.M) == ALL
    assert "Verdict: PROMOTE" in said


def test_a_stage_that_is_killed_leaves_no_half_bundle_and_the_next_run_finishes(folder):
    shutil.rmtree(folder / "build" / "bundle")
    leftover = folder / "build" / ".bundle-x1"
    leftover.mkdir()
    (leftover / "model.onnx").write_bytes(b"half")
    run(folder, "dvc", "repro", "--quiet", "train")
    assert (folder / "build" / "bundle" / "manifest.json").exists()
