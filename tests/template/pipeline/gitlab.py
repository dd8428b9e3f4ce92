"""Runs jobs of .gitlab-ci.yml here, with gitlab-ci-local: each in a fresh clone, with an empty HOME.

A job finds the artifacts of earlier jobs and the variables of their dotenv reports, as GitLab gives them. Its image is
this machine, and its Docker engine the one that is here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from checkouts import run
from pipeline.remotes import signing_key
from pipeline.workflow import environment, set_up

VERSION = "4.68.1"  # the last that runs with Node 20
SERVER, PROJECT, TOKEN = "gitlab.example", "ada/penguins", "t0ken"
REPORT = ".gitlab-ci-reports/dotenv/outputs.env"


class Gitlab:
    """A pipeline on a commit of a bare repository's branch main. source: what started it: push, web, schedule."""

    def __init__(self, remote: Path, folder: Path, tool: Path, *, source: str = "push") -> None:
        self.remote, self.folder, self.tool, self.source = remote, folder, tool, source
        self.sha = run(remote, "git", "rev-parse", "main").strip()
        self.outputs: dict[str, str] = {}
        run(remote, "git", "config", "receive.advertisePushOptions", "true")
        (folder / "artifacts").mkdir(parents=True)
        (folder / "key.pem").write_text(signing_key())

    def job(self, name: str, **variables: str) -> str:
        """Run a job; its log. Raises AssertionError if it fails."""
        there = self.folder / name
        run(self.remote, "git", "clone", "--quiet", str(self.remote), str(there))
        run(there, "git", "reset", "--quiet", "--hard", self.sha)
        run(there, "git", "remote", "set-url", "origin", f"https://{SERVER}/{PROJECT}.git")
        definition = there / ".gitlab-ci.yml"
        definition.write_text(definition.read_text().replace("  services: [docker:28-dind]\n", ""))
        run(there, "git", "update-index", "--assume-unchanged", definition.name)
        set_up(there)
        shutil.copytree(self.folder / "artifacts", there, dirs_exist_ok=True)
        known = {
            "GITLAB_CI": "true",
            "CI_PIPELINE_SOURCE": self.source,
            "CI_SERVER_PROTOCOL": "https",
            "CI_SERVER_FQDN": SERVER,
            "CI_PROJECT_PATH": PROJECT,
            "CI_JOB_TOKEN": TOKEN,
            "CI_COMMIT_SHA": self.sha,
            "GITLAB_USER_NAME": "ada",
            "GITLAB_USER_EMAIL": "ada@example.org",
            "SIGNING_KEY": str(self.folder / "key.pem"),
            "DOCKER_HOST": "",
            "DOCKER_TLS_VERIFY": "",
            **self.outputs,
            **variables,
        }
        options = [word for key, value in known.items() for word in ("--variable", f"{key}={value}")]
        predefined = ",".join(key for key in known if key.startswith(("CI_", "GITLAB_")))
        done = subprocess.run(
            [self.tool, "--force-shell-executor", "--ignore-predefined-vars", predefined,
             "--evaluate-rule-changes=false", *options, name],
            cwd=there, env=self._environment(name), capture_output=True, text=True, check=False,
        )  # fmt: skip
        log = done.stdout + done.stderr
        assert f"PASS  {name}" in log, log  # a job that may fail would only be warned of
        self._keep(there / f".gitlab-ci-local/artifacts/{name}")
        return log

    def _environment(self, name: str) -> dict[str, str]:
        """An empty HOME, in which Git reaches the bare repository by the project's address."""
        home = self.folder / f"{name}-home"
        home.mkdir()
        address = f"https://gitlab-ci-token:{TOKEN}@{SERVER}/{PROJECT}.git"
        (home / ".gitconfig").write_text(f'[url "{self.remote}"]\n\tinsteadOf = {address}\n')
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**environment(), "HOME": str(home), "PATH": path, "CI": "true"}

    def _keep(self, artifacts: Path) -> None:
        if (artifacts / REPORT).exists():
            lines = (artifacts / REPORT).read_text().splitlines()
            self.outputs |= dict(line.split("=", 1) for line in lines)
        if artifacts.exists():
            ignored = shutil.ignore_patterns(".gitlab-ci-reports")
            shutil.copytree(artifacts, self.folder / "artifacts", dirs_exist_ok=True, ignore=ignored)
