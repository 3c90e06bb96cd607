"""Models, corpora and databases that the settings name."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from services.cli.doctor.finding import Finding, Level
from services.errors import AssayError, PreconditionFailed
from services.rpc.settings import ServerSettings, read_settings

S = TypeVar("S", bound=ServerSettings)


def _read(kind: type[S]) -> S:
    settings, problems = read_settings(kind)
    if settings is None:
        raise PreconditionFailed("; ".join(problems))
    return settings


def models() -> Iterator[Finding]:
    """Each model that segment would serve."""
    from services.segment.serving.repository import survey  # noqa: PLC0415  needs the extra
    from services.segment.settings import SegmentSettings  # noqa: PLC0415

    settings = _read(SegmentSettings)
    found = survey(settings.models, settings.accepted_licenses)
    for model in found.models:
        manifest = model.manifest
        where = f"{manifest.name}:{manifest.version} in {model.directory}"
        if model.accepted:
            yield Finding("model", Level.FINE, where)
            continue
        accepted = json.dumps(sorted({*settings.accepted_licenses, manifest.license.id}))
        yield Finding(
            "model",
            Level.WARNING,
            f"{where} is not served: its licence {manifest.license.id} is not accepted",
            f"ASSAY_SEGMENT_ACCEPTED_LICENSES='{accepted}'",
        )
    for failure in found.failures:
        yield Finding(
            "model",
            Level.WRONG,
            f"{failure.path}: {failure.error}",
            "export it again, or take it out of ASSAY_SEGMENT_MODELS",
        )


def corpora() -> Iterator[Finding]:
    """Each corpus and language model that corpus would serve."""
    from services.corpus.settings import CorpusSettings  # noqa: PLC0415  needs the extra

    settings = _read(CorpusSettings)
    if not settings.corpora:
        yield Finding("corpora", Level.OFF, "none set; the reference corpus is served")
    for name, entry in settings.corpora.items():
        for path in (entry.path,) if isinstance(entry.path, str) else entry.path:
            yield _place(f"corpus {name}", path, "ASSAY_CORPUS_CORPORA")
    for name, folder in settings.language_models.items():
        yield _place(f"language model {name}", str(folder), "ASSAY_CORPUS_LANGUAGE_MODELS")


def _place(subject: str, path: str, variable: str) -> Finding:
    if "://" in path:
        return Finding(subject, Level.FINE, f"{path} (not looked at: it is not on this machine)")
    if Path(path).expanduser().exists():
        return Finding(subject, Level.FINE, path)
    remedy = f"put it there, or correct {variable}"
    return Finding(subject, Level.WRONG, f"there is no {path}", remedy)


def database() -> Iterator[Finding]:
    """Whether the ranker's evidence can be read and is unchanged."""
    from services.ranker.database.database import StoreError  # noqa: PLC0415  needs the extra
    from services.ranker.settings import RankerSettings  # noqa: PLC0415

    settings = _read(RankerSettings)
    if settings.database_url is not None:
        yield _postgres(settings.database_url.get_secret_value(), settings.lock_seconds)
        return
    file = settings.database_file
    if not file.exists():
        yield Finding("database", Level.OFF, f"{file} is made when it is first needed")
        return
    from services.ranker.database.backup import check  # noqa: PLC0415

    try:
        contents = check(file)
    except StoreError as error:
        yield Finding("database", Level.WRONG, str(error), "assay restore BACKUP")
    else:
        yield Finding("database", Level.FINE, f"{file}, {contents.evidence:,} pieces of evidence")


def _postgres(address: str, seconds: float) -> Finding:
    from services.ranker.database.database import StoreError  # noqa: PLC0415
    from services.ranker.database.postgres import PostgresDatabase  # noqa: PLC0415  of an extra

    async def look() -> None:
        opened = PostgresDatabase(address, seconds)
        await opened.open()
        await opened.close()

    try:
        asyncio.run(look())
    except (StoreError, AssayError) as error:
        return Finding("database", Level.WRONG, str(error), "see ASSAY_RANKER_DATABASE_URL")
    return Finding("database", Level.FINE, "PostgreSQL answers")


def cache() -> Iterator[Finding]:
    """Whether Redis answers, if the settings name it."""
    from services.ranker.cache.redis import RedisStore  # noqa: PLC0415  needs the extra
    from services.ranker.cache.store import (  # noqa: PLC0415
        StoreRefusedError,
        StoreUnavailableError,
    )
    from services.ranker.settings import RankerSettings  # noqa: PLC0415

    options = _read(RankerSettings).redis
    if not options.url and not options.sentinels:
        yield Finding("Redis", Level.OFF, "REDIS_URL is not set; comparisons are cached in memory")
        return

    async def ask() -> None:
        store = RedisStore(options)
        try:
            await store.ping()
        finally:
            await store.close()

    try:
        asyncio.run(ask())
    except (StoreUnavailableError, StoreRefusedError) as error:
        yield Finding(
            "Redis",
            Level.WRONG,
            f"does not answer: {error}",
            "start it, or correct REDIS_URL; without it each ranker caches in its own memory",
        )
    else:
        yield Finding("Redis", Level.FINE, "answers")
