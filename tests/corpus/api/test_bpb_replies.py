"""Reasons to leave documents out, as messages."""

from __future__ import annotations

from dataclasses import replace

from assay_rpc.common.v1 import common_pb2

from services.corpus.api import bpb_replies
from services.corpus.bpb.compressors import COMPRESSORS
from services.corpus.bpb.exclusion import Exclusion
from services.corpus.bpb.figures import DocumentScore
from services.corpus.bpb.jobs import Final
from services.corpus.bpb.models.compute import ONNXRUNTIME, Compute
from services.corpus.bpb.models.registry import REFERENCE, Registry


def test_every_reason_is_told_and_what_is_unknown_is_absent() -> None:
    info = COMPRESSORS["xz"].info
    scores = [
        DocumentScore(f"test.jsonl.zst:{number}", "", 3.0, 9, 0 if reason else 4, reason)
        for number, reason in enumerate((None, *Exclusion))
    ]
    reply = bpb_replies.texts(Final(info, None, scores, False, None), common_pb2.Environment())
    assert len({one.excluded for one in reply.texts}) == len(scores)
    assert not reply.texts[0].excluded
    assert [one.reason for one in reply.result.excluded] == [
        one.excluded for one in reply.texts[1:]
    ]
    assert not any(one.score.HasField("bits_per_byte") for one in reply.result.excluded)
    assert reply.result.overall.documents == 1


def test_reasons_to_doubt_a_model_come_with_its_figures() -> None:
    registry = Registry({})
    loaded = replace(registry.start(REFERENCE, Compute(ONNXRUNTIME)), doubts=("it guesses",))
    scores = [DocumentScore("a", "s", 3.0, 9, 4)]
    made = Final(registry.describe(REFERENCE), None, scores, True, loaded)
    assert bpb_replies.final(made, None, common_pb2.Environment()).doubts == ["it guesses"]
    plain = Final(COMPRESSORS["xz"].info, None, scores, True, None)
    assert not bpb_replies.final(plain, None, common_pb2.Environment()).doubts


def test_a_result_of_excluded_documents_alone_has_no_value() -> None:
    info = COMPRESSORS["xz"].info
    scores = [DocumentScore("a", "s", 0.0, 9, 0, Exclusion.TOKEN_OUT_OF_RANGE)]
    result = bpb_replies.final(
        Final(info, None, scores, False, None), None, common_pb2.Environment()
    )
    assert not result.overall.HasField("bits_per_byte")
    assert not result.macro.HasField("value")
    assert not result.weighted
