"""Every page as a file: a folder that any server, or a browser alone, can show."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from services.errors import InvalidArgument
from services.ranker.web.links import Files, Links
from services.ranker.web.pages import Pages
from services.ranker.web.reads import Reads

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_INDEX = "index.html"

Make = Callable[[Pages], Awaitable[str]]


@dataclass(frozen=True)
class Written:
    """What was written: files, and all their bytes."""

    files: int
    size: int


async def write(reads: Reads, folder: Path, progress: Callable[[str], None]) -> Written:
    """Write every page into a folder, which is made; files of the same names are replaced.

    Raises InvalidArgument for an id that is not one of the contract's: it becomes a path.
    """
    pages = await _planned(reads)
    paths = frozenset(pages)
    size = 0
    for number, (path, make) in enumerate(sorted(pages.items()), 1):
        links: Links = Files(path.count("/"), paths)
        content = await make(Pages(reads, links, alone=True))
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
        size += file.stat().st_size
        if number % 100 == 0:
            progress(f"{number} of {len(pages)} pages")
    return Written(len(pages), size)


async def _planned(reads: Reads) -> dict[str, Make]:
    """What makes each file, by its path."""
    kinds = {_checked(one.id): one.type for one in await reads.artifacts()}
    pages: dict[str, Make] = {
        _INDEX: lambda made: made.index(),
        "methodology.html": lambda made: made.methodology(),
    }
    owners = dict.fromkeys(kinds)
    for left, right in combinations(sorted(kinds), 2):
        reply = await reads.compare(left, right)
        of_page = [_checked(one.page.id) for one in reply.pages]
        owners |= dict.fromkeys(of_page)
        if of_page or kinds[left] == kinds[right]:
            pages[f"comparisons/{left}/{right}.html"] = _comparison(left, right)
    for name in owners:
        if name in kinds:
            pages[f"artifacts/{name}.html"] = _artifact(name)
        else:
            pages[f"pages/{name}.html"] = _page(name)
        for verdict in (await reads.owner(name)).claims:
            claim = f"{name}/{_checked(verdict.claim.id)}"
            pages[f"claims/{claim}.html"] = _claim(claim)
            for one in await reads.evidence_of(claim):
                if _DIGEST.fullmatch(one.digest):
                    path = f"evidence/{one.digest.removeprefix('sha256:')}.html"
                    pages[path] = _evidence(one.digest)
    return pages


def _artifact(name: str) -> Make:
    return lambda made: made.artifact(name)


def _page(name: str) -> Make:
    return lambda made: made.page(name)


def _comparison(left: str, right: str) -> Make:
    return lambda made: made.comparison(left, right)


def _claim(reference: str) -> Make:
    return lambda made: made.claim(reference)


def _evidence(digest: str) -> Make:
    return lambda made: made.evidence(digest)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidArgument("id", f"{name!r:.200} cannot be a file's name; nothing was written")
    return name
