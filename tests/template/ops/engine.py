"""A Docker engine, for the tests that need one: images from this project, and containers as a cluster runs them."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
BASE = os.environ.get("BASE", "python:3.11-slim-bookworm")
HARDENED = [
    *("--read-only", "--tmpfs", "/tmp", "--user", "65532:65532", "--memory", "256m"),
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
]
ENVIRONMENT = {
    **os.environ,
    "DOCKER_BUILDKIT": "1",
    "COMPOSE_DOCKER_CLI_BUILD": "1",
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
}


def run(*command: str | Path, ok: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command; by default it must succeed, and what it said is in the failure."""
    options = {"cwd": ROOT, "env": ENVIRONMENT} | options
    done = subprocess.run([str(part) for part in command], text=True, capture_output=True, check=False, **options)
    assert done.returncode == 0 or not ok, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done


def docker(*arguments: str | Path, **options: Any) -> str:
    """Run docker; what it prints."""
    return run("docker", *arguments, **options).stdout.strip()


@functools.cache
def missing() -> str | None:
    """Why nothing can be built and run here; None if it can."""
    if shutil.which("docker") is None or run("docker", "info", ok=False).returncode:
        return "no Docker engine answers"
    if (
        run("docker", "image", "inspect", BASE, ok=False).returncode
        and run("docker", "pull", BASE, ok=False).returncode
    ):
        return f"the base image {BASE} is neither here nor can it be pulled"
    return None


def here(image: str) -> bool:
    """Whether the engine has an image, or can pull it."""
    return any(run("docker", *how, image, ok=False).returncode == 0 for how in (("image", "inspect"), ("pull",)))


def need_engine() -> None:
    """Skip the test if there is no engine."""
    if reason := missing():
        pytest.skip(reason)


def copy_makefiles(folder: Path) -> None:
    """Copy what `make` needs for the targets of the image."""
    shutil.copy(ROOT / "Makefile", folder)
    shutil.copytree(ROOT / "stack", folder / "stack")


def context(folder: Path, bundle: Path) -> Path:
    """A checkout of what an image is built from, in a repository of its own, with `bundle` as its champion."""
    copy_makefiles(folder)
    for pattern in ("Dockerfile", ".dockerignore", "pyproject.toml", "docker-compose*.yml", "requirements*.txt"):
        for path in ROOT.glob(pattern):
            shutil.copy(path, folder)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    champion = folder / "champion"
    shutil.copytree(bundle, champion / "bundle")
    (champion / "evaluation").mkdir()
    (champion / "evaluation/metrics.json").write_text("{}")
    (champion / "decision.json").write_text('{"when": "2025-01-02T03:04:05+00:00"}')
    run("git", "init", "--quiet", cwd=folder)
    # pragma: allowlist nextline secret
    run("git", "remote", "add", "origin", "https://user:token@forge.example/team/flowers.git", cwd=folder)
    run("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one", "--allow-empty", cwd=folder)
    return folder


def make_image(folder: Path, image: str, *, flags: str = "") -> str:
    """Run `make image` in a context."""
    # What comes before it, the environment and the champion, are the context's.
    run("make", "-o", "release-here", "image", f"IMAGE={image}", f"BASE={BASE}", f"DOCKER_BUILD=docker build {flags}",
        cwd=folder)  # fmt: skip
    return image


def inspect(what: str) -> dict[str, Any]:
    """What the engine knows of an image or a container."""
    found: dict[str, Any] = json.loads(docker("inspect", what))[0]
    return found


def log_line(container: str, *words: str) -> str:
    """Wait for the first line of a container's log that holds one of the words."""
    follow = ["timeout", "60", "docker", "logs", "--follow", container]
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as logs:
        assert logs.stdout
        line = next(line for line in logs.stdout if any(word in line for word in words))
        logs.terminate()
    return line


def health(container: str, *, seconds: float = 60) -> str:
    """Wait for the first verdict of a container's health check."""
    command = ["docker", "events", "--since", "1", "--filter", f"container={container}"]
    command += ["--filter", "event=health_status", "--format", "{{.Status}}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as events:
        timer = threading.Timer(seconds, events.kill)
        timer.start()
        assert events.stdout
        line = events.stdout.readline()
        timer.cancel()
        events.kill()
    assert line, f"no verdict in {seconds} s:\n{run('docker', 'logs', '--tail', '30', container).stderr}"
    return line.removeprefix("health_status:").strip()


class Container:
    """A running container, removed at the end of the `with` block."""

    def __init__(self, image: str, *options: str, command: tuple[str, ...] = ()) -> None:
        self.id = docker("run", "--detach", *options, image, *command)

    def __enter__(self) -> Container:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            error.add_note(self.logs())
        docker("rm", "--force", "--volumes", self.id)

    @property
    def url(self) -> str:
        """Where port 8000 is published."""
        return "http://" + docker("port", self.id, "8000").splitlines()[0]

    def logs(self) -> str:
        """What it wrote."""
        done = run("docker", "logs", self.id)
        return done.stdout + done.stderr

    def health(self) -> str:
        """Wait for the first verdict of its health check."""
        return health(self.id)

    def stop(self) -> int:
        """Send SIGTERM, wait, and give the exit status."""
        docker("stop", "--time", "20", self.id)
        return int(inspect(self.id)["State"]["ExitCode"])
