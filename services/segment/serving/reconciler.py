"""Brings a replica to the desired state: looks, plans, loads one model, swaps, and repeats."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from services.errors import (
    AssayError,
    InvalidArgument,
    TooLarge,
    Unavailable,
    Unsupported,
)
from services.segment.serving.desired import Desired, DesiredFile, DesiredModel
from services.segment.serving.models import Models
from services.segment.serving.planning import Plan, plan
from services.segment.serving.repository import Identity, RegisteredModel, Survey, discover, survey
from services.segment.serving.states import ModelStatus, statuses
from services.segment.settings import SegmentSettings

# A model with unchanged files is tried again after pauses that double up to this.
_MAX_PAUSE_SECONDS = 300.0
_log = structlog.get_logger(__name__)
_Signature = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True)
class _Failure:
    """Why a model could not be loaded, from which files, and when to try again.

    With changed files, the time is `soonest`: a model being copied has other files at every look.
    """

    problem: str
    files: _Signature
    again_at: float
    soonest: float
    pause: float


class Reconciler:
    """Follows the file of `settings.desired`; without one, serves the models found at the start."""

    def __init__(self, settings: SegmentSettings, models: Models) -> None:
        self._settings = settings
        self._models = models
        self._file = None if settings.desired is None else DesiredFile(settings.desired)
        self._desired = Desired()
        self._seen = False
        self._survey = Survey()
        self._failures: dict[Identity, _Failure] = {}
        self._loading: Identity | None = None
        self._warned: dict[str, str] = {}
        self._changed = asyncio.Event()
        self._closing = False
        self._follower: asyncio.Task[None] | None = None
        self.reconciled_at: datetime | None = None
        """When the served models were last compared with the desired ones."""

    async def start(self) -> None:
        """Load the desired models, and keep following the file.

        Raises InvalidArgument naming the file that is wrong, or what the settings require and is
        missing. If a file lists the desired models, one that cannot be loaded is no error as long
        as another is served.
        """
        settings = self._settings
        await asyncio.to_thread(self._models.choice.require_available)
        if self._file is None:
            found = await asyncio.to_thread(discover, settings.models, settings.accepted_licenses)
            self._survey = Survey(tuple(found))
            while await self._step(strict=True):
                pass
            return
        await asyncio.to_thread(self._file.read)  # an error in it prevents the start
        while await self._look():
            pass
        if not self._models.loaded:
            self._require_some(self._file)
        self._follower = asyncio.create_task(self._follow(), context=Context())

    async def close(self) -> None:
        """Stop following; wait for a model that is being loaded."""
        self._closing = True
        self._changed.set()
        if self._follower is not None:
            await self._follower

    async def wanted(self) -> Desired:
        """Return the desired state."""
        return await asyncio.to_thread(self._read)

    async def want(self, state: Desired, expected_revision: str) -> None:
        """Write the desired state for all replicas, and apply it here at once.

        Raises InvalidArgument for a missing model, and what `DesiredFile.replace` raises.
        """
        if self._file is None:
            raise Unsupported(
                "no repository is configured: start the service with "
                f"{self._settings.variable('desired')} naming a file on shared storage"
            )
        found = await asyncio.to_thread(self._read_models)
        known = {identity[:2] for identity in self._models.loaded}
        known |= {model.key for model in found.models}
        for index, model in enumerate(state.models):
            _require_known(f"models[{index}]", model, known)
        try:
            await asyncio.to_thread(self._file.replace, state, expected_revision)
        except (TooLarge, Unavailable) as error:  # callers must not learn the file's path
            file, cause = str(self._file.path), str(error.__cause__)
            _log.warning("cannot write the desired models", file=file, error=cause)
            raise
        self._survey = found
        self._changed.set()

    def statuses(self, state: Desired) -> list[ModelStatus]:
        """Return the status of each model, if `state` is desired."""
        return statuses(
            self._plan(state, self._survey, dict.fromkeys(self._failures, False)),
            self._survey.models,
            serving=self._models.serving,
            draining=self._models.draining,
            loading=self._loading,
            problems={identity: item.problem for identity, item in self._failures.items()},
        )

    async def _follow(self) -> None:
        while not self._closing:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.reconcile_seconds):
                    await self._changed.wait()
            self._changed.clear()
            try:
                while not self._closing and await self._look():
                    pass
            except Exception:  # noqa: BLE001  # logged, with its trace
                # Whatever the error, serving continues, and the next look tries again.
                _log.exception("cannot reconcile the models")

    async def _look(self) -> bool:
        """Compare desired and present models, and take a step; return whether more remain."""
        self._desired = await asyncio.to_thread(self._read)
        self._survey = await asyncio.to_thread(self._read_models)
        for item in self._survey.failures:
            path, error = str(item.path), str(item.error)
            self._warn_once(path, error, "cannot read a model", path=path, error=error)
        return await self._step()

    async def _step(self, *, strict: bool = False) -> bool:
        """Publish what requests may find, and load the next model; return whether there was one."""
        found = self._survey
        there = {model.identity: model for model in found.models}
        self._failures = {key: item for key, item in self._failures.items() if key in there}
        due = await asyncio.to_thread(self._due, there)
        todo = self._plan(self._desired, found, due)
        self._models.publish(found.models, todo.serving)
        self._warn_of_licences()
        self.reconciled_at = datetime.now(UTC)
        if todo.load is None:
            return False
        await self._load(there[todo.load], strict=strict)
        return True

    async def _load(self, model: RegisteredModel, *, strict: bool) -> None:
        identity = model.identity
        files = _signature(model.directory)
        self._loading = identity
        try:
            await self._models.open(model)
        except Exception as error:  # ONNX Runtime's errors share no base class
            # Whatever the error, it affects only this model. The error itself is not kept: its
            # trace would keep the memory that the attempt took.
            if strict:
                raise
            before = self._failures.get(identity)
            again = before is not None and before.files == files
            pause = 2 * before.pause if before and again else self._settings.reconcile_seconds
            pause = min(pause, _MAX_PAUSE_SECONDS)
            said = str(error) if isinstance(error, AssayError) else repr(error)
            problem = _without_paths(error, model.directory)
            now = time.monotonic()
            soonest = now + self._settings.reconcile_seconds
            self._failures[identity] = _Failure(problem, files, now + pause, soonest, pause)
            self._warn_once(str(identity), said, "cannot load a model", problem=said)
        else:
            self._failures.pop(identity, None)
            self._warned.pop(str(identity), None)
        finally:
            self._loading = None

    def _due(self, there: Mapping[Identity, RegisteredModel]) -> dict[Identity, bool]:
        """Return the failed models, and whether to try each again; reads the disk."""
        now = time.monotonic()
        return {
            identity: now >= item.again_at
            or (now >= item.soonest and item.files != _signature(there[identity].directory))
            for identity, item in self._failures.items()
        }

    def _plan(self, state: Desired, found: Survey, failed: Mapping[Identity, bool]) -> Plan:
        models = {model.identity: model for model in found.models if model.accepted}
        keys = {model.key for model in found.models}
        hidden = [
            identity
            for identity, model in self._models.loaded.items()
            if model.key not in keys and found.hides(model.directory)
        ]
        present = sorted([*models, *hidden], key=lambda x: self._order(x, models))
        return plan(state, present, self._models.loaded, failed)

    def _order(
        self, identity: Identity, models: dict[Identity, RegisteredModel]
    ) -> tuple[str, str, str]:
        return (models.get(identity) or self._models.loaded[identity]).order

    def _read(self) -> Desired:
        """Return the file's state; if the file cannot be read, its last state."""
        if self._file is None:
            return self._desired
        try:
            state = self._file.read()
        except AssayError as error:
            return self._as_before(str(error))
        if state is None and self._seen:
            return self._as_before(f"{self._file.path}: has been removed")
        self._seen = self._seen or state is not None
        self._warned.pop("desired", None)
        return state or Desired()

    def _as_before(self, error: str) -> Desired:
        self._warn_once("desired", error, "cannot read the desired models", error=error)
        return self._desired

    def _read_models(self) -> Survey:
        return survey(self._settings.models, self._settings.accepted_licenses)

    def _warn_once(self, about: str, problem: str, event: str, /, **fields: str) -> None:
        """Log a problem the first time, and again when it changes."""
        if self._warned.get(about) != problem:
            self._warned[about] = problem
            _log.warning(event, **fields)

    def _warn_of_licences(self) -> None:
        for model in self._survey.models:
            if not model.accepted:
                self._warn_once(
                    str(model.identity),
                    "licence",
                    "listed but not served: its licence is not accepted",
                    model=model.manifest.name,
                    license=model.manifest.license.id,
                    setting=self._settings.variable("accepted_licenses"),
                )

    def _require_some(self, file: DesiredFile) -> None:
        """Refuse to start without models, unless only a licence is lacking."""
        for identity, item in self._failures.items():
            raise InvalidArgument(f"model {identity.name} {identity.version}", item.problem)
        for failure in self._survey.failures:
            raise failure.error
        if self._desired.models and all(model.accepted for model in self._survey.models):
            raise InvalidArgument(str(file.path), "none of the models that it names exists")


def _without_paths(error: Exception, directory: Path) -> str:
    """Return the message for callers, without paths: only the operator may know those."""
    if isinstance(error, AssayError):
        return str(error).replace(f"{directory}/", "")
    return f"{type(error).__name__}; the server's log says why"


def _require_known(field: str, model: DesiredModel, known: set[tuple[str, str]]) -> None:
    versions = sorted(version for name, version in known if name == model.name)
    if not versions:
        names = ", ".join(sorted({name for name, _ in known})) or "none"
        raise InvalidArgument(
            f"{field}.name", f"the repository has no model {model.name!r}; it has: {names}"
        )
    if model.version and model.version not in versions:
        raise InvalidArgument(
            f"{field}.version",
            f"the repository has no version {model.version!r} of {model.name}; it has: "
            + ", ".join(versions),
        )


def _signature(directory: Path) -> _Signature:
    """Return a value that changes with any file of the directory; empty if it cannot be read."""
    try:
        stats = [(path.name, path.stat()) for path in sorted(directory.iterdir())]
    except OSError:
        return ()
    return tuple((name, s.st_size, s.st_mtime_ns, s.st_ino) for name, s in stats)
