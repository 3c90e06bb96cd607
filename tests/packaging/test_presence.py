"""What may be unknown is absent, and 0 is a value: in the contract and in its JSON."""

from __future__ import annotations

import pytest
from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import describe_pb2, scoring_pb2, stream_pb2
from assay_rpc.ranker.v1 import compare_pb2, rank_pb2, score_pb2
from assay_rpc.segment.v1 import benchmark_pb2, segment_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

MAYBE: dict[type[Message], tuple[str, ...]] = {
    common_pb2.Environment: ("load", "cpu_quota"),
    common_pb2.Interval: ("low", "high"),
    common_pb2.MachineLoad: ("others_cores", "kernel_ratio", "steal"),
    describe_pb2.Shard: ("content_bytes", "documents", "frames"),
    describe_pb2.SubsetInfo: ("content_bytes", "stored_bytes"),
    stream_pb2.Document: ("frame",),
    scoring_pb2.Definition: ("special_tokens", "prefix_token"),
    scoring_pb2.BitsPerByte: ("bits_per_byte", "nats_per_token", "bytes_per_token"),
    scoring_pb2.Average: ("value",),
    scoring_pb2.WeightedScore: ("bits_per_byte",),
    scoring_pb2.BPBDifference: ("bits_per_byte",),
    scoring_pb2.RunningScore: ("documents_total", "tokens_per_second"),
    score_pb2.Score: ("point",),
    score_pb2.Component: ("point",),
    score_pb2.Contribution: ("point",),
    rank_pb2.Rank: ("best_place", "worst_place"),
    compare_pb2.PageReliability: ("mean",),
    benchmark_pb2.ServerFigures: ("within_bound",),
    segment_pb2.EvaluationResult: ("pixel_accuracy", "mean_iou", "mean_accuracy"),
    segment_pb2.ClassFigures: ("iou", "accuracy"),
}
FIELDS = [(kind, name) for kind, names in MAYBE.items() for name in names]


@pytest.mark.parametrize(("kind", "name"), FIELDS, ids=lambda one: getattr(one, "__name__", one))
def test_absent_is_not_zero(kind: type[Message], name: str) -> None:
    nothing, zero = kind(), kind(**{name: 0})
    assert not nothing.HasField(name)
    assert MessageToDict(nothing, preserving_proto_field_name=True) == {}
    again = kind.FromString(zero.SerializeToString())
    assert again.HasField(name)
    assert again != nothing
    shown = MessageToDict(again, preserving_proto_field_name=True)
    # 64-bit integers are strings in JSON.
    assert shown in ({name: 0}, {name: "0"}, {name: False})
