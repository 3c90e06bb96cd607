"""Updates of a verification -> messages of VerifyClaims' stream."""

from __future__ import annotations

from assay.ranker.v1 import ranker_pb2
from google.protobuf.duration_pb2 import Duration

from services.ranker import replies
from services.ranker.verify import Plan, Progress, Update


def reply(update: Update) -> ranker_pb2.VerifyClaimsResponse:
    """Return one message of the stream."""
    if isinstance(update, Plan):
        time = Duration()
        time.FromNanoseconds(round(update.seconds * 1e9))
        plan = ranker_pb2.VerificationPlan(claims=update.claims, estimated_time=time)
        return ranker_pb2.VerifyClaimsResponse(plan=plan)
    if isinstance(update, Progress):
        progress = ranker_pb2.VerificationProgress(
            claim=update.claim, step=update.step, done=update.done, total=update.total
        )
        return ranker_pb2.VerifyClaimsResponse(progress=progress)
    return ranker_pb2.VerifyClaimsResponse(verdict=replies.claim_verdict(update))
