"""GitLab's pipeline: it does what GitHub's does, by the same commands; and what only it has."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import yaml

from checkouts import ROOT, run

GITLAB = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text("utf-8"))
JOBS = {name: job for name, job in GITLAB.items() if name[0] != "." and {"stage", "extends"} & set(job)}
# What one forge needs and the other does not: where the engine is, what the machine lacks, a right to push, how a
# verdict is shown, its registry, the cluster's credentials, what a push changed.
OF_ONE_FORGE = {"engine", "tools", "may-push", "publish", "cluster-credentials", "k8s-show", "changed"}
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
    del github["green"]  # GitLab's pipeline stands for itself
    assert {name: commands(lines(job)) - OF_ONE_FORGE for name, job in JOBS.items()} == {
        name: called - OF_ONE_FORGE for name, called in github.items()
    }


@pytest.mark.parametrize("name", JOBS)
def test_what_does_work_is_a_command_that_there_is(name):
    makefiles = "".join(path.read_text("utf-8") for path in (ROOT / "Makefile", *ROOT.glob("*/*.mk")))
    targets = set(re.findall(r"^([a-z0-9-]+):(?!=)", makefiles, re.MULTILINE))
    scripts = {path.name for path in (ROOT / ".ci").iterdir() if os.access(path, os.X_OK)}
    assert commands(lines(JOBS[name])) <= targets | scripts
    for line in lines(JOBS[name]):
        assert commands([line]) or PLUMBING.match(line), line


def rules(job: dict[str, Any]) -> list[dict[str, Any]]:
    """The rules of a job, its own or those that it inherits."""
    parents = job.get("extends", [])
    parents = [parents] if isinstance(parents, str) else parents
    return job.get("rules") or [rule for name in parents for rule in rules(GITLAB[name])]


def test_for_a_merge_request_nothing_is_pushed_or_deployed():
    asked = {name for name, job in JOBS.items() if "merge_request" in str(rules(job))}
    assert asked == {
        *("Documents", "Check", "Model", "Image"),
        "Cluster",  # part: kubernetes
    }


def test_after_a_push_of_documents_alone_only_their_job_runs():
    pushed = re.compile(r'== "(push|merge_request_event)"')
    always = {
        n for n, job in JOBS.items() for rule in rules(job) if pushed.search(rule["if"]) and "changes" not in rule
    }
    assert always == {"Documents"}


@pytest.mark.parametrize(
    ("name", "runs_all"),
    [
        ("README.md", False),
        ("docs/runbooks/SlipwayDown.md", False),
        ("Makefile", True),
        ("cmd", True),
        ("a/readmd", True),
        (".dvc/config", True),
        ("data.dvc", True),
    ],
)
def test_every_file_but_markdown_starts_the_other_jobs(name, runs_all):
    patterns = [pattern.removeprefix("**/").replace("[^", "[!") for pattern in GITLAB[".not-documents"]["changes"]]
    assert any(fnmatchcase(Path(name).name, pattern) for pattern in patterns) == runs_all


def script(name: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a script of .ci in a checkout that has nothing else; GITLAB_CI is set."""
    (folder / ".ci").mkdir(exist_ok=True)
    (folder / ".ci" / name.split()[0]).write_bytes((ROOT / ".ci" / name.split()[0]).read_bytes())
    command = ["bash", *f".ci/{name}".split()]
    env = {**os.environ, "GITLAB_CI": "true", **env}
    return subprocess.run(command, cwd=folder, env=env, text=True, capture_output=True, check=False)


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


# part: kubernetes
def test_a_tool_that_is_not_what_it_was_is_not_installed(tmp_path):
    (tmp_path / "curl").write_text('#!/bin/bash\nwhile [ "$1" != --output ]; do shift; done\necho changed >"$2"\n')
    (tmp_path / "curl").chmod(0o755)
    for name in ("bash", "uname", "mktemp", "sha256sum", "install", "rm"):
        (tmp_path / name).symlink_to(run(tmp_path, "which", name).strip())
    refused = script("tools kubectl", tmp_path, PATH=str(tmp_path), TO=str(tmp_path))
    assert refused.returncode == 1
    assert "does not have the expected SHA-256" in refused.stderr
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
