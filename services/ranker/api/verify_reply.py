"""Updates of a verification -> messages of VerifyClaims' stream."""

from __future__ import annotations

from assay.ranker.v1 import ranker_pb2
from google.protobuf.duration_pb2 import Duration

from services.ranker.api import replies
from services.ranker.measuring.verify import Plan, Progress, Update


def reply(update: Update) -> ranker_pb2.VerifyClaimsResponse:
    """Return one message of the stream."""
    if isinstance(update, Plan):
        return ranker_pb2.VerifyClaimsResponse(plan=plan(update))
    if isinstance(update, Progress):
        return ranker_pb2.VerifyClaimsResponse(progress=progress(update))
    return ranker_pb2.VerifyClaimsResponse(verdict=replies.claim_verdict(update))


def plan(value: Plan) -> ranker_pb2.VerificationPlan:
    """Return a plan with its cost."""
    time = Duration()
    time.FromNanoseconds(round(value.seconds * 1e9))
    return ranker_pb2.VerificationPlan(claims=value.claims, estimated_time=time)


def progress(value: Progress) -> ranker_pb2.VerificationProgress:
    """Return which claim is being observed."""
    return ranker_pb2.VerificationProgress(
        claim=value.claim, step=value.step, done=value.done, total=value.total
    )
