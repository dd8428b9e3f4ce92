"""Where tables lie: paths of this machine, or URIs of object stores through pyarrow's file systems."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
from pyarrow import fs

from slipway.problem import SlipwayError

FORMATS = {"csv": (".csv", ".csv.gz", ".tsv", ".tsv.gz"), "parquet": (".parquet",), "arrow": (".arrow", ".feather")}
GLOB = set("*?[")
ACCOUNT = "AZURE_STORAGE_ACCOUNT_NAME"


@dataclass(frozen=True)
class Place:
    """A file or a folder in a file system; messages call it `shown`."""

    system: Any
    path: str
    shown: str

    @classmethod
    def of(cls, given: str) -> Place:
        """Find the file system of a path or a URI (s3://, gs://, az://, abfs://, file://). Raises SlipwayError."""
        with reported(given, "not a path or a URI that can be used"):
            if "://" in given:
                system, path = fs.FileSystem.from_uri(_full(given))
                shown = re.sub("//[^/@]*:[^/@]*@", "//", given.partition("?")[0])  # without a key that it may hold
                return cls(system, path.rstrip("/"), shown.rstrip("/"))
        return cls(fs.LocalFileSystem(), Path(given).absolute().as_posix(), given.rstrip("/") or given)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.path).name

    @property
    def local(self) -> bool:
        """Whether it is on this machine."""
        return isinstance(self.system, fs.LocalFileSystem)

    @property
    def compression(self) -> str | None:
        """How the content is compressed, by the name."""
        return "gzip" if self.name.lower().endswith(".gz") else None

    def __truediv__(self, name: str) -> Place:
        return Place(self.system, f"{self.path}/{name}", f"{self.shown}/{name}")

    def beside(self, name: str) -> Place:
        """Give the place with another name in the same folder."""
        path = PurePosixPath(self.path).with_name(name).as_posix()
        return Place(self.system, path, self.shown.removesuffix(self.name) + name)

    def info(self) -> Any:
        """Give pyarrow's FileInfo. Raises SlipwayError if the file system refuses or cannot be reached."""
        with reported(self.shown, "cannot be reached"):
            return self.system.get_file_info(self.path)

    @property
    def exists(self) -> bool:
        """Whether there is a file or a folder here."""
        return bool(self.info().type != fs.FileType.NotFound)

    def below(self) -> list[Any]:
        """List the FileInfo of all files below, in the order of their paths; not of `_hidden` and `.hidden` ones."""
        with reported(self.shown, "cannot be listed"):
            found = self.system.get_file_info(fs.FileSelector(self.path, recursive=True, allow_not_found=True))
        return sorted((info for info in found if info.is_file and self._shows(info)), key=lambda info: str(info.path))

    def _shows(self, info: Any) -> bool:
        return not any(part[0] in "._" for part in PurePosixPath(info.path).relative_to(self.path).parts)

    def stream(self) -> Any:
        """Open a file, decompressed."""
        return self.system.open_input_stream(self.path, compression=self.compression)

    def read(self) -> bytes:
        """Read a small file."""
        with reported(self.shown, "cannot be read"), self.stream() as stream:
            return bytes(stream.read())

    def remove(self) -> None:
        """Remove a file or a folder, if there is one."""
        kind = self.info().type
        with reported(self.shown, "cannot be removed"):
            if kind == fs.FileType.Directory:
                self.system.delete_dir(self.path)
            elif kind == fs.FileType.File:
                self.system.delete_file(self.path)


def _full(uri: str) -> str:
    """Give the URI as pyarrow wants it: az:// leaves the account out, which Azure's tools take from the environment."""
    if not uri.startswith("az://"):
        return uri
    container, _, path = uri.removeprefix("az://").partition("/")
    if not (account := os.environ.get(ACCOUNT)):
        raise SlipwayError(f"{uri}: set {ACCOUNT}, or write abfs://{container}@ACCOUNT.dfs.core.windows.net/{path}")
    return f"abfs://{container}@{account}.dfs.core.windows.net/{path}"


def find(given: str) -> list[tuple[Place, Any]]:
    """Find the files of a file's path, a folder or a glob, each with its FileInfo, in the order of their paths.

    Raises SlipwayError if there is none, if one is empty, or if one is not a table by its name.
    """
    place = Place.of(given)
    info = place.info()
    if info.type == fs.FileType.NotFound and GLOB & set(place.path):
        plain = PurePosixPath(*takewhile(lambda part: not GLOB & set(part), PurePosixPath(place.path).parts)).as_posix()
        pattern = f"/{place.path.lstrip('/')}"
        infos = [
            one for one in Place(place.system, plain, plain).below() if PurePosixPath("/", one.path).match(pattern)
        ]
    elif info.type == fs.FileType.NotFound:
        raise SlipwayError(f"{given}: no such file or folder")
    else:
        infos = [info] if info.is_file else place.below()
    if not infos:
        raise SlipwayError(f"{given}: no file is there")
    single = len(infos) == 1 and infos[0].path == place.path
    prefix = given.partition("://")[0] + "://" if "://" in given else ""
    files = [(Place(place.system, i.path, place.shown if single else prefix + i.path), i) for i in infos]
    for file, info in files:
        format_of(file)
        if not info.size:
            raise SlipwayError(f"{file.shown}: the file is empty")
    return files


def format_of(place: Place) -> str:
    """Give the format of a file by its name: csv, parquet or arrow. Raises SlipwayError for another name."""
    for name, suffixes in FORMATS.items():
        if place.name.lower().endswith(suffixes):
            return name
    known = ", ".join(suffix for suffixes in FORMATS.values() for suffix in suffixes)
    raise SlipwayError(f"{place.shown}: not a table by its name; {known} are read (a glob leaves other files out)")


@contextlib.contextmanager
def reported(shown: str, what: str) -> Iterator[None]:
    """Turn an error of Arrow or of a file system into a SlipwayError with the name of the file."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        words = " ".join(str(error).split())
        hint = "; convert it with iconv" if "invalid UTF8" in words else ""
        raise SlipwayError(f"{shown}: {what}: {words[:300]}{hint}") from None
