"""Runs the jobs of a workflow here: each `run:` step as it is written, in a fresh clone of a bare repository.

A job has an empty HOME of its own, CI=true, and of earlier jobs what they uploaded. What `uses:` brings is replaced by
its counterpart: checkout by the clone, artifacts by folders, with the rules of upload-artifact; the actions of this
repository are run step by step. Of actions that only GitHub can run, it is recorded with what they were called.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from checkouts import ROOT, run
from pipeline.expressions import as_text, fill, is_true


@dataclass
class Done:
    """A job that was run. result: success, failure or skipped. steps: the names of those that ran."""

    result: str
    outputs: dict[str, str] = field(default_factory=dict)
    log: str = ""
    summary: str = ""
    steps: list[str] = field(default_factory=list)
    actions: dict[str, dict[str, str]] = field(default_factory=dict)
    folder: Path | None = None
    seconds: float = 0.0


class Workflow:
    """One run of a workflow on a commit of a bare repository's branch main.

    env: for every step. github, vars, secrets, inputs: what expressions find there.
    """

    def __init__(self, name: str, remote: Path, folder: Path, *, env: dict[str, str] | None = None, **contexts: Any):
        self.definition = yaml.safe_load((ROOT / ".github/workflows" / name).read_text("utf-8"))
        self.remote, self.folder, self.env = remote, folder, env or {}
        self.sha = run(remote, "git", "rev-parse", "main").strip()
        github = {
            "ref": "refs/heads/main",
            "ref_name": "main",
            "sha": self.sha,
            "event_name": "push",
            "event": {"repository": {"visibility": "public", "default_branch": "main", "is_template": False}},
            "repository": "Ada/Penguins",
            "actor": "ada",
            "actor_id": "1",
            "token": "t0ken",
        }
        given = contexts.pop("github", {})
        event = {**github["event"], **given.get("event", {})}
        self.contexts = {"github": {**github, **given, "event": event}, "vars": {}, "secrets": {}, **contexts}
        self.done: dict[str, Done] = {}

    def jobs(self, *names: str) -> Done:
        """Run jobs, one after the other; gives the last."""
        for name in names:
            start = time.perf_counter()
            self.done[name] = self._job(self.definition["jobs"][name], self.folder / name)
            self.done[name].seconds = time.perf_counter() - start
        return self.done[names[-1]]

    def _job(self, job: dict[str, Any], folder: Path) -> Done:
        needed = {name: self.done[name] for name in _list(job.get("needs"))}
        at = {**self.contexts, "needs": {n: {"outputs": d.outputs, "result": d.result} for n, d in needed.items()}}
        if not is_true(job.get("if"), at, state=all(d.result == "success" for d in needed.values())):
            return Done("skipped")
        if "uses" in job:
            called = Workflow(
                Path(job["uses"]).name,
                self.remote,
                self.folder,
                env=self.env,
                github=self.contexts["github"],
                vars=self.contexts["vars"],
                inputs={name: fill(value, at) for name, value in job.get("with", {}).items()},
            )
            (name,) = called.definition["jobs"]
            done = called.jobs(name)
            outputs = (called.definition.get("on") or called.definition[True])["workflow_call"].get("outputs", {})
            with_jobs = {**called.contexts, "jobs": {name: {"outputs": done.outputs}}}
            done.outputs = {key: fill(output["value"], with_jobs) for key, output in outputs.items()}
            return done
        return _Job(self, job, at, folder).run()


class _Job:
    def __init__(self, workflow: Workflow, job: dict[str, Any], at: dict[str, Any], folder: Path) -> None:
        self.workflow, self.definition, self.folder = workflow, job, folder
        self.at = {**at, "steps": {}}
        self.at["env"] = {key: fill(value, at) for key, value in job.get("env", {}).items()} | workflow.env
        self.done = Done("success", folder=folder)
        self.notes = workflow.folder / f".{folder.name}"  # outside of the clone, as on GitHub
        self.artifacts = workflow.folder / "artifacts"

    def run(self) -> Done:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.notes.mkdir(exist_ok=True)
        for step in self.definition["steps"]:
            state = self.done.result == "success"
            identity = step.get("id", step["name"])
            if not is_true(step.get("if"), self.at, state=state):
                self.at["steps"][identity] = {"outcome": "skipped", "outputs": {}}
                continue
            self.done.steps.append(step["name"])
            outputs = self.notes / f"output-{len(self.done.steps)}"
            outputs.touch()
            ok = self._use(step) if "uses" in step else self._run(step, outputs)
            found = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
            self.at["steps"][identity] = {"outcome": "success" if ok else "failure", "outputs": found}
            if not ok:
                self.done.result = "failure"
        summary = self.notes / "summary"
        self.done.summary = summary.read_text() if summary.exists() else ""
        self.done.outputs = {
            key: as_text(fill(value, self.at)) for key, value in self.definition.get("outputs", {}).items()
        }
        return self.done

    def _home(self) -> Path:
        """A job's own HOME, which is empty when it begins; Git needs a name there where a job gives none."""
        home = self.notes / "home"
        home.mkdir(exist_ok=True)
        return home

    def _run(self, step: dict[str, Any], outputs: Path) -> bool:
        github = self.at["github"]
        env = {
            **environment(),
            "PATH": f"{os.environ['PATH']}:{Path(sys.executable).parent}",
            "PYTHONPATH": str(self.folder / "src"),
            "CI": "true",
            "HOME": str(self._home()),
            "GITHUB_OUTPUT": str(outputs),
            "GITHUB_STEP_SUMMARY": str(self.notes / "summary"),
            "GITHUB_SHA": github["sha"],
            "GITHUB_REPOSITORY": github["repository"],
            "GITHUB_EVENT_NAME": github["event_name"],
            "GITHUB_REF_NAME": github["ref_name"],
            "GITHUB_RUN_ID": "2",
            **self.at["env"],
            **{key: as_text(fill(value, self.at)) for key, value in step.get("env", {}).items()},
        }
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", fill(step["run"], self.at)]
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)
        self.done.log += f"--- {step['name']}\n{done.stdout}{done.stderr}"
        return done.returncode == 0

    def _use(self, step: dict[str, Any]) -> bool:
        action = step["uses"].partition("@")[0]
        given = {key: as_text(fill(value, self.at)) for key, value in step.get("with", {}).items()}
        self.done.actions[action] = given
        if action == "actions/checkout":
            self._check_out(given)
        elif action.startswith("./"):
            return self._composite(action, given)
        elif action == "actions/upload-artifact":
            return self._upload(given)
        elif action == "actions/download-artifact":
            stored = self.artifacts / given["name"]
            if not stored.exists():
                self.done.log += f"no artifact {given['name']}\n"
                return False
            shutil.copytree(stored, self.folder / given.get("path", "."), dirs_exist_ok=True)
        return True

    def _check_out(self, given: dict[str, str]) -> None:
        """Clone as the action does: one commit, or with `fetch-depth: 0` all; to reach the remote takes credentials."""
        depth = [] if given.get("fetch-depth") == "0" else ["--depth", "1"]
        run(self.folder, "git", "clone", "--quiet", *depth, f"file://{self.workflow.remote}", ".")
        run(self.folder, "git", "fetch", "--quiet", *depth, "origin", given.get("ref") or self.workflow.sha)
        run(self.folder, "git", "reset", "--quiet", "--hard", "FETCH_HEAD")
        if self.at["github"]["event_name"] == "pull_request":  # its merge is on no branch
            run(self.folder, "git", "checkout", "--quiet", "--detach")
        if given.get("persist-credentials") != "true":  # as in a private repository
            run(self.folder, "git", "remote", "set-url", "origin", "https://github.invalid/ada/penguins.git")

    def _composite(self, action: str, given: dict[str, str]) -> bool:
        """Run an action of this repository; `make setup` finds this environment."""
        set_up(self.folder)
        definition = yaml.safe_load((self.folder / action / "action.yml").read_text("utf-8"))
        defaults = {name: one.get("default", "") for name, one in definition.get("inputs", {}).items()}
        outer, self.at = self.at, {**self.at, "inputs": defaults | given}
        try:
            for step in definition["runs"]["steps"]:
                if is_true(step.get("if"), self.at, state=True):
                    outputs = self.notes / "output-of-an-action"
                    if not (self._use(step) if "uses" in step else self._run(step, outputs)):
                        return False
        finally:
            self.at = outer
        return True

    def _upload(self, given: dict[str, str]) -> bool:
        """Keep files as upload-artifact does: below their common folder, without hidden ones and modes."""
        found = [path for line in given["path"].split() for path in self.folder.glob(line.rstrip("/"))]
        files = [file for path in found for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
        if given.get("include-hidden-files") != "true":
            files = [file for file in files if not any(part[0] == "." for part in file.relative_to(self.folder).parts)]
        several = len(given["path"].split()) > 1
        root = Path(os.path.commonpath([self.folder / line for line in given["path"].split()]))
        if not several and root.is_file():
            root = root.parent
        stored = self.artifacts / given["name"]
        shutil.rmtree(stored, ignore_errors=True)
        for file in files:
            target = stored / file.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        return bool(files) or given.get("if-no-files-found") != "error"


def environment() -> dict[str, str]:
    """This environment without what another job or the tests put into it."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("GITHUB_", "PYTEST_", "GIT_"))}


def set_up(folder: Path) -> None:
    """Give a clone this environment, so that `make setup` finds nothing to do."""
    (folder / ".venv").symlink_to(ROOT / ".venv")
    with (folder / ".git/info/exclude").open("a") as file:
        file.write(".venv\n")
    for path in (folder / "pyproject.toml", *folder.glob("requirements*.txt")):
        os.utime(path, (0, 0))


def _list(needs: str | list[str] | None) -> list[str]:
    return [needs] if isinstance(needs, str) else needs or []
