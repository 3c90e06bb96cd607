"""A picture or a text of the reader's own: labels with shares, bits per byte in colours."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc
from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import scoring_pb2, scoring_pb2_grpc
from assay_rpc.segment.v1 import segment_pb2, segment_pb2_grpc
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from services.errors import (
    AssayError,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    Overloaded,
    Unavailable,
)
from services.ranker.web import pictures
from services.ranker.web.links import Links
from services.ranker.web.rendering import SERVED_POLICY, render
from services.rpc.client import outgoing

PATH: Final = "/try"
PICTURE_PATH: Final = "/try/picture"
TEXT_PATH: Final = "/try/text"

MAX_TEXT_BYTES: Final = 8 << 10
"""Of a text: each of its bytes may become an element of the page."""

_AT_ONCE = 2
"""Requests that are computed at once; further ones are refused, so that their bytes do not pile
up."""

_SECONDS = 60.0
_RETRY_SECONDS = 5.0
_SHADES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Bits per byte at which one colour ends and the next begins."""

_KINDS = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


@dataclass(frozen=True)
class Shaded:
    """A part of a text, and how surprising it was: `title` says it in words."""

    text: str
    shade: str
    title: str


class Trying:
    """The forms, and what segment and corpus say of what is sent."""

    def __init__(self, segment: grpc.aio.Channel, corpus: grpc.aio.Channel) -> None:
        self._segment = segment_pb2_grpc.SegmentServiceStub(segment)
        self._scoring = scoring_pb2_grpc.ScoringServiceStub(corpus)
        self._running = 0

    def routes(self, links: Links) -> list[BaseRoute]:
        """Routes of the forms and of what they send."""

        async def shown(request: Request, **found: Any) -> Response:  # noqa: ARG001
            return await self._page(links, **found)

        async def picture(request: Request) -> Response:
            async with self._turn():
                return await shown(request, **await self._picture(request))

        async def text(request: Request) -> Response:
            async with self._turn():
                return await shown(request, **await self._text(request))

        return [
            Route(PATH, shown),
            Route(PICTURE_PATH, picture, methods=["POST"]),
            Route(TEXT_PATH, text, methods=["POST"]),
        ]

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._running >= _AT_ONCE:
            raise Overloaded("others try something at this moment", _RETRY_SECONDS)
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    async def _page(self, links: Links, **found: Any) -> Response:
        models, scored = await asyncio.gather(self._models(), self._language_models())
        page = render(
            "try.html",
            links,
            alone=False,
            models=models,
            language_models=scored,
            max_text=MAX_TEXT_BYTES,
            **({"seen": None, "result": None, "text": ""} | found),
        )
        headers = {"content-security-policy": SERVED_POLICY, "cache-control": "no-store"}
        return HTMLResponse(page, headers=headers)

    async def _models(self) -> list[str]:
        """Names of the models that may show something; none where segment does not answer."""
        try:
            async with _told("segment"):
                reply = await self._segment.ListModels(
                    segment_pb2.ListModelsRequest(), wait_for_ready=False, **outgoing(_SECONDS)
                )
        except AssayError:
            return []
        random = common_pb2.WEIGHTS_KIND_RANDOM
        return [one.ref.name for one in reply.models if one.weights != random]

    async def _language_models(self) -> list[str]:
        try:
            async with _told("corpus"):
                reply = await self._scoring.ListLanguageModels(
                    scoring_pb2.ListLanguageModelsRequest(),
                    wait_for_ready=False,
                    **outgoing(_SECONDS),
                )
        except AssayError:
            return []
        return [one.ref.name for one in reply.models]

    async def _picture(self, request: Request) -> dict[str, Any]:
        form = await _form(request)
        sent = form.get("picture")
        if not isinstance(sent, UploadFile):
            raise InvalidArgument("picture", "choose a file")
        content = await sent.read()
        if not content:
            raise InvalidArgument("picture", "is empty; choose a file")
        async with _told("segment"):
            seen = await pictures.look(
                self._segment,
                _named("model", form),
                content,
                sent.filename or "your picture",
                {"wait_for_ready": False, **outgoing(_SECONDS)},
                kind=_kind(content),
            )
        return {"seen": seen}

    async def _text(self, request: Request) -> dict[str, Any]:
        form = await _form(request)
        text = str(form.get("text") or "").replace("\r\n", "\n")
        content = text.encode("utf-8", "replace")
        if not content:
            raise InvalidArgument("text", "is empty; paste one")
        if len(content) > MAX_TEXT_BYTES:
            raise InvalidArgument(
                "text", f"has {len(content):,} bytes; at most {MAX_TEXT_BYTES:,} are scored here"
            )
        async with _told("corpus"):
            reply = await self._scoring.ScoreTexts(
                scoring_pb2.ScoreTextsRequest(
                    texts=[scoring_pb2.ScoredText(text=content)],
                    model=common_pb2.ModelRef(name=_named("model", form)),
                    token_likelihoods=True,
                ),
                wait_for_ready=False,
                **outgoing(_SECONDS),
            )
        (found,) = reply.texts
        figure = found.score
        return {
            "text": text,
            "result": {
                "model": reply.result.model.name,
                "figure": f"{figure.bits_per_byte:.3f} bits per byte"
                if figure.HasField("bits_per_byte")
                else "nothing could be scored",
                "tokens": figure.tokens,
                "bytes": figure.text_bytes,
                "parts": shaded(content, found.token_starts, found.token_nats),
            },
        }


def shaded(content: bytes, starts: Any, nats: Any) -> list[Shaded]:
    """A text cut at its tokens, each with the bits that its bytes cost.

    Tokens that share a character, or begin inside one, are shown as one part.
    """
    parts: list[Shaded] = []
    cuts = [_whole(content, int(start)) for start in starts]
    begin, bits = (cuts[0], 0.0) if cuts else (len(content), 0.0)
    if begin:
        parts.append(Shaded(content[:begin].decode("utf-8", "replace"), "", "not scored"))
    for at, cost in enumerate(nats):
        bits += cost / math.log(2)
        end = cuts[at + 1] if at + 1 < len(cuts) else len(content)
        if end <= begin:
            continue
        each = bits / (end - begin)
        shade = sum(each >= one for one in _SHADES)
        text = content[begin:end].decode("utf-8", "replace")
        parts.append(Shaded(text, f"b{shade}", f"{bits:.2f} bits, {each:.2f} a byte"))
        begin, bits = end, 0.0
    return parts


def _whole(content: bytes, at: int) -> int:
    """The first byte of the character that a byte is of."""
    at = min(at, len(content))
    while 0 < at < len(content) and content[at] & 0xC0 == 0x80:
        at -= 1
    return at


async def _form(request: Request) -> FormData:
    """The form's fields; the port has bounded what it may hold."""
    kind = request.headers.get("content-type", "")
    if not kind.startswith(("multipart/form-data", "application/x-www-form-urlencoded")):
        raise InvalidArgument("content-type", "send a form")
    try:
        if kind.startswith("multipart/"):
            parser = MultiPartParser(request.headers, request.stream(), max_files=1, max_fields=8)
            return await parser.parse()
        return await request.form(max_files=0, max_fields=8)
    except MultiPartException as error:
        raise InvalidArgument("form", f"cannot be read: {error.message}") from error


def _named(field: str, form: FormData) -> str:
    name = form.get(field)
    if not isinstance(name, str) or not name:
        raise InvalidArgument(field, "choose a model")
    return name


def _kind(content: bytes) -> str:
    """The media type of a picture that browsers show; what they do not know they leave out."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _KINDS.items() if content.startswith(start)), "image/bmp")


@asynccontextmanager
async def _told(peer: str) -> AsyncIterator[None]:
    """Turn a failed call into an error that the reader can do something about."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        code, details = error.code(), error.details() or "it gave no reason"
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            field, _, problem = details.partition(": ")
            raise InvalidArgument(field, problem or details) from error
        if code is grpc.StatusCode.NOT_FOUND:
            raise NotFound("model", "that name", None, hint=details) from error
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise Overloaded(f"{peer} is busy: {details}", _RETRY_SECONDS) from error
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise DeadlineExceeded(f"{peer} took longer than {_SECONDS:.0f} s") from error
        raise Unavailable(f"{peer} does not answer: {details}") from error
