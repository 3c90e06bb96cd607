"""Registers artifacts while serving: checks a manifest, keeps it, and makes it known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from services.errors import InvalidArgument, NotFound, Violation
from services.ranker import advice
from services.ranker.claims.model import Artifact, Page, Withdrawal
from services.ranker.claims.registry import Registry, Withdrawn, parse_text
from services.ranker.database.manifest_store import KeptManifest, ManifestStore
from services.ranker.methodology.definition import Methodology
from services.ranker.searching.discovery import Discovery

_log = structlog.get_logger(__name__)
_NAME = "manifest"


@dataclass(frozen=True)
class Checked:
    """Remarks on a manifest, and its entry if nothing is wrong."""

    entry: Artifact | Page | Withdrawal | None
    errors: tuple[Violation, ...]
    warnings: tuple[Violation, ...]


class Registration:
    """Registers artifacts in addition to those that come with the ranker."""

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
        self._entered: set[tuple[str, int]] = set()
        """Artifact and version of every manifest that was read from the database."""

    async def restore(self) -> None:
        """Register stored manifests, from here or another ranker, that are not registered here yet.

        Manifests that no longer fit are left out, and the log says why. Raises `Unavailable` if the
        database cannot be read now.
        """
        async with self._busy:
            await self._restore_new()

    async def _restore_new(self) -> None:
        by_id: dict[str, list[KeptManifest]] = {}
        for one in await self._manifests.every():
            by_id.setdefault(one.artifact, []).append(one)
        new = [
            versions
            for versions in by_id.values()
            if any(_version(one) not in self._entered for one in versions)
        ]
        self._restore(new)
        self._entered.update(_version(one) for versions in new for one in versions)
        await self._discovery.refresh()

    def _restore(self, new: Sequence[Sequence[KeptManifest]]) -> None:
        """Register the last version of each manifest, and apply later withdrawals.

        Manifests may name each other: a page its artifacts, a claim its comparator, two models each
        other. So each is tried until no more fit alone, then the rest together; withdrawals come
        last.
        """
        entries = [
            [one for one in versions if not self._is_withdrawal(one.content)][-1:]
            for versions in new
        ]
        refused = self._enter_all([one for found in entries for one in found])
        refused = self._enter_together(refused)
        gone = {one.artifact for one in refused}
        records = [one[-1] for one in new if self._is_withdrawal(one[-1].content)]
        refused += self._enter_all([one for one in records if one.artifact not in gone])
        for one in refused:
            errors = self.check(one.content).errors
            found = [f"{where}: {problem}" for where, problem in errors]
            problem = found[0] if found else "its content does not give its digest"
            self._registry.leave_out(one.artifact, problem)
            _log.error(
                "manifest refused", artifact=one.artifact, problem="; ".join(found) or problem
            )

    def _enter_all(self, waiting: list[KeptManifest]) -> list[KeptManifest]:
        """Enter what fits, in whichever order it does; return what does not."""
        while True:
            left = []
            for one in waiting:
                entry = self.check(one.content).entry
                if entry is None or entry.digest != one.digest:
                    left.append(one)
                else:
                    self._enter(entry, one)
            if len(left) in (0, len(waiting)):
                return left
            waiting = left

    def _enter_together(self, waiting: list[KeptManifest]) -> list[KeptManifest]:
        """Enter those that are valid on their own at once; return the others."""
        read = [(one, _read(one.content)) for one in waiting]
        right = [
            (one, entry)
            for one, entry in read
            if isinstance(entry, Artifact | Page)
            and entry.digest == one.digest
            and not any(self._problems(entry))
        ]
        try:
            self._registry.register_together([(entry, one.registered_by) for one, entry in right])
        except InvalidArgument:
            return waiting
        entered = {one.artifact for one, _ in right}
        return [one for one in waiting if one.artifact not in entered]

    def _enter(self, entry: Artifact | Page | Withdrawal, kept: KeptManifest) -> None:
        if isinstance(entry, Withdrawal):
            self._registry.withdraw(entry, kept.time, kept.registered_by)
        else:
            self._registry.register(entry, kept.registered_by)

    def check(self, content: bytes) -> Checked:
        """All errors of a manifest, or else possible improvements."""
        try:
            entry = self._parse(content)
        except InvalidArgument as error:
            beside = self._registry.problems_beside(content, _NAME)
            return Checked(None, (*error.violations, *beside), ())
        try:
            if isinstance(entry, Withdrawal):
                self._registry.releases(entry)
                return Checked(entry, (), ())
            fitted = self._registry.accepts(entry)
        except InvalidArgument as error:
            return Checked(None, error.violations, ())
        except NotFound as error:
            return Checked(None, ((f"{_NAME}.id", str(error)),), ())
        return Checked(entry, (), advice.warnings(fitted, self._methodology))

    async def register(
        self, content: bytes, by: str = ""
    ) -> tuple[Artifact | Page, datetime, tuple[Violation, ...]]:
        """Register a manifest's artifact or page, or withdraw one, for the identity `by`.

        Returns it, when its manifest was first kept, and warnings.

        Raises `InvalidArgument`, `VersionConflict` for a version that is there with another content
        or is older, and `Unavailable` when it cannot be kept.
        """
        async with self._busy:
            while True:
                checked = self.check(content)
                entry = checked.entry
                if entry is None:
                    raise InvalidArgument(*checked.errors[0], *checked.errors[1:])
                now = self._now().replace(microsecond=0)
                manifest = KeptManifest(entry.id, entry.version, entry.digest, now, content, by)
                kept = await self._manifests.keep(manifest, len(self._entered))
                if kept is not None:
                    break
                # Another ranker was first with something: check beside that.
                await self._restore_new()
            self._entered.add(_version(kept))
            self._enter(entry, kept)
            await self._discovery.refresh()
        withdrawn = self._registry.withdrawn(entry.id)
        found = withdrawn.entry if withdrawn else self._registry.subject(entry.id)
        return found, kept.time, checked.warnings

    def withdrawn(self, name: str) -> Withdrawn | None:
        """Return what was withdrawn under a name and not registered again, or None."""
        return self._registry.withdrawn(name)

    def registered_by(self, name: str) -> str:
        """See `Registry`."""
        return self._registry.registered_by(name)

    def _parse(self, content: bytes) -> Artifact | Page | Withdrawal:
        entry = parse_text(content, _NAME)
        problems = tuple(self._problems(entry))
        if problems:
            raise InvalidArgument(*problems[0], *problems[1:])
        return entry

    def _problems(self, entry: Artifact | Page | Withdrawal) -> Iterator[Violation]:
        """What is wrong with an entry whatever else is registered."""
        if entry.id in self._packaged:
            problem = f"{entry.id} comes with the ranker and cannot be changed; choose another id"
            yield f"{_NAME}.id", problem
        released = entry.released if isinstance(entry, Artifact) else None
        if released is not None and released > self._now().date():
            yield f"{_NAME}.released", f"{released} is to come; give the day when it was released"

    @staticmethod
    def _is_withdrawal(content: bytes) -> bool:
        return isinstance(_read(content), Withdrawal)


def _version(manifest: KeptManifest) -> tuple[str, int]:
    return manifest.artifact, manifest.version


def _read(content: bytes) -> Artifact | Page | Withdrawal | None:
    try:
        return parse_text(content, _NAME)
    except InvalidArgument:
        return None
