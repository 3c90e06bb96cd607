"""Registers artifacts while serving: checks a manifest, keeps it, and makes it known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from services.errors import InvalidArgument
from services.ranker import advice
from services.ranker.claims.fields import ManifestError
from services.ranker.claims.model import Artifact
from services.ranker.claims.registry import Registry, parse_text
from services.ranker.database.manifest_store import KeptManifest, ManifestStore
from services.ranker.methodology.definition import Methodology
from services.ranker.searching.discovery import Discovery

_log = structlog.get_logger(__name__)
_NAME = "manifest"

Finding = tuple[str, str]


@dataclass(frozen=True)
class Checked:
    """What there is to say of a manifest; the artifact, when nothing is wrong with it."""

    artifact: Artifact | None
    errors: tuple[Finding, ...]
    warnings: tuple[Finding, ...]


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
        for kept in await self._manifests.latest():
            checked = self.check(kept.content)
            if checked.artifact is None or checked.artifact.digest != kept.digest:
                problem = str(checked.errors or "its content does not give its digest")
                _log.error("manifest refused", artifact=kept.artifact, problem=problem)
                continue
            self._registry.register(checked.artifact)
        await self._discovery.refresh()

    def check(self, content: bytes) -> Checked:
        """Everything that is wrong with a manifest, or what could be better in it."""
        try:
            artifact = self._parse(content)
            self._registry.accepts(artifact)
        except ManifestError as error:
            return Checked(None, error.findings, ())
        return Checked(artifact, (), advice.warnings(artifact, self._methodology))

    async def register(self, content: bytes) -> tuple[Artifact, datetime, tuple[Finding, ...]]:
        """Register a manifest's artifact; return it, when it was first kept, and the warnings.

        Raises `InvalidArgument`, `PreconditionFailed` for a version that is there with another
        content or is older, and `Unavailable` when it cannot be kept.
        """
        async with self._busy:
            checked = self.check(content)
            artifact = checked.artifact
            if artifact is None:
                more = len(checked.errors) - 1
                place, problem = checked.errors[0]
                rest = f" (and {more} more: ValidateManifest lists them)" if more else ""
                raise InvalidArgument("manifest", f"{place}: {problem}{rest}")
            now = self._now().replace(microsecond=0)
            kept = await self._manifests.keep(
                KeptManifest(artifact.id, artifact.version, artifact.digest, now, content)
            )
            self._registry.register(artifact)
            await self._discovery.refresh()
        return artifact, kept.time, checked.warnings

    def _parse(self, content: bytes) -> Artifact:
        entry = parse_text(content, _NAME)
        if not isinstance(entry, Artifact):
            raise ManifestError((f"{_NAME}.kind", "only artifacts are registered"))
        if entry.id in self._packaged:
            problem = f"{entry.id} comes with the ranker and cannot be replaced; choose another id"
            raise ManifestError((f"{_NAME}.id", problem))
        return entry
