"""Every page as HTML, for a server and for a folder of files alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from assay_rpc.ranker.v1 import search_pb2

from services.errors import NotFound
from services.ranker.web.links import Links
from services.ranker.web.reads import Reads
from services.ranker.web.rendering import fragment, render
from services.ranker.web.values import enum_name
from services.ranker.web.verdicts import KINDS
from services.ranker.web.views import boards, claims, comparison, scores
from services.ranker.web.views.charts import drawings
from services.ranker.words import words


@dataclass(frozen=True)
class Running:
    """A verification that has not ended: its page, and where its events are."""

    artifact: str
    address: str
    events: str
    progress: str


class Pages:
    """Makes pages with the addresses that `links` gives."""

    def __init__(self, reads: Reads, links: Links, *, alone: bool) -> None:
        """`alone`: each page is a file that holds its style."""
        self._reads = reads
        self._links = links
        self._alone = alone

    def _render(self, template: str, **context: Any) -> str:
        return render(template, self._links, alone=self._alone, **context)

    async def index(self, running: Sequence[Running] = ()) -> str:
        """The leaderboards of every type, and the pages that compare two artifacts."""
        found = [boards.board(await self._reads.ranks(kind), self._links) for kind in boards.TYPES]
        return self._render(
            "index.html",
            boards=[one for one in found if one is not None],
            running=running,
            artifacts=[one.id for one in await self._reads.artifacts()],
        )

    async def artifact(self, name: str, running: Sequence[Running] = ()) -> str:
        """An artifact: counts, what is refuted, its score and what it rests on, every claim."""
        artifact = await self._reads.artifact(name)
        owner = await self._reads.owner(name)
        rank = await self._reads.rank(name)
        explained = await self._reads.explanation(name)
        digests = frozenset(one.digest for one in explained.evidence)
        shown = claims.views(owner.claims, self._links)
        return self._render(
            "artifact.html",
            side=comparison.side(artifact, self._links),
            description=artifact.description,
            tally=claims.tally(name, "", owner.claims),
            refuted=[one for one in shown if one.kind == KINDS["REFUTED"]],
            groups=claims.by_verdict(shown),
            contradictions=claims.contradictions(owner.claims, self._links),
            drawings=drawings(owner.claims, "left"),
            place=boards.place(rank),
            ties=[(one, self._links.artifact(one)) for one in rank.not_separable_from],
            profile=words(rank.profile),
            score=scores.score(rank.score, "left"),
            published=scores.published(artifact, "left"),
            contributions=[
                scores.contribution(one, self._links, digests) for one in explained.contributions
            ],
            methodology=explained.methodology,
            as_of=rank.score.as_of,
            hardware=rank.hardware,
            running=running,
        )

    async def page(self, name: str, running: Sequence[Running] = ()) -> str:
        """A registered page: what it claims of its own comparison."""
        owner = await self._reads.owner(name)
        shown = claims.views(owner.claims, self._links)
        return self._render(
            "page.html",
            owner=owner,
            comparison=self._links.comparison(*owner.compares[:2])
            if len(owner.compares) > 1
            else "",
            tally=claims.tally(name, "", owner.claims),
            refuted=[one for one in shown if one.kind == KINDS["REFUTED"]],
            groups=claims.by_verdict(shown),
            running=running,
        )

    async def comparison(
        self, left: str, right: str, running: Sequence[Running] = (), seen: Any = None
    ) -> str:
        """Two artifacts side by side."""
        reply = await self._reads.compare(left, right)
        return self._render(
            "comparison.html",
            view=comparison.view(reply, self._links),
            seen=seen,
            running=running,
        )

    async def claim(self, reference: str) -> str:
        """A claim with its verdict and all evidence on it."""
        name, _, identifier = reference.partition("/")
        owner = await self._reads.owner(name)
        verdict = next((one for one in owner.claims if one.claim.id == identifier), None)
        if verdict is None:
            raise NotFound(f"claim of {name}", identifier, [one.claim.id for one in owner.claims])
        evidence = await self._reads.evidence_of(reference)
        return self._render(
            "claim.html",
            claim=claims.view(verdict, self._links),
            owner=owner,
            owner_address=self._links.page(name) if owner.compares else self._links.artifact(name),
            evidence=[claims.piece(one, self._links) for one in evidence],
        )

    async def evidence(self, digest: str) -> str:
        """A piece of evidence, and the bytes that its digest is of."""
        found = await self._reads.evidence(digest)
        return self._render(
            "evidence.html",
            piece=claims.piece(found, self._links),
            claim=found.claim,
            claim_address=self._links.claim(found.claim),
            content=found.content.decode("utf-8", "replace"),
        )

    async def methodology(self) -> str:
        """The file that scores are computed by."""
        reply = await self._reads.methodology()
        return self._render(
            "methodology.html",
            methodology=reply.methodology,
            content=reply.content.decode("utf-8", "replace"),
        )

    async def search(self, intent: str) -> str:
        """What serves an intent, with the form to ask for another."""
        return self._render("search.html", intent=intent, **await self._found(intent))

    async def found(self, intent: str) -> str:
        """What serves an intent, as a part of a page."""
        return fragment("found.html", self._links, intent=intent, **await self._found(intent))

    async def _found(self, intent: str) -> dict[str, Any]:
        wanted = intent.strip()
        if not wanted:
            return {"matches": [], "asked": False}
        reply = await self._reads.search(wanted)
        return {"matches": [_match(one, self._links) for one in reply.matches], "asked": True}

    def verifications(self, jobs: Sequence[Any]) -> str:
        """The verifications that are known, the newest first."""
        return self._render("jobs.html", jobs=jobs)

    def verification(self, job: Any, running: Sequence[Running]) -> str:
        """A verification: its verdicts appear as they are decided."""
        return self._render("job.html", job=job, running=running)


def _match(match: search_pb2.CapabilityMatch, links: Links) -> dict[str, Any]:
    return {
        "name": match.name,
        "share": f"{match.confidence * 100:.0f} %",
        "terms": [one.term for one in match.terms],
        "providers": [
            {
                "id": one.artifact,
                "address": links.artifact(one.artifact),
                "type": words(enum_name(one, "type")),
                "description": one.capability.description,
            }
            for one in match.providers
        ],
    }
