"""What a push leads to: a release, or nothing and the reason; each job's own commands, on a bare repository."""

import pytest

from checkouts import run
from pipeline.remotes import FIRST, SECOND, champion, clone, head, pinned, pipeline, push, replaced
from pipeline.workflow import Done, Workflow
from slipway.model.bundle import read_bundle

pytestmark = pytest.mark.xdist_group("pipeline")  # they share a remote that takes a minute to make


def test_a_first_push_releases_the_image_and_the_tag_of_the_model_that_is_there(pushed):
    remote, workflow = pushed
    model, release = workflow.done["model"], workflow.done["release"]
    assert model.outputs == {"verdict": "HOLD", "release": "champion"}, model.log
    assert release.result == "success", release.log
    version = champion(remote)[:12]
    assert pinned(remote) == (FIRST, version)  # part: kubernetes
    assert f"release create model/{version} --verify-tag" in (remote.parent / "gh.log").read_text()
    assert run(remote, "git", "tag").split() == [f"model/{version}"]
    assert release.outputs == {"commit": head(remote)}
    assert workflow.jobs("green").result == "success"


def test_what_model_hands_on_holds_no_rows_and_lasts_a_day(pushed):
    handed_on = {path.relative_to(pushed[1].folder / "artifacts/candidate").as_posix().split("/")[-1]
                 for path in (pushed[1].folder / "artifacts/candidate").rglob("*") if path.is_file()}  # fmt: skip
    assert {"dvc.lock", "manifest.json", "verdict.json", "report.md"} <= handed_on
    assert not [name for name in handed_on if name.endswith((".parquet", ".dir"))]


def test_a_push_of_documents_alone_runs_nothing_else_and_is_green(remote, tmp_path):
    before = head(remote)
    push(remote, tmp_path / "ada", replaced("README.md", "# Slipway", "# Penguins"), data=False)
    workflow = Workflow("pipeline.yml", remote, tmp_path / "run", github={"event": {"before": before}})
    assert workflow.jobs("documents").outputs["alone"] == "true", workflow.done["documents"].log
    others = workflow.definition["jobs"]["green"]["needs"][1:]
    workflow.jobs(*others)
    assert {workflow.done[name].result for name in others} == {"skipped"}
    assert workflow.jobs("green").result == "success"


def test_documents_hide_nothing_that_is_broken(remote, tmp_path):
    base = head(remote)
    before = push(remote, tmp_path / "ada", replaced("src/project/model.py", "import", "imprt"), data=False)
    push(remote, tmp_path / "grace", replaced("README.md", "# Slipway", "# Penguins"), data=False)
    event = {"before": before}
    pushed = Workflow("pipeline.yml", remote, tmp_path / "push", github={"event": event}, env={"GH_LAST": "failure"})
    event = {"before": before, "pull_request": {"base": {"sha": base}}}  # the second push to a pull request
    github = {"event_name": "pull_request", "event": event, "ref_name": "1/merge"}
    proposed = Workflow("pipeline.yml", remote, tmp_path / "proposal", github=github)
    assert pushed.jobs("documents").outputs == {"alone": "false", "since": ""}
    assert proposed.jobs("documents").outputs == {"alone": "false", "since": base}


def test_a_link_that_leads_nowhere_is_refused(remote, tmp_path):
    push(
        remote,
        tmp_path / "ada",
        replaced("README.md", "# Slipway", '# [Slipway](docs/gone.md) <img src="gone.png">'),
        data=False,
    )
    workflow = Workflow("pipeline.yml", remote, tmp_path / "run")
    assert workflow.jobs("documents").result == "failure"
    for link in ("docs/gone.md", "gone.png"):
        assert f"README.md: {link} is a broken link" in workflow.done["documents"].log
    workflow.jobs(*workflow.definition["jobs"]["green"]["needs"][1:])
    assert workflow.jobs("green").result == "failure"


def test_the_commit_of_a_release_starts_nothing(remote, tmp_path):
    before = head(remote)
    workflow = pipeline(remote, tmp_path / "run")
    release = workflow.jobs("model", "release")
    assert "train     unchanged" in workflow.done["model"].log
    assert "Reproduce the bundle" not in workflow.done["model"].steps
    assert release.result == "success", release.log
    assert "Nothing to release" in release.summary
    assert head(remote) == before


def test_a_pull_request_is_judged_and_releases_nothing(remote, tmp_path):
    before = head(remote)
    github = {"event_name": "pull_request", "ref": "refs/pull/1/merge", "ref_name": "1/merge"}
    workflow = Workflow("pipeline.yml", remote, tmp_path / "run", github=github)
    workflow.done = {name: Done("success") for name in ("documents", "check", "image", "cluster")}
    model = workflow.jobs("model")
    assert model.result == "success", model.log
    assert model.outputs == {"verdict": "HOLD", "release": "champion"}
    assert "HOLD" in model.summary
    assert workflow.jobs("publish").result == "skipped"
    assert workflow.jobs("release").result == "skipped"
    assert head(remote) == before


def test_a_good_change_becomes_the_champion_in_one_commit_with_its_tag(waiting, tmp_path):
    remote, old, model = waiting.remote, champion(waiting.remote), waiting.done["model"]
    release = waiting.jobs("release")
    assert "reproduce the same bytes" in " ".join(model.log.split())
    assert "PROMOTE" in model.summary
    assert release.result == "success", release.log
    new = champion(remote)
    assert new != old
    assert pinned(remote) == (SECOND, new[:12])  # part: kubernetes
    assert run(remote, "git", "rev-parse", "main^").strip() == waiting.sha
    assert run(remote, "git", "rev-parse", f"model/{new[:12]}^{{commit}}").strip() == head(remote)
    there = clone(remote, tmp_path / "grace")
    run(there, "dvc", "pull", "--quiet")  # everything that the release names
    read_bundle(there / "champion/bundle", expected=new)
    assert (there / "champion/bundle.sig").exists()  # part: signing
    assert "are up to date" in run(there, "dvc", "status")


REFUSED = {
    "bad data": (replaced("data/penguins-raw.csv", ",3750,", ",62500,"), ["body_mass_g", "62500"], "No verdict"),
    "a worse model": (
        replaced("params.yaml", "inverse_regularization: 1.0", "inverse_regularization: 0.0001"),
        ["threshold", "REJECT"],
        "REJECT",
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_nothing_is_released_of(fault, remote, tmp_path):
    change, words, said = REFUSED[fault]
    commit = push(remote, tmp_path / "ada", change)
    before = champion(remote)
    workflow = pipeline(remote, tmp_path / "run")
    model = workflow.jobs("model")
    assert model.result == "failure"
    assert [word for word in words if word not in model.log] == [], model.log
    assert said in model.summary
    assert workflow.jobs("release").result == "skipped"
    assert workflow.jobs("green").result == "failure"
    assert champion(remote) == before
    assert head(remote) == commit
