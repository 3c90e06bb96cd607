"""Artifacts, claims, scores and comparisons: `RankerClient`.

    from assay_rpc.client import RankerClient

    with RankerClient("localhost:50053") as ranker:
        for verdict in ranker.verify("the-pile"):
            print(verdict.claim.id, verdict.reason)
        print(ranker.compare("segformer-b0", "the-pile").summary)

`as_of` is a day, YYYY-MM-DD in UTC; empty means today. Every call raises AssayError.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Unpack

import grpc

from assay_rpc._clients import PATIENCE_SECONDS, Client
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


class RankerClient(Client):
    """Reads artifacts, evidence, scores and comparisons, and verifies claims."""

    def __init__(
        self, target: str | Connection | grpc.Channel, *, timeout: float | None = None
    ) -> None:
        super().__init__(target, timeout=timeout)
        self._stub = ranker_pb2_grpc.RankerServiceStub(self._channel)
        self._jobs = verification_pb2_grpc.VerificationServiceStub(self._channel)

    def artifacts(self) -> Iterator[artifact_pb2.ArtifactSummary]:
        """Iterate the registered artifacts, by id."""
        request = artifact_pb2.ListArtifactsRequest()
        return self._pages(self._stub.ListArtifacts, request, "artifacts")

    def artifact(self, artifact: str, *, version: int = 0) -> artifact_pb2.Artifact:
        """Return an artifact with its capabilities and claims; version 0 is the current one."""
        request = artifact_pb2.GetArtifactRequest(artifact=artifact, version=version)
        reply: artifact_pb2.GetArtifactResponse = self._call(self._stub.GetArtifact, request)
        return reply.artifact

    def compare(
        self,
        left: str,
        right: str,
        *,
        as_of: str = "",
        hardware: str = "",
        pages: Sequence[str] = (),
    ) -> compare_pb2.CompareResponse:
        """Compare two artifacts from stored evidence."""
        request = compare_pb2.CompareRequest(
            left=left, right=right, as_of=as_of, hardware=hardware, pages=pages
        )
        reply: compare_pb2.CompareResponse = self._call(self._stub.Compare, request)
        return reply

    def verdicts(self, owner: str) -> Iterator[evidence_pb2.ClaimVerdict]:
        """Iterate the claims of an artifact's card or a page, with their verdicts, by id."""
        request = evidence_pb2.ListVerdictsRequest(owner=owner)
        return self._pages(self._stub.ListVerdicts, request, "claims")

    def methodology(self, version: str = "") -> score_pb2.GetMethodologyResponse:
        """Return the methodology's file and its digest; an empty version is the current one."""
        request = score_pb2.GetMethodologyRequest(version=version)
        reply: score_pb2.GetMethodologyResponse = self._call(self._stub.GetMethodology, request)
        return reply

    def rank(
        self, artifact: str, *, as_of: str = "", hardware: str = "", profile: str = ""
    ) -> rank_pb2.Rank:
        """Return an artifact's score in a profile, and its place among those of its type."""
        request = rank_pb2.GetRankRequest(
            artifact=artifact, as_of=as_of, hardware=hardware, profile=profile
        )
        reply: rank_pb2.GetRankResponse = self._call(self._stub.GetRank, request)
        return reply.rank

    def explain(
        self, artifact: str, *, as_of: str = "", hardware: str = "", profile: str = ""
    ) -> rank_pb2.ExplainRankResponse:
        """Trace an artifact's score to the evidence that it comes from."""
        request = rank_pb2.ExplainRankRequest(
            artifact=artifact, as_of=as_of, hardware=hardware, profile=profile
        )
        reply: rank_pb2.ExplainRankResponse = self._call(self._stub.ExplainRank, request)
        return reply

    def ranks(self, **options: Unpack[RanksOptions]) -> Iterator[rank_pb2.Rank]:
        """Iterate the ranks of a `type`, of those that serve an `intent`, or of `artifacts`.

        By type, profile and place; without a `profile`, all of them. Raises ValueError unless one
        of the three is given.
        """
        return self._pages(self._stub.ListRanks, ranks_request(**options), "ranks")

    def profiles(self, **options: Unpack[RanksOptions]) -> list[rank_pb2.RankedProfile]:
        """Return the profiles of the lists in `ranks`, and the level of the places in each."""
        found: dict[tuple[int, str], rank_pb2.RankedProfile] = {}
        request = ranks_request(**options)
        for one in self._pages(self._stub.ListRanks, request, "profiles"):
            found.setdefault((one.type, one.profile), one)
        return list(found.values())

    def search(
        self,
        intent: str,
        *,
        type: TypeName | None = None,  # noqa: A002  # the contract's name
        limit: int = 0,
    ) -> list[search_pb2.CapabilityMatch]:
        """Find the capabilities that serve an intent, the best match first."""
        request = search_request(intent, type, limit)
        return list(self._call(self._stub.SearchCapabilities, request).matches)

    def evidence(self, digest: str) -> evidence_pb2.Evidence:
        """Return a piece of evidence by its digest."""
        request = evidence_pb2.GetEvidenceRequest(digest=digest)
        reply: evidence_pb2.GetEvidenceResponse = self._call(self._stub.GetEvidence, request)
        return reply.evidence

    def evidence_of(self, claim: str) -> Iterator[evidence_pb2.Evidence]:
        """Iterate the evidence about a claim, "OWNER/ID", the newest first."""
        request = evidence_pb2.ListEvidenceRequest(claim=claim)
        return self._pages(self._stub.ListEvidence, request, "evidence")

    def submit(
        self,
        artifact: str,
        *,
        claims: Sequence[str] = (),
        effort: Effort = "quick",
        request_id: str | None = None,
    ) -> verification_pb2.Job:
        """Queue a verification of an artifact's claims, all or those named as "OWNER/ID".

        The same `request_id` gives the same job; the default is a random one.
        """
        request = submit_request(artifact, claims, effort, request_id)
        reply: verification_pb2.SubmitVerificationResponse = self._call(
            self._jobs.SubmitVerification, request
        )
        return reply.job

    def job(self, job: str) -> verification_pb2.Job:
        """Return the current state of a job."""
        reply: verification_pb2.GetJobResponse = self._call(
            self._jobs.GetJob, verification_pb2.GetJobRequest(job=job)
        )
        return reply.job

    def jobs(self) -> Iterator[verification_pb2.Job]:
        """Iterate the jobs, the newest first."""
        return self._pages(self._jobs.ListJobs, verification_pb2.ListJobsRequest(), "jobs")

    def cancel(self, job: str) -> verification_pb2.Job:
        """Cancel a job; returns once it has ended."""
        reply: verification_pb2.CancelJobResponse = self._call(
            self._jobs.CancelJob, verification_pb2.CancelJobRequest(job=job)
        )
        return reply.job

    def watch(
        self, job: str, *, progress: OnJob | None = None
    ) -> Iterator[evidence_pb2.ClaimVerdict]:
        """Iterate a job's verdicts as they are decided, until it ends.

        `progress` is called with the Job after each change. A restart of the server costs time.
        Raises AssayError if the job failed or was cancelled.
        """
        patience, had = Patience(PATIENCE_SECONDS), 0
        while True:
            request = verification_pb2.WatchJobRequest(job=job, after=had)
            call = self._jobs.WatchJob(request, timeout=self._timeout)
            try:
                for message in call:
                    patience.progress()
                    kind = message.WhichOneof("update")
                    if kind == "result":
                        had += 1
                        yield message.result
                    elif kind == "progress":
                        told(message.progress, progress)
            except grpc.RpcError as error:
                time.sleep(patience.wait(AssayError.of(error)))
            else:
                return
            finally:
                call.cancel()

    def verify(
        self,
        artifact: str,
        *,
        claims: Sequence[str] = (),
        effort: Effort = "quick",
        progress: OnJob | None = None,
    ) -> Iterator[evidence_pb2.ClaimVerdict]:
        """Submit a verification and watch it; the job is cancelled if iterating stops early."""
        job = self.submit(artifact, claims=claims, effort=effort).id
        ended = False
        try:
            yield from self.watch(job, progress=progress)
            ended = True
        finally:
            if not ended:
                with contextlib.suppress(AssayError):
                    self.cancel(job)
