import pytest
import yaml

from answering import Answer, answering
from checkouts import ROOT, run
from slipway import __version__
from slipway.cli.doctor import BRANCHES, PIPELINE, examine


def found(workspace) -> dict[str, tuple[str, str]]:
    return {what: (outcome, text) for outcome, what, text in examine(workspace)}


def test_a_sound_checkout_has_nothing_that_fails(released, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert [item for item in examine(released) if item[0] == "fail"] == []
    assert found(released)["DVC remote"] == ("pass", "store (.dvc/store)")
    assert "predicts sex from species" in found(released)["problem and params"][1]


def test_before_a_commit_only_what_takes_no_time_is_checked(released):
    (released.root / ".dvc" / "config").write_text("")
    findings = examine(released, quick=True)
    assert findings[-1][:2] == ("pass", "problem and params")
    assert [item for item in findings if item[0] != "pass"] == []


@pytest.mark.parametrize(("branch", "outcome"), [("main", "pass"), ("master", "pass"), ("trunk", "fail")])
def test_the_remotes_default_branch_is_named_and_must_start_the_pipeline(released, tmp_path, branch, outcome):
    there, root = tmp_path / "there.git", released.root
    run(tmp_path, "git", "clone", "--quiet", "--bare", str(root), str(there))
    run(there, "git", "branch", "--move", branch)
    run(root, "git", "remote", "add", "origin", str(there))
    run(root, "git", "fetch", "--quiet")
    run(root, "git", "remote", "set-head", "origin", "--auto")
    assert found(released)["Git"][0] == outcome
    assert f"default branch {'is ' if outcome == 'fail' else ''}{branch}" in found(released)["Git"][1]


def test_the_branches_that_start_the_pipeline_are_those_that_doctor_knows():
    assert yaml.safe_load((ROOT / PIPELINE).read_text())[True]["push"]["branches"] == [*BRANCHES]


def test_files_of_the_template_that_are_not_as_in_their_release_are_named(released):
    root = released.root
    assert found(released)["template"][1].startswith(f"release {__version__} is not here to compare with: git fetch")
    run(root, "git", "tag", f"v{__version__}")
    assert found(released)["template"] == ("pass", f"its files here are as in release {__version__}")
    for name in ("src/slipway/ids.py", "src/slipway/lineage.py", "src/project/model.py", "params.yaml"):
        (root / name).write_text("# ours\n")
    outcome, text = found(released)["template"]
    assert (outcome, text) == (
        "hold",
        f"1 of its files differ from release {__version__}: src/slipway/lineage.py",
    )


def remote(workspace, url: str) -> None:
    (workspace.root / ".dvc" / "config").write_text(
        f"[core]\n    remote = other\n['remote \"other\"']\n    url = {url}\n"
    )


@pytest.mark.parametrize(
    ("what", "break_it", "words"),
    [
        ("problem and params", lambda w: (w.root / "params.yaml").write_text("x: 1"), "x: unknown"),
        ("champion", lambda w: (w.champion / "bundle" / "model.onnx").write_bytes(b""), "the file was changed"),
        ("data", lambda w: (w.data).rename(w.root / "elsewhere"), "dvc pull data.dvc"),
        ("DVC remote", lambda w: (w.root / ".dvc" / "config").write_text(""), "none is configured"),
        ("DVC remote", lambda w: (w.root / ".dvc" / "store").rename(w.root / "elsewhere"), "is not reachable"),
        ("DVC remote", lambda w: remote(w, "http://127.0.0.1:9/store"), "is not reachable"),
        ("Git", lambda w: (w.root / ".git").rename(w.root / "no-git"), "not a git repository"),
    ],
)
def test_what_is_broken_is_named(released, what, break_it, words):
    _ = released.problem
    break_it(released)
    outcome, text = found(released)[what]
    assert outcome == "fail"
    assert words in text


@pytest.fixture
def refusing():
    """A server that says it is healthy, and refuses everything else, as MLflow does to a host it does not allow."""
    with answering(lambda asked: Answer(200 if asked.path == "/health" else 403)) as url:
        yield url


@pytest.mark.parametrize("fault", ["healthy, but refuses", "down"])
def test_a_tracking_server_that_does_not_serve_is_named(released, monkeypatch, refusing, fault):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9" if fault == "down" else refusing)
    outcome, text = found(released)["MLflow"]
    assert outcome == "fail"
    assert ("does not answer" if fault == "down" else "answers 403; set its --allowed-hosts") in text
