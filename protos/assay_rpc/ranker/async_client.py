"""`AsyncRankerClient`: as assay_rpc.ranker.client, for programs with asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Unpack

import grpc
import grpc.aio

from assay_rpc._clients import PATIENCE_SECONDS, AsyncClient
from assay_rpc._patience import Patience
from assay_rpc.connection import Connection
from assay_rpc.errors import AssayError
from assay_rpc.ranker._requests import (
    Effort,
    OnJob,
    RanksOptions,
    TypeName,
    ranks_request,
    search_request,
    submit_request,
    told,
)
from assay_rpc.ranker.v1 import (
    artifact_pb2,
    compare_pb2,
    evidence_pb2,
    rank_pb2,
    ranker_pb2_grpc,
    score_pb2,
    search_pb2,
    verification_pb2,
    verification_pb2_grpc,
)


class AsyncRankerClient(AsyncClient):
    """As RankerClient, for programs with asyncio."""

    def __init__(
        self, target: str | Connection | grpc.aio.Channel, *, timeout: float | None = None
    ) -> None:
        super().__init__(target, timeout=timeout)
        self._stub = ranker_pb2_grpc.RankerServiceStub(self._channel)
        self._jobs = verification_pb2_grpc.VerificationServiceStub(self._channel)

    def artifacts(self) -> AsyncIterator[artifact_pb2.ArtifactSummary]:
        """As RankerClient.artifacts."""
        request = artifact_pb2.ListArtifactsRequest()
        return self._pages(self._stub.ListArtifacts, request, "artifacts")

    async def artifact(self, artifact: str, *, version: int = 0) -> artifact_pb2.Artifact:
        """As RankerClient.artifact."""
        request = artifact_pb2.GetArtifactRequest(artifact=artifact, version=version)
        reply: artifact_pb2.GetArtifactResponse = await self._call(self._stub.GetArtifact, request)
        return reply.artifact

    async def compare(
        self,
        left: str,
        right: str,
        *,
        as_of: str = "",
        hardware: str = "",
        pages: Sequence[str] = (),
    ) -> compare_pb2.CompareResponse:
        """As RankerClient.compare."""
        request = compare_pb2.CompareRequest(
            left=left, right=right, as_of=as_of, hardware=hardware, pages=pages
        )
        reply: compare_pb2.CompareResponse = await self._call(self._stub.Compare, request)
        return reply

    def verdicts(self, owner: str) -> AsyncIterator[evidence_pb2.ClaimVerdict]:
        """As RankerClient.verdicts."""
        request = evidence_pb2.ListVerdictsRequest(owner=owner)
        return self._pages(self._stub.ListVerdicts, request, "claims")

    async def methodology(self, version: str = "") -> score_pb2.GetMethodologyResponse:
        """As RankerClient.methodology."""
        request = score_pb2.GetMethodologyRequest(version=version)
        reply: score_pb2.GetMethodologyResponse = await self._call(
            self._stub.GetMethodology, request
        )
        return reply

    async def rank(
        self, artifact: str, *, as_of: str = "", hardware: str = "", profile: str = ""
    ) -> rank_pb2.Rank:
        """As RankerClient.rank."""
        request = rank_pb2.GetRankRequest(
            artifact=artifact, as_of=as_of, hardware=hardware, profile=profile
        )
        reply: rank_pb2.GetRankResponse = await self._call(self._stub.GetRank, request)
        return reply.rank

    async def explain(
        self, artifact: str, *, as_of: str = "", hardware: str = "", profile: str = ""
    ) -> rank_pb2.ExplainRankResponse:
        """As RankerClient.explain."""
        request = rank_pb2.ExplainRankRequest(
            artifact=artifact, as_of=as_of, hardware=hardware, profile=profile
        )
        reply: rank_pb2.ExplainRankResponse = await self._call(self._stub.ExplainRank, request)
        return reply

    def ranks(self, **options: Unpack[RanksOptions]) -> AsyncIterator[rank_pb2.Rank]:
        """As RankerClient.ranks."""
        return self._pages(self._stub.ListRanks, ranks_request(**options), "ranks")

    async def profiles(self, **options: Unpack[RanksOptions]) -> list[rank_pb2.RankedProfile]:
        """As RankerClient.profiles."""
        found: dict[tuple[int, str], rank_pb2.RankedProfile] = {}
        request = ranks_request(**options)
        async for one in self._pages(self._stub.ListRanks, request, "profiles"):
            found.setdefault((one.type, one.profile), one)
        return list(found.values())

    async def search(
        self,
        intent: str,
        *,
        type: TypeName | None = None,  # noqa: A002  # the contract's name
        limit: int = 0,
    ) -> list[search_pb2.CapabilityMatch]:
        """As RankerClient.search."""
        request = search_request(intent, type, limit)
        return list((await self._call(self._stub.SearchCapabilities, request)).matches)

    async def evidence(self, digest: str) -> evidence_pb2.Evidence:
        """As RankerClient.evidence."""
        request = evidence_pb2.GetEvidenceRequest(digest=digest)
        reply: evidence_pb2.GetEvidenceResponse = await self._call(self._stub.GetEvidence, request)
        return reply.evidence

    def evidence_of(self, claim: str) -> AsyncIterator[evidence_pb2.Evidence]:
        """As RankerClient.evidence_of."""
        request = evidence_pb2.ListEvidenceRequest(claim=claim)
        return self._pages(self._stub.ListEvidence, request, "evidence")

    async def submit(
        self,
        artifact: str,
        *,
        claims: Sequence[str] = (),
        effort: Effort = "quick",
        request_id: str | None = None,
    ) -> verification_pb2.Job:
        """As RankerClient.submit."""
        request = submit_request(artifact, claims, effort, request_id)
        reply: verification_pb2.SubmitVerificationResponse = await self._call(
            self._jobs.SubmitVerification, request
        )
        return reply.job

    async def job(self, job: str) -> verification_pb2.Job:
        """As RankerClient.job."""
        reply: verification_pb2.GetJobResponse = await self._call(
            self._jobs.GetJob, verification_pb2.GetJobRequest(job=job)
        )
        return reply.job

    def jobs(self) -> AsyncIterator[verification_pb2.Job]:
        """As RankerClient.jobs."""
        return self._pages(self._jobs.ListJobs, verification_pb2.ListJobsRequest(), "jobs")

    async def cancel(self, job: str) -> verification_pb2.Job:
        """As RankerClient.cancel."""
        reply: verification_pb2.CancelJobResponse = await self._call(
            self._jobs.CancelJob, verification_pb2.CancelJobRequest(job=job)
        )
        return reply.job

    async def watch(
        self, job: str, *, progress: OnJob | None = None
    ) -> AsyncIterator[evidence_pb2.ClaimVerdict]:
        """As RankerClient.watch."""
        patience, had = Patience(PATIENCE_SECONDS), 0
        while True:
            request = verification_pb2.WatchJobRequest(job=job, after=had)
            call = self._jobs.WatchJob(request, timeout=self._timeout)
            try:
                async for message in call:
                    patience.progress()
                    kind = message.WhichOneof("update")
                    if kind == "result":
                        had += 1
                        yield message.result
                    elif kind == "progress":
                        told(message.progress, progress)
            except grpc.RpcError as error:
                await asyncio.sleep(patience.wait(AssayError.of(error)))
            else:
                return
            finally:
                call.cancel()

    async def verify(
        self,
        artifact: str,
        *,
        claims: Sequence[str] = (),
        effort: Effort = "quick",
        progress: OnJob | None = None,
    ) -> AsyncIterator[evidence_pb2.ClaimVerdict]:
        """As RankerClient.verify."""
        job = (await self.submit(artifact, claims=claims, effort=effort)).id
        ended = False
        try:
            async for verdict in self.watch(job, progress=progress):
                yield verdict
            ended = True
        finally:
            if not ended:
                with contextlib.suppress(AssayError):
                    await self.cancel(job)
