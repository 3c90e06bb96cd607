"""Which role each method requires.

read     everything that changes and stores nothing: pictures, documents, scores, pages
verify   measurements that occupy the machine: verifications and benchmarks
report   matches and their outcomes
operate  what is served, registered and cached
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import Final

from google.protobuf import descriptor_pb2, descriptor_pool


class Role(StrEnum):
    """What a caller may do; no role includes another."""

    READ = "read"
    VERIFY = "verify"
    REPORT = "report"
    OPERATE = "operate"


ADMIN_SUFFIX: Final = "AdminService"
"""How the names of services end that a setting can move to a separate port."""

CHANGING: Final[dict[str, Role]] = {
    "/assay.corpus.v1.CorpusBenchmarkService/BenchmarkStorage": Role.VERIFY,
    "/assay.corpus.v1.ScoringService/CompareBPB": Role.READ,
    "/assay.corpus.v1.ScoringService/ScoreBPB": Role.READ,
    "/assay.ranker.v1.OutcomeService/RecordMatch": Role.REPORT,
    "/assay.ranker.v1.OutcomeService/ReportOutcome": Role.REPORT,
    "/assay.ranker.v1.OutcomeService/WithdrawOutcome": Role.REPORT,
    "/assay.ranker.v1.RankerAdminService/InvalidateCache": Role.OPERATE,
    "/assay.ranker.v1.RankerAdminService/RegisterManifest": Role.OPERATE,
    "/assay.ranker.v1.VerificationService/CancelJob": Role.VERIFY,
    "/assay.ranker.v1.VerificationService/SubmitVerification": Role.VERIFY,
    "/assay.segment.v1.SegmentAdminService/SetDesiredModels": Role.OPERATE,
    "/assay.segment.v1.SegmentBenchmarkService/BenchmarkModel": Role.VERIFY,
}
"""The methods whose contract does not say NO_SIDE_EFFECTS."""

_REFLECTION = "/grpc.reflection."


def required(method: str) -> Role:
    """The role that "/package.Service/Method" requires: OPERATE for an unknown one."""
    if method in CHANGING:
        return CHANGING[method]
    if method.startswith(_REFLECTION) or _changes_nothing(method):
        return Role.READ
    return Role.OPERATE


def _changes_nothing(method: str) -> bool:
    try:
        return _is_free_of_side_effects(method)
    except KeyError:
        return False


@cache
def _is_free_of_side_effects(method: str) -> bool:
    """Whether the contract says NO_SIDE_EFFECTS. Raises KeyError (not cached) if unknown."""
    found = descriptor_pool.Default().FindMethodByName(method.lstrip("/").replace("/", "."))
    level = found.GetOptions().idempotency_level
    return bool(level == descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS)
