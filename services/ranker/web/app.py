"""The pages over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from assay_rpc.ranker.v1 import verification_pb2
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route, Router

from services.errors import (
    AssayError,
    Forbidden,
    InvalidArgument,
    NotFound,
    Overloaded,
    Unauthenticated,
)
from services.ranker.web import events, rpcs
from services.ranker.web.links import Served
from services.ranker.web.pages import Pages, Running
from services.ranker.web.pictures import ServedPictures
from services.ranker.web.reads import Reads, of_servicer
from services.ranker.web.rendering import SCRIPT, SERVED_POLICY, STYLE, asset, render
from services.ranker.web.trying import TEXT_PATH, Trying
from services.ranker.web.values import enum_name
from services.ranker.web.views import claims
from services.ranker.words import words

_RANKER = "/assay.ranker.v1.RankerService/"
_WATCH = "/assay.ranker.v1.VerificationService/WatchJob"
_METHODS = {
    "": _RANKER + "ListRanks",
    "artifacts": _RANKER + "GetArtifact",
    "pages": _RANKER + "ListVerdicts",
    "comparisons": _RANKER + "Compare",
    "claims": _RANKER + "ListEvidence",
    "evidence": _RANKER + "GetEvidence",
    "methodology": _RANKER + "GetMethodology",
    "search": _RANKER + "SearchCapabilities",
    "verifications": _WATCH,
    "try": "/assay.segment.v1.SegmentService/SegmentImage",
}
"""By the first part of a page's path: the rpc whose role it requires."""

_SCORE_TEXTS = "/assay.corpus.v1.ScoringService/ScoreTexts"
_STATIC = {STYLE: "text/css; charset=utf-8", SCRIPT: "text/javascript; charset=utf-8"}
_HEADERS = {"content-security-policy": SERVED_POLICY, "cache-control": "no-cache"}
_HEADINGS: dict[type[AssayError], str] = {
    NotFound: "Not found",
    Unauthenticated: "A token is needed",
    Forbidden: "You may not see this",
}
_MAX_JOBS = 1000
_MAX_WATCHERS = 256
_RETRY_SECONDS = 30.0


class RankerPages:
    """What the ranker's HTTP port serves. A `services.rpc.serving.http_request.WebApp`."""

    def __init__(
        self,
        ranker: Any,
        verification: Any,
        pictures: ServedPictures,
        trying: Trying | None,
        max_request_bytes: int,
    ) -> None:
        """`ranker` and `verification` are servicers; `trying` is absent where it is off."""
        self._pictures = pictures
        self._verification = verification
        self._links = Served(trying=trying is not None)
        self._pages = Pages(Reads(of_servicer(ranker)), self._links, alone=False)
        self._closing = asyncio.Event()
        self._watchers = 0
        pages = self._pages
        routes: list[BaseRoute] = [
            Route("/", self._index),
            Route("/artifacts/{name}", self._artifact),
            Route("/pages/{name}", self._page),
            Route("/comparisons", self._chosen),
            Route("/comparisons/{left}/{right}", self._comparison),
            Route("/claims/{reference:path}", _page_of(pages.claim, "reference")),
            Route("/evidence/{digest}", _page_of(pages.evidence, "digest")),
            Route("/methodology", self._methodology),
            Route("/search", self._search),
            Route("/search/found", self._found),
            Route("/verifications", self._jobs),
            Route("/verifications/{job}", self._job),
            Route("/verifications/{job}/events", self._events),
            Route("/static/{name}", _static),
            *rpcs.rpcs((ranker, verification), max_request_bytes),
            *(trying.routes(self._links) if trying is not None else ()),
        ]
        self._router = Router(routes, redirect_slashes=False, default=_nothing)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        await self._router(scope, receive, send)

    def method_of(self, path: str) -> str | None:
        """See `services.rpc.serving.http_request.WebApp`."""
        if path.startswith(rpcs.PREFIX):
            return path if path in rpcs.METHODS else None
        if path == TEXT_PATH:
            return _SCORE_TEXTS
        return _METHODS.get(path.removeprefix("/").partition("/")[0])

    def refused(self, path: str, error: AssayError, request_id: str) -> tuple[str, bytes]:
        """See `services.rpc.serving.http_request.WebApp`."""
        if path.startswith(rpcs.PREFIX):
            return rpcs.refusal(error, request_id)
        page = render(
            "error.html",
            self._links,
            alone=False,
            heading=_HEADINGS.get(type(error), "This did not work"),
            message=str(error),
            request_id=request_id,
        )
        return "text/html; charset=utf-8", page.encode()

    def drain(self) -> None:
        """See `services.rpc.serving.http_request.WebApp`."""
        self._closing.set()

    async def _index(self, request: Request) -> Response:  # noqa: ARG002  Starlette passes it
        return _html(await self._pages.index(await self._running()))

    async def _artifact(self, request: Request) -> Response:
        name = request.path_params["name"]
        return _html(await self._pages.artifact(name, await self._running(name)))

    async def _page(self, request: Request) -> Response:
        name = request.path_params["name"]
        return _html(await self._pages.page(name, await self._running(name)))

    async def _chosen(self, request: Request) -> Response:
        """What the form without JavaScript contains."""
        left, right = (request.query_params.get(side, "") for side in ("left", "right"))
        if not left or not right:
            raise InvalidArgument("left, right", "name both artifacts")
        return RedirectResponse(self._links.comparison(left, right), 303)

    async def _comparison(self, request: Request) -> Response:
        left, right = request.path_params["left"], request.path_params["right"]
        running = await self._running(left, right)
        seen = await self._pictures.of((left, right))
        return _html(await self._pages.comparison(left, right, running, seen))

    async def _methodology(self, request: Request) -> Response:  # noqa: ARG002
        return _html(await self._pages.methodology())

    async def _search(self, request: Request) -> Response:
        return _html(await self._pages.search(request.query_params.get("intent", "")))

    async def _found(self, request: Request) -> Response:
        return _html(await self._pages.found(request.query_params.get("intent", "")))

    async def _jobs(self, request: Request) -> Response:  # noqa: ARG002
        return _html(self._pages.verifications([self._shown(one) for one in await self._all()]))

    async def _job(self, request: Request) -> Response:
        job = await self._get(request.path_params["job"])
        running = [] if events.over(job) else [self._as_running(job)]
        shown = self._shown(job) | {"claims": await self._verdicts(job)}
        return _html(self._pages.verification(shown, running))

    async def _events(self, request: Request) -> Response:
        job = await self._get(request.path_params["job"])
        last = request.headers.get("last-event-id") or request.query_params.get("after", "0")
        told = last.isascii() and last.isdigit() and len(last) < 10
        after = min(int(last), job.done) if told else 0
        if self._watchers >= _MAX_WATCHERS:
            raise Overloaded(f"{self._watchers} pages follow verifications", _RETRY_SECONDS)
        return StreamingResponse(
            self._followed(job.id, after),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    async def _followed(self, job: str, after: int) -> AsyncIterator[str]:
        """A job's events, counted while they last: each holds a connection."""
        updates = self._verification.WatchJob(
            verification_pb2.WatchJobRequest(job=job, after=after), None
        )
        self._watchers += 1
        try:
            told = events.events(updates, self._links, self._closing, after)
            async with aclosing(told):
                async for one in told:
                    yield one
        finally:
            self._watchers -= 1

    async def _get(self, name: str) -> verification_pb2.Job:
        reply = await self._verification.GetJob(verification_pb2.GetJobRequest(job=name), None)
        found: verification_pb2.Job = reply.job
        return found

    async def _all(self) -> list[verification_pb2.Job]:
        request = verification_pb2.ListJobsRequest(page_size=_MAX_JOBS)
        return list((await self._verification.ListJobs(request, None)).jobs)

    async def _running(self, *names: str) -> list[Running]:
        """The verifications of these, or of any, that have not ended."""
        return [
            self._as_running(one)
            for one in await self._all()
            if not events.over(one) and (not names or one.artifact in names)
        ]

    def _as_running(self, job: verification_pb2.Job) -> Running:
        address = self._links.job(job.id)
        return Running(
            job.artifact, address, f"{address}/events?after={job.done}", events.progress(job)
        )

    async def _verdicts(self, job: verification_pb2.Job) -> list[claims.ClaimView]:
        """What a job has decided so far."""
        decided: list[claims.ClaimView] = []
        if not job.done:
            return decided
        updates = self._verification.WatchJob(verification_pb2.WatchJobRequest(job=job.id), None)
        try:
            async for update in updates:
                if update.HasField("result"):
                    decided.append(claims.view(update.result, self._links))
                if len(decided) == job.done:
                    break
        finally:
            await updates.aclose()
        return decided

    def _shown(self, job: verification_pb2.Job) -> dict[str, Any]:
        return {
            "artifact": job.artifact,
            "artifact_address": self._links.artifact(job.artifact),
            "address": self._links.job(job.id),
            "state": words(enum_name(job, "state")),
            "done": job.done,
            "total": len(job.plan.claims),
            "day": events.day(job),
            "error": job.error.message if job.HasField("error") else "",
        }


def _page_of(
    make: Callable[[str], Awaitable[str]], parameter: str
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return _html(await make(request.path_params[parameter]))

    return endpoint


def _html(page: str) -> Response:
    return HTMLResponse(page, headers=_HEADERS)


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _STATIC:
        raise NotFound("static file", name, _STATIC)
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(str(asset(name)), media_type=_STATIC[name], headers=headers)


async def _nothing(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001  as ASGI says
    raise NotFound("page", scope["path"], None)
