"""Registers artifacts while serving: checks a manifest, keeps it, and makes it known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import structlog

from services.errors import InvalidArgument, Violation
from services.ranker import advice
from services.ranker.claims.model import Artifact, Page
from services.ranker.claims.registry import Registry, parse_text
from services.ranker.database.manifest_store import KeptManifest, ManifestStore
from services.ranker.methodology.definition import Methodology
from services.ranker.searching.discovery import Discovery

_log = structlog.get_logger(__name__)
_NAME = "manifest"


@dataclass(frozen=True)
class Checked:
    """What there is to say of a manifest; the artifact or page, when nothing is wrong with it."""

    entry: Artifact | Page | None
    errors: tuple[Violation, ...]
    warnings: tuple[Violation, ...]


class Registration:
    """Registers artifacts beside those that come with the ranker."""

    def __init__(
        self,
        registry: Registry,
        manifests: ManifestStore,
        discovery: Discovery,
        methodology: Methodology,
        now: Callable[[], datetime],
    ) -> None:
        self._registry = registry
        self._packaged = {one.id for one in registry.artifacts}
        self._packaged |= {one.id for one in registry.pages}
        self._manifests = manifests
        self._discovery = discovery
        self._methodology = methodology
        self._now = now
        self._busy = asyncio.Lock()

    async def restore(self) -> None:
        """Register what was kept. What no longer fits is left out, and the log says why.

        Raises `Unavailable` when the database cannot be read now.
        """
        kept = await self._manifests.latest()
        # Pages are of artifacts, which are registered before them.
        for one in sorted(kept, key=lambda one: self._is_page(one.content)):
            checked = self.check(one.content)
            if checked.entry is None or checked.entry.digest != one.digest:
                problem = str(checked.errors or "its content does not give its digest")
                _log.error("manifest refused", artifact=one.artifact, problem=problem)
                continue
            self._registry.register(checked.entry)
        await self._discovery.refresh()

    def check(self, content: bytes) -> Checked:
        """Everything that is wrong with a manifest, or what could be better in it."""
        try:
            entry = self._parse(content)
            fitted = self._registry.accepts(entry)
        except InvalidArgument as error:
            return Checked(None, error.violations, ())
        return Checked(entry, (), advice.warnings(fitted, self._methodology))

    async def register(
        self, content: bytes
    ) -> tuple[Artifact | Page, datetime, tuple[Violation, ...]]:
        """Register a manifest's artifact or page; return it, when it was first kept, and warnings.

        Raises `InvalidArgument`, `VersionConflict` for a version that is there with another content
        or is older, and `Unavailable` when it cannot be kept.
        """
        async with self._busy:
            checked = self.check(content)
            entry = checked.entry
            if entry is None:
                raise InvalidArgument(*checked.errors[0], *checked.errors[1:])
            now = self._now().replace(microsecond=0)
            kept = await self._manifests.keep(
                KeptManifest(entry.id, entry.version, entry.digest, now, content)
            )
            self._registry.register(entry)
            await self._discovery.refresh()
        return self._registry.subject(entry.id), kept.time, checked.warnings

    def _parse(self, content: bytes) -> Artifact | Page:
        entry = parse_text(content, _NAME)
        problems = tuple(self._problems(entry))
        if problems:
            raise InvalidArgument(*problems[0], *problems[1:])
        return entry

    def _problems(self, entry: Artifact | Page) -> Iterator[Violation]:
        """What is wrong with an entry whatever else is registered."""
        if entry.id in self._packaged:
            problem = f"{entry.id} comes with the ranker and cannot be replaced; choose another id"
            yield f"{_NAME}.id", problem
        released = entry.released if isinstance(entry, Artifact) else None
        if released is not None and released > self._now().date():
            yield f"{_NAME}.released", f"{released} is to come; give the day when it was released"

    @staticmethod
    def _is_page(content: bytes) -> bool:
        try:
            return isinstance(parse_text(content, _NAME), Page)
        except InvalidArgument:
            return False
