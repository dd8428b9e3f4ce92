import json
import subprocess

import pytest

from plants import write_verdict
from slipway.model.bundle import read_bundle
from slipway.tracking.record import Record
from slipway.workspace import Workspace


def record(workspace: Workspace) -> Record:
    return Record(workspace, read_bundle(workspace.bundle))


def git(workspace: Workspace, *arguments: str) -> str:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    return subprocess.run(
        ["git", *who, *arguments], cwd=workspace.root, check=True, capture_output=True, text=True
    ).stdout


def test_the_parameters_are_all_of_params_yaml_flattened(workspace):
    parameters = record(workspace).parameters
    assert parameters["model.strength"] == 1.0
    assert parameters["gate.thresholds.log_loss"] == 2.0
    assert parameters["validate.max_missing"] == 0.2
    assert parameters["evaluate.slices"] == ["bed"]


def test_every_score_is_recorded_with_the_ends_of_its_interval(workspace):
    scores = json.loads((workspace.evaluation / "metrics.json").read_bytes())
    metrics = record(workspace).metrics
    for name, score in scores.items():
        assert [metrics[name], metrics[f"{name}.low"], metrics[f"{name}.high"]] == [
            score["value"],
            score["low"],
            score["high"],
        ]
    assert len(metrics) == 3 * len(scores)


def test_a_class_with_an_unusual_name_gets_a_name_that_mlflow_takes(workspace):
    score = {"value": 1.0, "low": 1.0, "high": 1.0}
    (workspace.evaluation / "metrics.json").write_text(json.dumps({"recall.rosé (a+b)": score}))
    assert set(record(workspace).metrics) == {"recall.rosé _a_b_", "recall.rosé _a_b_.low", "recall.rosé _a_b_.high"}


def test_slices_pictures_verdict_report_and_parameters_are_recorded_as_files(workspace):
    files = {str(path.relative_to(workspace.root)): folder for path, folder in record(workspace).files.items()}
    pictures = {f"build/evaluation/{name}.svg" for name in ("confusion", "calibration", "importance", "slices")}
    assert {"build/evaluation/slices.json", *pictures} <= {
        name for name, folder in files.items() if folder == "evaluation"
    }
    assert files["build/validation/report.json"] == "validation"
    assert files["build/verdict.json"] is files["params.yaml"] is None


def test_no_table_is_among_the_files(workspace):
    assert not [path for path in record(workspace).files if workspace.table in path.parents]


def test_a_verdict_on_another_candidate_is_not_this_ones(workspace):
    write_verdict(workspace, "f" * 64)
    assert record(workspace).verdict == "none"
    assert workspace.verdict not in record(workspace).files


def test_without_a_verdict_the_record_says_so(workspace):
    workspace.verdict.unlink()
    assert record(workspace).verdict == "none"


@pytest.mark.parametrize("changed", ["build/verdict.json", "build/evaluation/slices.json", "params.yaml"])
def test_the_digest_changes_with_what_is_recorded(workspace, changed):
    before = record(workspace).digest
    path = workspace.root / changed
    path.write_text(path.read_text() + "\n")
    assert record(Workspace(workspace.root)).digest != before


def test_outside_of_a_repository_there_is_no_commit(workspace):
    assert set(record(workspace).tags) == {"slipway.digest", "slipway.version"}


@pytest.fixture
def committed(workspace) -> Workspace:
    (workspace.root / ".gitignore").write_text("/build/\n/mlflow.db\n")
    git(workspace, "init", "--quiet")
    git(workspace, "add", ".")
    git(workspace, "commit", "--quiet", "--message", "All of it")
    return workspace


def test_the_commit_is_recorded_and_whether_files_differ_from_it(committed):
    head = git(committed, "rev-parse", "HEAD").strip()
    tags = record(committed).tags
    assert (tags["mlflow.source.git.commit"], tags["slipway.git.dirty"]) == (head, "false")
    (committed.root / "params.yaml").open("a").write("# tuned\n")
    assert record(committed).tags["slipway.git.dirty"] == "true"


def test_the_repository_is_recorded_without_a_password_and_tells_pip_where_slipway_is(committed):
    assert record(committed).slipway is None
    # pragma: allowlist nextline secret
    git(committed, "remote", "add", "origin", "https://ada:secret@git.example.org/plants.git")
    head = git(committed, "rev-parse", "HEAD").strip()
    assert record(committed).tags["mlflow.source.git.repoURL"] == "https://git.example.org/plants.git"
    assert record(committed).slipway == f"slipway @ git+https://git.example.org/plants.git@{head}"


def test_code_that_was_not_committed_is_nowhere_for_pip_to_find(committed):
    git(committed, "remote", "add", "origin", "https://git.example.org/plants.git")
    (committed.root / "params.yaml").open("a").write("# tuned\n")
    assert record(committed).slipway is None
