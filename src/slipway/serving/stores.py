"""Where kept predictions lie: a folder, or a bucket of an object store. A file there is complete or absent."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from slipway.problem import SlipwayError

SECONDS = 20  # for a file to be taken by an object store, with its repetitions; then it is given up


def store_of(place: str) -> Folder | Bucket:
    """Open a folder, or a bucket by its URL. Raises SlipwayError if that needs packages, or is no URL of a store."""
    return Bucket(place) if "://" in place else Folder(Path(place))


class Folder:
    """A folder, of this machine or of a mounted volume; several processes may write to it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, name: str, content: bytes) -> None:
        """Write a file under a hidden name, and rename it once it is on the disk. name: its path below the folder."""
        path = self._path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def expire(self, kind: str, days: int) -> None:
        """Remove the folders of one kind that are older, by the day in their name."""
        first = datetime.now(UTC).date() - timedelta(days=days)
        for folder in (self._path / kind).glob("????-??-??"):
            try:
                old = date.fromisoformat(folder.name) < first
            except ValueError:  # not one of ours
                continue
            if old:
                shutil.rmtree(folder, ignore_errors=True)


class Bucket:
    """A bucket, or a prefix in one. Credentials, region and endpoint come from the store's own variables (AWS_...)."""

    def __init__(self, url: str) -> None:
        try:
            from obstore.store import from_url
        except ModuleNotFoundError:
            raise SlipwayError(f"SLIPWAY_PREDICTIONS={url} needs obstore: pip install 'slipway[store]'") from None
        plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")  # whoever names such an endpoint wants it
        try:
            self._store: Any = from_url(
                url,
                client_options={"timeout": "10s", "connect_timeout": "5s", "allow_http": plain},
                retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=SECONDS)},
            )
        except Exception as error:  # noqa: BLE001  (its errors differ by store)
            raise SlipwayError(f"SLIPWAY_PREDICTIONS={url}: {str(error).partition(chr(10))[0]}") from None

    def write(self, name: str, content: bytes) -> None:
        """Put an object, which is atomic."""
        self._store.put(name, content)

    def expire(self, kind: str, days: int) -> None:
        """Do nothing: a bucket has its own rules for that."""
