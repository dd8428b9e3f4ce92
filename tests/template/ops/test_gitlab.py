"""GitLab's pipeline: it does what GitHub's does, by the same commands; and what only it has."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree

import pytest
import yaml

from checkouts import ROOT, run

GITLAB = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text("utf-8"))
JOBS = {name: job for name, job in GITLAB.items() if name[0] != "." and {"stage", "extends"} & set(job)}
# What one forge needs and the other does not: where the engine is, what the machine lacks, a right to push, how a
# verdict is shown, its registry, the cluster's credentials.
OF_ONE_FORGE = {"engine", "tools", "may-push", "widgets", "publish", "cluster-credentials"}
PLUMBING = re.compile(r"test |touch |git |tag=|timeout \d+ sh -c 'until docker info|docker load ")


def commands(lines: list[str]) -> set[str]:
    """The make targets and the scripts of .ci that lines call; a target and its script have one name."""
    found = set(re.findall(r"\.ci/([a-z-]+)", "\n".join(lines)))
    for words in re.findall(r"\bmake ((?:[a-z0-9-]+\b(?!=) ?)+)", "\n".join(lines)):
        found.update(words.split())
    return found


def lines(job: dict[str, Any]) -> list[str]:
    """The lines of a job's script, with those that it takes over from others."""
    parents = job.get("extends", [])
    inherited = [line for name in ([parents] if isinstance(parents, str) else parents) for line in lines(GITLAB[name])]
    return inherited + job.get("before_script", []) + job.get("script", [])


def workflow(name: str) -> dict[str, set[str]]:
    """The commands of each job of a workflow of GitHub's, by the job's name."""
    found = {}
    for job in yaml.safe_load((ROOT / ".github/workflows" / name).read_text("utf-8"))["jobs"].values():
        if called := job.get("uses"):
            found[job["name"]] = set().union(*workflow(Path(called).name).values())
        else:
            found[job["name"]] = commands([step.get("run", "") for step in job["steps"]])
    return found


def test_each_job_runs_the_commands_of_the_same_job_on_github():
    github = {**workflow("retrain.yml"), **workflow("rollback.yml"), **workflow("pipeline.yml")}
    assert {name: commands(lines(job)) - OF_ONE_FORGE for name, job in JOBS.items()} == {
        name: called - OF_ONE_FORGE for name, called in github.items()
    }


@pytest.mark.parametrize("name", JOBS)
def test_what_does_work_is_a_command_that_there_is(name):
    targets = set(re.findall(r"^([a-z0-9-]+):(?!=)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    scripts = {path.name for path in (ROOT / ".ci").iterdir() if os.access(path, os.X_OK)}
    assert commands(lines(JOBS[name])) <= targets | scripts
    for line in lines(JOBS[name]):
        assert commands([line]) or PLUMBING.match(line), line


def test_for_a_merge_request_nothing_is_pushed_or_deployed():
    def rules(job: dict[str, Any]) -> str:
        parents = job.get("extends", [])
        inherited = [rules(GITLAB[name]) for name in ([parents] if isinstance(parents, str) else parents)]
        return str(job["rules"]) if "rules" in job else "".join(inherited)

    asked = {name for name, job in JOBS.items() if "merge_request" in rules(job)}
    assert asked == {"Check", "Data", "Model", "Image", "Cluster"}


def script(name: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a script of .ci in a checkout that has nothing else; GITLAB_CI is set."""
    (folder / ".ci").mkdir(exist_ok=True)
    (folder / ".ci" / name.split()[0]).write_bytes((ROOT / ".ci" / name.split()[0]).read_bytes())
    command = ["bash", *f".ci/{name}".split()]
    env = {**os.environ, "GITLAB_CI": "true", **env}
    return subprocess.run(command, cwd=folder, env=env, text=True, capture_output=True, check=False)


def test_a_merge_request_shows_each_check_of_the_gate_and_the_scores(tmp_path):
    outcomes = {"threshold accuracy": "pass", "slices": "fail", "champion": "hold"}
    reasons = [{"check": check, "outcome": outcome, "detail": f"<{check}>"} for check, outcome in outcomes.items()]
    (tmp_path / "build").mkdir()
    verdict = {"reasons": reasons, "metrics": {"accuracy": 0.98, "recall.Adelie": 1.0}}
    (tmp_path / "build/verdict.json").write_text(json.dumps(verdict))
    assert script("widgets", tmp_path).returncode == 0
    cases = ElementTree.parse(tmp_path / "build/gate.xml").findall("testcase")
    shown = {case.get("name"): [(child.tag, child.get("message")) for child in case] for case in cases}
    assert shown == {
        "threshold accuracy": [],
        "slices": [("failure", "<slices>")],
        "champion": [("skipped", "<champion>")],
    }
    assert (tmp_path / "build/metrics.txt").read_text() == 'accuracy 0.98\nrecall{class="Adelie"} 1\n# EOF\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone of a bare repository with one commit."""
    remote, folder = tmp_path / "remote.git", tmp_path / "checkout"
    run(tmp_path, "git", "init", "--quiet", "--bare", "--initial-branch", "main", str(remote))
    run(remote, "git", "config", "receive.advertisePushOptions", "true")
    run(tmp_path, "git", "clone", "--quiet", str(remote), str(folder))
    run(folder, "git", "switch", "--quiet", "--create", "main")
    author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    run(folder, "git", *author, "commit", "--quiet", "--allow-empty", "--message", "The project")
    run(folder, "git", "push", "--quiet", "origin", "main")
    return folder


def test_a_job_without_the_right_to_push_says_so_before_it_does_anything(checkout):
    assert script("may-push", checkout).returncode == 0
    run(checkout, "git", "config", "remote.origin.receivepack", "false")
    refused = script("may-push", checkout)
    assert refused.returncode == 3
    assert "Allow Git push requests to the repository" in refused.stderr
    assert GITLAB[".push"]["allow_failure"]["exit_codes"] == [refused.returncode]
    run(checkout, "git", "remote", "set-url", "origin", "/nowhere")
    assert script("may-push", checkout).returncode == 0  # that is the next command's to tell


def test_a_proposal_is_a_push_that_opens_a_merge_request(checkout, tmp_path):
    hook = tmp_path / "remote.git/hooks/post-receive"
    hook.write_text(f"#!/bin/sh\nenv >{tmp_path / 'pushed'}\n")
    hook.chmod(0o755)
    (checkout / "report.md").write_text("## HOLD\n\nsame\n")
    (checkout / ".ci").mkdir()
    (checkout / ".ci/record").write_bytes((ROOT / ".ci/record").read_bytes())
    command = "set -eu; source .ci/record; propose retrain/1 'A title' report.md"
    run(checkout, "env", "GITLAB_CI=true", "bash", "-c", command)
    told = set(re.findall(r"^GIT_PUSH_OPTION_\d+=merge_request\.(.*)", (tmp_path / "pushed").read_text(), re.MULTILINE))
    description = r"description=## HOLD\n\nsame\n"
    assert told == {"create", "target=main", "remove_source_branch", "title=A title", description}
    assert "retrain/1" in run(tmp_path / "remote.git", "git", "branch")


def test_a_tool_that_is_not_what_it_was_is_not_installed(tmp_path):
    (tmp_path / "curl").write_text('#!/bin/bash\nwhile [ "$1" != --output ]; do shift; done\necho changed >"$2"\n')
    (tmp_path / "curl").chmod(0o755)
    for name in ("bash", "uname", "mktemp", "sha256sum", "install", "rm"):
        (tmp_path / name).symlink_to(run(tmp_path, "which", name).strip())
    refused = script("tools kubectl", tmp_path, PATH=str(tmp_path), TO=str(tmp_path))
    assert refused.returncode == 1
    assert "is not what it was" in refused.stderr
    assert not (tmp_path / "kubectl").exists()


def test_a_release_is_announced_once_with_its_report(tmp_path):
    made: list[dict[str, list[str]]] = []

    class Releases(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if made and self.path.endswith("/releases/model%2F1a2b") else 404)
            self.end_headers()

        def do_POST(self) -> None:
            assert self.headers["JOB-TOKEN"] == "t0ken"
            made.append(parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    (tmp_path / "build").mkdir()
    (tmp_path / "build/report.md").write_text("PROMOTE & more\n")
    with HTTPServer(("127.0.0.1", 0), Releases) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        api = f"http://127.0.0.1:{server.server_port}/api/v4"
        env = {"TAG": "model/1a2b", "CI_API_V4_URL": api, "CI_PROJECT_ID": "7", "CI_JOB_TOKEN": "t0ken"}
        assert [script("announce", tmp_path, **env).returncode for _ in range(2)] == [0, 0]
        server.shutdown()
    assert made == [{"tag_name": ["model/1a2b"], "name": ["1a2b"], "description": ["PROMOTE & more\n"]}]
