"""What the workflows say and only GitHub does: what waits for what, how long files are kept, who may write what."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from checkouts import ROOT, run
from pipeline.remotes import make_remote
from pipeline.workflow import set_up
from slipway.model.bundle import read_bundle

WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".github/workflows").glob("*.yml")}
PIPELINE = WORKFLOWS["pipeline"]["jobs"]
UPLOADS = [
    (f"{name}: {step['name']}", step["with"])
    for name, workflow in WORKFLOWS.items()
    for job in workflow["jobs"].values()
    for step in job.get("steps", [])
    if step.get("uses", "").startswith("actions/upload-artifact@")
]


def test_on_the_default_branch_nothing_waits_but_the_release_and_a_rollback():
    group = WORKFLOWS["pipeline"]["concurrency"]["group"]
    assert "github.event_name == 'pull_request' && github.ref || github.run_id" in group
    assert "concurrency" not in WORKFLOWS["rollback"]
    waiting = {name: job["concurrency"]["group"] for name, job in PIPELINE.items() if "concurrency" in job}
    assert waiting == {"release": "release"}
    rollback = WORKFLOWS["rollback"]["jobs"]["rollback"]
    assert rollback["concurrency"] == PIPELINE["release"]["concurrency"] == {"group": "release", "queue": "max"}


@pytest.mark.parametrize(("step", "given"), UPLOADS, ids=[step for step, _ in UPLOADS])
def test_what_only_the_run_needs_is_kept_a_day_and_reports_a_fortnight(step, given):
    assert given["retention-days"] == (14 if given["name"] in ("report", "predict") else 1)


def test_one_job_stands_for_all_that_come_before_the_deploy():
    assert set(PIPELINE["green"]["needs"]) == set(PIPELINE) - {"green", "staging", "production"}
    assert PIPELINE["green"]["if"] == "always()"
    assert {"pull_request", "merge_group", "push", "workflow_dispatch"} == set(WORKFLOWS["pipeline"][True])


def test_the_pipeline_fits_on_a_few_screens():
    assert len((ROOT / ".github/workflows/pipeline.yml").read_text().splitlines()) <= 230


def test_caches_are_written_by_the_default_branch_alone():
    action = yaml.safe_load((ROOT / ".github/actions/setup/action.yml").read_text())
    saves = [one for one in action["runs"]["steps"] if one.get("uses", "").startswith("actions/cache/save@")]
    for save in saves:
        assert "github.event_name == 'push' && github.ref_name == github.event.repository.default_branch" in save["if"]
        assert "hashFiles(" in save["with"]["key"]
    everything = "".join(path.read_text() for path in (ROOT / ".github").rglob("*.yml"))
    assert len(re.findall("uses: actions/cache", everything)) == 2 * len(saves)


# part: kubernetes
def test_github_records_a_deployment_where_there_was_one():
    (job,) = WORKFLOWS["deploy"]["jobs"].values()
    assert job["environment"]["deployment"] is False
    assert job["steps"][-1]["if"] == "steps.cluster.outputs.ready == 'true'"


NEEDED = {  # a token has no permission that its job does not name, whatever the repository's settings are
    "actions/checkout@": {"contents"},
    ".ci/changed": {"actions"},
    ".ci/announce": {"contents: write", "actions"},
    ".ci/propose": {"contents: write", "pull-requests: write"},
    ".ci/comment": {"actions", "pull-requests: write"},
    "make release": {"contents: write", "pull-requests: write"},
    "make rollback": {"contents: write", "pull-requests: write"},
    "make retrain": {"contents: write", "pull-requests: write"},
    "gh issue": {"issues: write"},
    "/deployments": {"deployments: write"},
    "docker push": {"packages: write"},
    "actions/attest@": {"id-token: write", "attestations: write"},
    "codeql-action/": {"security-events: write"},
}


def _granted(job: dict) -> set[str]:
    """The permissions of a job; who may write may read."""
    return {text for key, level in job["permissions"].items() for text in (key, f"{key}: {level}")}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_job_has_the_permissions_that_its_steps_and_the_workflow_that_it_calls_need(name):
    for title, job in WORKFLOWS[name]["jobs"].items():
        steps = " ".join(step.get("uses", "") + step.get("run", "") for step in job.get("steps", []))
        needed = {permission for step, permissions in NEEDED.items() if step in steps for permission in permissions}
        if called := job.get("uses"):  # GitHub refuses to start a workflow that calls one that asks for more
            needed |= {one for each in WORKFLOWS[Path(called).stem]["jobs"].values() for one in _granted(each)}
        assert needed <= _granted(job), title


def test_a_default_branch_may_be_called_otherwise():
    for name, workflow in WORKFLOWS.items():
        for job in workflow["jobs"].values():
            assert "refs/heads/main" not in str(job), name


@pytest.fixture
def listed(original, tmp_path) -> dict:
    """A list of one package, completed twice with the model of a release."""
    path = tmp_path / "sbom.cdx.json"
    package = {"type": "library", "name": "numpy", "bom-ref": "numpy"}
    path.write_text(json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [package]}))
    made = []
    for _ in range(2):
        subprocess.run([sys.executable, ROOT / "stack/sbom.py", path, original.champion], check=True)
        made.append(json.loads(path.read_text()))
    assert made[0] == made[1]
    return made[0]


def test_the_list_of_packages_has_the_serial_number_that_attestations_ask_for(listed):
    number = listed["serialNumber"]
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", number)
    assert "stack/sbom.py build/sbom.cdx.json $(RELEASE)" in (ROOT / "stack/image.mk").read_text()


def test_the_list_of_packages_names_the_model_with_its_scores_and_its_data(original, listed):
    package, model, data = listed["components"]
    bundle = read_bundle(original.champion / "bundle")
    assert package["name"] == "numpy"
    assert (model["type"], model["version"]) == ("machine-learning-model", bundle.version)
    assert model["hashes"] == [{"alg": "SHA-256", "content": bundle.digest}]
    assert (data["type"], data["version"]) == ("data", bundle.manifest.data)
    assert model["modelCard"]["modelParameters"]["datasets"] == [{"ref": data["bom-ref"]}]
    scores = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    verdict = json.loads((original.champion / "decision.json").read_bytes())["judged"]
    assert {item["type"]: float(item["value"]) for item in scores} == verdict["metrics"]


# part: kubernetes
def test_the_cluster_test_has_the_champion_and_asks_for_no_kind_that_the_cluster_lacks(penguins, tmp_path, monkeypatch):
    """In a fresh clone, as the first push has it: its tests are collected, with a cluster without any operator."""
    run(tmp_path, "git", "clone", "--quiet", str(make_remote(tmp_path)), "clone")
    set_up(tmp_path / "clone")
    kubectl = tmp_path / "bin/kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text("#!/bin/sh\nexit 0\n")
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{kubectl.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")
    said = run(tmp_path / "clone", "make", "k8s-test", "RELEASE=champion")
    assert (tmp_path / "clone/champion/bundle/manifest.json").exists()
    assert "component[api-keys]" in said
    assert "component[canary]" not in said
