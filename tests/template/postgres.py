"""A PostgreSQL server of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

PASSWORD = "not-for-eyes"  # pragma: allowlist secret
FAST = "-c fsync=off -c listen_addresses=127.0.0.1"


class Postgres:
    """Debian keeps the server's programs out of PATH; and root may not run them."""

    def __init__(self) -> None:
        self._programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
        self._user = "postgres" if os.getuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp())
        if self._user:
            shutil.chown(self.folder, self._user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self._port}/postgres"
        (self.folder / "password").write_text(PASSWORD)
        files = ("--pgdata", f"{self.folder}/data", "--pwfile", f"{self.folder}/password")
        self._run("initdb", *files, "--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync")
        self.start()

    def start(self) -> None:
        self._control("start", "-o", f"{FAST} -p {self._port} -k {self.folder}", "-l", f"{self.folder}/log")

    def stop(self) -> None:
        """Let it go away without a word, as a machine that fails."""
        self._control("stop", "-m", "immediate")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "--pgdata", f"{self.folder}/data", "--wait", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        command = [self._programs / program, *arguments]
        done = subprocess.run(
            command, user=self._user, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False
        )
        assert done.returncode == 0, (self.folder / "log").read_text() if (self.folder / "log").exists() else command
