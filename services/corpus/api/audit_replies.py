"""Proofs and audits as messages."""

from __future__ import annotations

import math

from assay_rpc.audit.v1alpha1 import audit_pb2
from assay_rpc.common.v1 import common_pb2

from services.common.safe_text import shown
from services.corpus.api import bpb_replies
from services.corpus.audit.verdict import MEANINGS, Status, Verdict
from services.corpus.proof.file_format import Proof
from services.corpus.proof.verify import Verified

_MOST_FAILURES = 1000
_STATUSES = {
    Status.SOUND: audit_pb2.AUDIT_STATUS_SOUND,
    Status.CONSISTENT: audit_pb2.AUDIT_STATUS_CONSISTENT,
    Status.WRONG: audit_pb2.AUDIT_STATUS_WRONG,
    Status.IMPOSSIBLE: audit_pb2.AUDIT_STATUS_IMPOSSIBLE,
    Status.UNEXPLAINED: audit_pb2.AUDIT_STATUS_UNEXPLAINED,
}


def proof(value: Proof) -> audit_pb2.Proof:
    """What a proof states."""
    header, totals = value.header, value.totals
    size = totals.text_bytes
    return audit_pb2.Proof(
        model=common_pb2.ModelRef(name=header.model, digest=header.model_digest),
        definition=bpb_replies.definition(header.definition),
        documents=totals.documents,
        text_bytes=size,
        tokens=totals.tokens,
        nats=totals.nats,
        code_bits=totals.bits,
        file_bytes=value.size,
        left_out=header.left_out,
        sha256=value.digest,
        bits_per_byte=totals.nats / math.log(2) / size if size else None,
        code_bits_per_byte=totals.bits / size if size else None,
        file_bits_per_byte=8 * value.size / size if size else None,
    )


def proof_verdict(found: Verified, value: Proof) -> audit_pb2.ProofVerdict:
    """The result of decoding a proof."""
    return audit_pb2.ProofVerdict(
        holds=found.holds,
        failures=[
            audit_pb2.ProofFailure(id=one.id, reason=one.reason)
            for one in found.failures[:_MOST_FAILURES]
        ],
        failures_total=len(found.failures),
        proof=proof(value),
    )


def audit(name: str, verdict: Verdict) -> audit_pb2.AuditBPBResponse:
    """The result of an audit. Its names come from the record, and may not be UTF-8."""
    return audit_pb2.AuditBPBResponse(
        name=shown(name),
        status=_STATUSES[verdict.status],
        claimed=verdict.claimed,
        recomputed=verdict.recomputed,
        corrected=verdict.corrected,
        corrected_of=verdict.corrected_of,
        impossible=map(shown, verdict.impossible),
        findings=[
            audit_pb2.AuditFinding(
                mistakes=[
                    audit_pb2.AuditMistake(id=one.value, meaning=MEANINGS[one])
                    for one in finding.mistakes
                ],
                detail=shown(finding.detail),
            )
            for finding in verdict.findings
        ],
        checked=map(shown, verdict.checked),
        unchecked=map(shown, verdict.unchecked),
    )
