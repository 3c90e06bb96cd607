"""A running verification, as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import lru_cache
from typing import Any

from assay_rpc.ranker.v1 import evidence_pb2, verification_pb2

from services.ranker.web.links import Links
from services.ranker.web.rendering import fragment
from services.ranker.web.values import enum_name
from services.ranker.web.views import claims
from services.ranker.words import words

_BEAT_SECONDS = 15.0
"""Silence after which a comment is sent, so that proxies keep the connection."""

_KEPT_CLAIMS = 64


async def events(
    updates: AsyncGenerator[verification_pb2.WatchJobResponse, None],
    links: Links,
    closing: asyncio.Event,
    after: int,
) -> AsyncGenerator[str, None]:
    """Yield each update of a job: `claim` with its HTML, `progress`, and `end`.

    An event's id is the number of verdicts so far, from which the stream can be continued; `after`
    were told before. Ends with the job, or early when `closing` is set.
    """
    told = after
    closed = asyncio.create_task(closing.wait())
    async with aclosing(updates):
        following = asyncio.ensure_future(anext(updates, None))
        try:
            while True:
                done, _ = await asyncio.wait(
                    {following, closed},
                    timeout=_BEAT_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if closed in done:
                    return
                if not done:
                    yield ": still running\n\n"
                    continue
                update = following.result()
                if update is None:
                    return
                following = asyncio.ensure_future(anext(updates, None))
                if update.HasField("result"):
                    told += 1
                    verdict = update.result.SerializeToString(deterministic=True)
                    yield event("claim", _claim(verdict, links), told)
                else:
                    name = "progress" if not over(update.progress) else "end"
                    yield event(name, progress(update.progress), told)
        finally:
            closed.cancel()
            following.cancel()
            await asyncio.gather(closed, following, return_exceptions=True)


def event(name: str, data: str, identifier: int) -> str:
    """One event. A line break in its data would end it, so each line is a field of its own."""
    lines = "".join(f"data: {line}\n" for line in data.splitlines() or [""])
    return f"event: {name}\nid: {identifier}\n{lines}\n"


@lru_cache(_KEPT_CLAIMS)
def _claim(verdict: bytes, links: Links) -> str:
    """A verdict's HTML, made once for all who follow it: hundreds may."""
    view = claims.view(evidence_pb2.ClaimVerdict.FromString(verdict), links)
    html = fragment("claim_row.html", links, one=view)
    return json.dumps({"anchor": view.anchor, "html": html})


def over(job: verification_pb2.Job) -> bool:
    """Whether a job has ended."""
    return job.HasField("end_time")


def progress(job: verification_pb2.Job) -> str:
    """Where a job stands, in a line."""
    total = len(job.plan.claims)
    text = f"{words(enum_name(job, 'state'))}, {job.done} of {total} claims decided"
    if job.HasField("progress"):
        step = f" ({job.progress.step})" if job.progress.step else ""
        text += f", now {job.progress.claim}{step}"
    if job.HasField("error"):
        text += f": {job.error.message}"
    return " ".join(text.split())


def day(job: Any) -> str:
    """When a job was submitted."""
    return str(job.create_time.ToJsonString()[:16].replace("T", " "))
