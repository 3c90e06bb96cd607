"""Stores manifests and withdrawals that were registered while serving, each version once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from services.errors import VersionConflict
from services.ranker.database.database import Connection, Database

_SELECT = "SELECT artifact, version, digest, time, content, registered_by FROM manifest "


@dataclass(frozen=True)
class KeptManifest:
    """A version of an artifact's manifest as it was sent. `digest` is that of its meaning.

    `registered_by` is the caller's verified identity; empty if it showed none, or if the manifest
    was stored before identities were.
    """

    artifact: str
    version: int
    digest: str
    time: datetime
    content: bytes
    registered_by: str = ""


class ManifestStore:
    """Manifests by artifact and version, in an open database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, manifest: KeptManifest, known: int | None = None) -> KeptManifest | None:
        """Store a version; return it as it was first stored.

        `known` is the number of stored versions of all artifacts that the caller has checked this
        one against. Returns None, and stores nothing, if another ranker has stored more since.

        Raises `VersionConflict` if a later version is stored, or this one with other content;
        `Unavailable` if the database cannot be written now.
        """

        def work(connection: Connection) -> KeptManifest | None:
            (kept,) = connection.execute("SELECT count(*) FROM manifest").fetchone()
            if known is not None and kept != known:
                return None
            rows = connection.execute(
                _SELECT + "WHERE artifact = ? ORDER BY version DESC LIMIT 1",
                (manifest.artifact,),
            ).fetchall()
            last = _read(rows[0]) if rows else None
            if last is not None and last.version > manifest.version:
                raise VersionConflict(
                    f"{manifest.artifact} is registered in version {last.version}; a manifest "
                    f"of version {manifest.version} is older: raise its `version`"
                )
            if last is not None and last.version == manifest.version:
                if last.digest == manifest.digest:
                    return last
                raise VersionConflict(
                    f"version {last.version} of {manifest.artifact} is registered with another "
                    "content; a version has one content: raise its `version`"
                )
            connection.execute(
                "INSERT INTO manifest (artifact, version, digest, time, content, registered_by) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (
                    manifest.artifact,
                    manifest.version,
                    manifest.digest,
                    manifest.time.astimezone(UTC).isoformat(timespec="seconds"),
                    manifest.content,
                    manifest.registered_by,
                ),
            )
            return manifest

        return await self._database.write(work)

    async def every(self) -> tuple[KeptManifest, ...]:
        """Every version of every manifest, by id and version. Raises `Unavailable`."""
        rows = await self._database.read(
            lambda connection: connection.execute(_SELECT + "ORDER BY artifact, version").fetchall()
        )
        return tuple(map(_read, rows))


def _read(row: tuple[str, int, str, str, bytes, str]) -> KeptManifest:
    artifact, version, digest, time, content, by = row
    return KeptManifest(artifact, version, digest, datetime.fromisoformat(time), content, by)
