"""The rpcs of RankerService that give stored evidence."""

from __future__ import annotations

import re

from assay_rpc.ranker.v1 import evidence_pb2

from services.errors import InvalidArgument
from services.ranker.api import evidence_messages, requests
from services.ranker.claims.model import Page
from services.ranker.claims.registry import Registry
from services.ranker.comparing.records import Records
from services.rpc.pagination import page

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class EvidenceReplies:
    """Gives evidence by its digest and by claim, and verdicts by who states the claims."""

    def __init__(self, registry: Registry, records: Records) -> None:
        self._registry = registry
        self._records = records

    async def get_evidence(
        self, request: evidence_pb2.GetEvidenceRequest
    ) -> evidence_pb2.GetEvidenceResponse:
        """See `ranker.proto`."""
        if not _DIGEST.fullmatch(request.digest):
            raise InvalidArgument("digest", f"{request.digest!r:.100} is not sha256:<hex>")
        found, owner = await self._records.evidence(request.digest)
        return evidence_pb2.GetEvidenceResponse(evidence=evidence_messages.evidence(found, owner))

    async def list_evidence(
        self, request: evidence_pb2.ListEvidenceRequest
    ) -> evidence_pb2.ListEvidenceResponse:
        """See `ranker.proto`."""
        owner, _ = requests.parse_claim("claim", request.claim)
        evidence = await self._records.about(self._registry.claim(request.claim))
        # The key puts the newest first, even if evidence is added between two pages.
        shown, token = page(
            evidence,
            request.page_size,
            request.page_token,
            lambda one: (f"{1e12 - one.time.timestamp():020.6f}", one.digest),
        )
        return evidence_pb2.ListEvidenceResponse(
            evidence=[evidence_messages.evidence(one, owner) for one in shown],
            next_page_token=token,
        )

    async def list_verdicts(
        self, request: evidence_pb2.ListVerdictsRequest
    ) -> evidence_pb2.ListVerdictsResponse:
        """See `ranker.proto`."""
        owner = self._registry.subject(requests.required("owner", request.owner))
        if isinstance(owner, Page):
            _, (judged,) = await self._records.with_pages((), (owner,))
            verdicts, compares = judged.claims, owner.compares
        else:
            (record,) = await self._records.of((owner,))
            verdicts, compares = record.verdicts, ()
        shown, token = page(
            verdicts, request.page_size, request.page_token, lambda one: one.claim.id
        )
        return evidence_pb2.ListVerdictsResponse(
            claims=[evidence_messages.claim_verdict(one) for one in shown],
            next_page_token=token,
            name=owner.name,
            compares=compares,
        )
