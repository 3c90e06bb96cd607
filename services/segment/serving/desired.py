"""The desired models, in a file that all replicas read. Pure: JSON and files.

    {"schema": 1, "models": [{"name": "segformer-b0", "version": "2"}, ...]}

An empty version means the latest one, an empty list every present model. The file is replaced as a
whole: readers see either the old or the new state, and a writer that is killed leaves the old one.
Writers take turns with a lock on "<name>.lock" next to the file, which ends with their process.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from services.common import strict_documents
from services.common.strict_documents import Document
from services.errors import InvalidArgument, RevisionMismatch, StorageFull, Unavailable, Violation
from services.segment.manifest import NAME_RULE, is_name

SCHEMA = 1
_MAX_BYTES = 1 << 20
_MAX_MODELS = 1000
_MODE = 0o644


def _name(value: str) -> str:
    if not is_name(value):
        raise ValueError(f"{value!r} is not a name: {NAME_RULE}")
    return value


def _version(value: str) -> str:
    if value and not is_name(value):
        raise ValueError(f"{value!r} is not a version: {NAME_RULE}")
    return value


def _schema(value: int) -> int:
    if value != SCHEMA:
        raise ValueError(f"is {value}; this release reads {SCHEMA}")
    return value


class DesiredModel(Document):
    """A model by name; an empty version means the latest one."""

    name: Annotated[str, AfterValidator(_name)]
    version: Annotated[str, AfterValidator(_version)]


class _Content(Document):
    schema_version: Annotated[int, AfterValidator(_schema)] = Field(alias="schema")
    models: Annotated[tuple[DesiredModel, ...], Field(max_length=_MAX_MODELS)]

    def problems(self) -> Iterator[Violation]:
        for model, count in Counter(self.models).items():
            if count > 1:
                version = f" version {model.version}" if model.version else ""
                yield "models", f"{model.name}{version} appears twice"


@dataclass(frozen=True)
class Desired:
    """The models to serve, in order; an empty list means every present model."""

    models: tuple[DesiredModel, ...] = ()

    @property
    def revision(self) -> str:
        """The state's digest, "sha256:<hex>"; the file's layout does not matter."""
        return "sha256:" + hashlib.sha256(encode(self)).hexdigest()


def desired(models: Iterable[tuple[str, str]]) -> Desired:
    """Return the state with these models, given as names and versions.

    Raises InvalidArgument with all that is wrong with them.
    """
    listed = [{"name": name, "version": version} for name, version in models]
    return _state(strict_documents.validate(_Content, {"schema": SCHEMA, "models": listed}))


def _state(content: _Content) -> Desired:
    return Desired(tuple(sorted(content.models, key=lambda model: (model.name, model.version))))


def encode(state: Desired) -> bytes:
    """Return the state's one canonical JSON text."""
    content = _Content(schema=SCHEMA, models=state.models)
    return json.dumps(content.model_dump(by_alias=True), indent=1).encode() + b"\n"


def decode(data: bytes, file: str) -> Desired:
    """Parse the bytes of `file` strictly. Raises InvalidArgument with all that is wrong."""
    if len(data) > _MAX_BYTES:
        raise InvalidArgument(file, f"larger than {_MAX_BYTES} bytes")
    return _state(strict_documents.read(_Content, data, file))


class DesiredFile:
    """The file at `path`. Its methods block, and may be called from any thread and process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Desired | None:
        """Return the desired state; None if there is no file yet.

        Raises InvalidArgument if the file is not valid, Unavailable if the file or its folder
        cannot be read.
        """
        try:
            data = self._bytes()
        except OSError as error:
            raise Unavailable(f"{self.path} cannot be read: {error.strerror}") from error
        if data is None:
            if self.path.parent.is_dir():
                return None
            raise Unavailable(f"{self.path.parent}: no such folder; is it mounted?")
        return decode(data, str(self.path))

    def replace(self, state: Desired, expected_revision: str = "") -> None:
        """Write the whole state, unless the file's revision differs from `expected_revision`.

        Writing the state that is already there is never refused, so a call may be repeated. A
        damaged file has no revision and is replaced. Raises RevisionMismatch, StorageFull for a
        full disk, Unavailable for any other failure to read or write the file. No error names the
        file's path, since callers see errors.
        """
        try:
            with self._locked():
                current = self._current()
                if current == state and self.path.exists():
                    return
                revision = "" if current is None else current.revision
                if expected_revision and expected_revision != revision:
                    raise RevisionMismatch(
                        f"the revision is {revision or 'none: the file is damaged'}, not "
                        f"{expected_revision}: read the desired models again, and decide"
                    )
                self._write(encode(state))
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StorageFull(
                    "the disk of the model repository's file is full; the desired models are "
                    "unchanged: free some space and try again"
                ) from error
            raise Unavailable(
                f"the model repository's file cannot be read or written: {error.strerror}; the "
                "server's log says which"
            ) from error

    def _current(self) -> Desired | None:
        """Return the state; None for a damaged file. Raises OSError."""
        data = self._bytes()
        try:
            return Desired() if data is None else decode(data, str(self.path))
        except InvalidArgument:
            return None

    def _bytes(self) -> bytes | None:
        """Return the file's bytes, up to one too many; None if there is no file."""
        try:
            with self.path.open("rb") as file:
                return file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(self.path.with_name(f"{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, _MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, data: bytes) -> None:
        folder, prefix = self.path.parent, f".{self.path.name}."
        for left in folder.glob(f"{prefix}*"):
            left.unlink(missing_ok=True)  # left by a killed writer, since we hold the lock
        handle, name = tempfile.mkstemp(prefix=prefix, dir=folder)
        work = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), _MODE)
                os.fsync(file.fileno())
            work.replace(self.path)
        except BaseException:
            work.unlink(missing_ok=True)
            raise
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
