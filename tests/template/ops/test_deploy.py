"""What a deploy decides: `.ci/deploy` with a stand-in for the cluster, `.ci/cluster-credentials` with none.

`make k8s-test` does it with a real one.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import shutil
import stat
import subprocess
import threading
import urllib.parse

import pytest
import yaml

from ops.manifests import ROOT, copy, kubectl
from slipway.champion import Pin, write_pin

MANIFEST = b"{}"
VERSION = hashlib.sha256(MANIFEST).hexdigest()[:12]


class Checkout:
    """The files of a deploy, staging pinned to the champion, and a cluster with two good revisions."""

    def __init__(self, folder):
        self.folder, self.cluster = copy(folder / "checkout"), folder / "cluster"
        shutil.copytree(ROOT / ".ci", self.folder / ".ci")
        (self.folder / "champion/bundle").mkdir(parents=True)
        (self.folder / "champion/bundle/manifest.json").write_bytes(MANIFEST)
        self.pin(VERSION)
        self.cluster.mkdir()
        self.remember(revision=[2], available=[2], bad=[])
        tools = folder / "tools"
        tools.mkdir()
        shutil.copy(ROOT / "tests/template/ops/stand-ins/kubectl", tools)
        self.smoke = tools / "slipway"
        self.golden_rows(given=True)
        self.environment = {
            "PATH": f"{tools}:{os.environ['PATH']}", "KUBECTL": shutil.which("kubectl"), "CLUSTER": str(self.cluster),
            "GITHUB_STEP_SUMMARY": str(folder / "summary"), "GITHUB_OUTPUT": str(folder / "output"),
            "RUNNER_TEMP": str(folder),
        }  # fmt: skip
        self.summary, self.output = folder / "summary", folder / "output"

    def pin(self, version):
        write_pin(self.folder, "staging", Pin(f"registry.example/model@sha256:{'1' * 64}", version, "2" * 40))

    def golden_rows(self, *, given):
        self.smoke.write_text(f"#!/bin/sh\nexit {0 if given else 1}\n")
        self.smoke.chmod(0o755)

    def remember(self, **files):
        for name, revisions in files.items():
            (self.cluster / name).write_text("".join(f"{revision}\n" for revision in revisions))

    def run(self, script, *arguments, **settings):
        command = [self.folder / ".ci" / script, *arguments]
        environment = self.environment | settings
        # A forwarding that it left behind would hold its output open.
        return subprocess.run(command, env=environment, text=True, capture_output=True, check=False, timeout=60)

    def deploy(self, **settings):
        """The exit status, what the summary says, and what was changed in the cluster."""
        self.remember(changes=[])
        self.summary.write_text("")
        done = self.run("deploy", "staging", **settings)
        return done.returncode, self.summary.read_text(), (self.cluster / "changes").read_text().splitlines()


@pytest.fixture
def checkout(tmp_path):
    kubectl("version", "--client")
    return Checkout(tmp_path)


def test_what_gives_its_golden_rows_is_deployed(checkout):
    said = "Deployed to staging: `what serves image@sha256:1`. The live service reproduces its golden rows.\n"
    assert checkout.deploy() == (0, said, ["apply"])


def test_a_rollout_that_does_not_complete_is_undone(checkout):
    checkout.remember(bad=[3])
    status, said, changes = checkout.deploy()
    assert (status, changes) == (1, ["apply", "undo 2"])
    assert "did not complete" in said
    assert "Rolled back: `what serves image@sha256:1` serves again" in said


def test_golden_rows_that_differ_undo_a_rollout_that_completed(checkout):
    checkout.golden_rows(given=False)
    status, said, changes = checkout.deploy()
    assert (status, changes) == (1, ["apply", "undo 2"])
    assert "golden rows" in said


def test_a_rollback_goes_to_the_revision_whose_pods_serve(checkout):
    checkout.remember(revision=[3], bad=[4])  # 3 was interrupted before its pods were ready
    assert checkout.deploy()[2] == ["apply", "undo 2"]


def test_a_rollback_goes_to_no_revision_that_never_served(checkout):
    checkout.remember(available=[], bad=[3])
    status, said, changes = checkout.deploy()
    assert (status, changes) == (1, ["apply"])
    assert "nothing to roll back to" in said


def test_what_a_deploy_did_not_change_it_does_not_undo(checkout):
    checkout.golden_rows(given=False)
    status, said, changes = checkout.deploy(SAME="1")
    assert (status, changes) == (1, ["apply"])
    assert "nothing was rolled back" in said


def test_an_undo_that_fails_is_told(checkout):
    checkout.remember(bad=[3, 4])
    status, said, _ = checkout.deploy()
    assert status == 1
    assert "NOT rolled back" in said


def test_a_first_deploy_that_fails_says_that_nothing_serves(checkout):
    (checkout.cluster / "revision").unlink()
    checkout.remember(bad=[1])
    status, said, changes = checkout.deploy()
    assert (status, changes) == (1, ["apply"])
    assert "Nothing served there before" in said


def test_a_diff_shows_changes_and_makes_none(checkout):
    assert checkout.run("deploy", "staging", "--diff", FAILING="^diff").returncode == 0  # there are differences
    (checkout.cluster / "revision").unlink()
    assert "there is no namespace slipway-staging" in checkout.run("deploy", "staging", "--diff").stdout
    assert not (checkout.cluster / "changes").exists()


@pytest.mark.parametrize("option", [[], ["--diff"]])
def test_a_cluster_that_does_not_answer_is_named_by_its_context(checkout, option):
    config = checkout.folder / "kubeconfig"
    config.write_text("current-context: far-away\n")
    done = checkout.run("deploy", "staging", *option, FAILING="get namespace", KUBECONFIG=str(config))
    assert done.returncode == 1
    assert "its context: far-away" in done.stderr
    done = checkout.run("deploy", "staging", *option, FAILING="get namespace", KUBECONFIG=str(config) + "-2")
    assert "its context: none is set; kubectl config use-context NAME sets one" in done.stderr


@pytest.mark.parametrize("failing", ["get namespace", "dry-run"])
def test_nothing_is_changed_where_the_cluster_would_refuse(checkout, failing):
    status, said, changes = checkout.deploy(FAILING=failing)
    assert (status, changes) == (1, [])
    assert "Nothing was changed" in said


def test_nothing_is_changed_where_the_golden_rows_are_of_another_version(checkout):
    checkout.pin("0123456789ab")
    status, said, changes = checkout.deploy()
    assert (status, changes) == (1, [])
    assert "`0123456789ab`" in said
    assert f"`{VERSION}`" in said


def test_a_service_that_asks_for_keys_is_not_deployed_without_one(checkout):
    path = checkout.folder / "k8s/overlays/staging/kustomization.yaml"
    path.write_text(path.read_text().replace("#  - ../../components/api-keys", "  - ../../components/api-keys"))
    status, said, changes = checkout.deploy()
    assert (status, changes) == (1, [])
    assert "API_KEY" in said
    assert checkout.deploy(API_KEY="k")[0] == 0


def test_without_a_cluster_the_job_says_how_to_set_one(checkout):
    assert checkout.run("cluster-credentials", "staging").returncode == 0
    assert "KUBE_CONFIG" in checkout.summary.read_text()
    assert checkout.output.read_text() == "ready=false\n"


def test_before_the_first_release_there_is_nothing_to_deploy(checkout):
    path = checkout.folder / "k8s/overlays/staging/kustomization.yaml"
    path.write_text(path.read_text().replace("1" * 64, "0" * 64))
    checkout.run("cluster-credentials", "staging", KUBE_CONFIG="secret")
    assert "no image was ever released" in checkout.summary.read_text()
    assert checkout.output.read_text() == "ready=false\n"


def test_a_kubeconfig_is_for_its_owners_eyes_alone(checkout):
    done = checkout.run("cluster-credentials", "staging", KUBE_CONFIG="a: secret")
    assert done.stdout + done.stderr == ""
    path = checkout.folder.parent / "kubeconfig"
    assert checkout.output.read_text() == f"ready=true\nkubeconfig={path}\n"
    assert path.read_text() == "a: secret\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


class Issuer(http.server.BaseHTTPRequestHandler):
    """Where a job of GitHub's asks for its identity token, which here says what was asked for."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"value": f"{self.headers['authorization']} {self.path}"}).encode())

    def log_message(self, *_):
        pass


def test_github_is_asked_for_a_token_of_the_clusters_audience(checkout):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Issuer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/token?v=1"
        github = {"ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t"}
        ca = "-----BEGIN CERTIFICATE-----\n"
        checkout.run("cluster-credentials", "staging", KUBE_SERVER="https://c.example:6443", KUBE_CA=ca, **github)
        path = checkout.folder.parent / "kubeconfig"
        config = yaml.safe_load(kubectl("--kubeconfig", path, "config", "view", "--raw", "--minify"))
        exec_ = config["users"][0]["user"]["exec"]
        given = {one["name"]: one["value"] for one in exec_["env"]}
        done = subprocess.run([path.parent / exec_["command"], *exec_["args"]], text=True, capture_output=True,
                              env=checkout.environment | github | given, check=True)  # fmt: skip
        server.shutdown()
    assert config["clusters"][0]["cluster"]["server"] == "https://c.example:6443"
    token = json.loads(done.stdout)["status"]["token"]
    assert urllib.parse.unquote(token) == "Bearer t /token?v=1&audience=https://c.example:6443"
