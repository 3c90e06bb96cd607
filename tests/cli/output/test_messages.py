"""Messages as plain JSON: numbers stay numbers, enums lose their prefix."""

import json

from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import describe_pb2, selection_pb2, stream_pb2
from assay_rpc.ranker.v1 import claim_pb2, evidence_pb2
from assay_rpc.segment.v1 import images_pb2, models_pb2

from services.cli.output.messages import plain
from services.ranker.web.values import enum_name


def test_numbers_enums_maps_and_nesting() -> None:
    reply = describe_pb2.CorpusDescription(
        corpus=describe_pb2.Corpus(
            ref=selection_pb2.CorpusRef(name="c", digest="d"),
            kind=describe_pb2.CORPUS_KIND_SAMPLE,
            shards=[describe_pb2.Shard(path="train/00.jsonl.zst", documents=3)],
        ),
        documents=2**53,
    )
    said = plain(reply)
    assert said["corpus"]["ref"] == {"name": "c", "digest": "d"}
    assert (said["corpus"]["kind"], said["documents"], said["text_bytes"]) == ("SAMPLE", 2**53, 0)
    assert said["corpus"]["shards"][0]["path"] == "train/00.jsonl.zst"
    assert said["corpus"]["shards"][0]["documents"] == 3
    facts = models_pb2.SourceFacts(parameters_by_part={"encoder": 1, "decode_head": 2})
    assert plain(facts)["parameters_by_part"] == {"decode_head": 2, "encoder": 1}


def test_zeros_are_shown_and_what_is_unset_is_not() -> None:
    assert plain(common_pb2.Interval(high=0.03)) == {
        "high": 0.03,
        "level": 0.0,
        "kind": None,
        "method": "",
        "effective_n": 0.0,
    }
    assert plain(claim_pb2.Range(high=1)) == {"high": 1.0}
    assert plain(claim_pb2.Bound(equals=claim_pb2.Equals()))["equals"] == {
        "value": 0.0,
        "tolerance": 0.0,
    }


def test_durations_are_seconds_and_times_are_iso() -> None:
    timings = images_pb2.Timings()
    timings.decode.FromMilliseconds(1500)
    assert plain(timings) == {"decode": 1.5}
    environment = common_pb2.Environment(cpu="x")
    environment.read_time.FromSeconds(0)
    assert plain(environment)["read_time"] == "1970-01-01T00:00:00Z"


def test_what_plain_gives_is_json() -> None:
    document = stream_pb2.Document(id="a:0", text="ä".encode() + b"\xed\xa0\x80")
    json.dumps(plain(document))


def test_the_name_of_an_enum_value() -> None:
    verdict = evidence_pb2.ClaimVerdict(verdict=evidence_pb2.VERDICT_NOT_TESTABLE_HERE)
    assert enum_name(verdict, "verdict") == "NOT_TESTABLE_HERE"
    assert enum_name(verdict, "basis") == "UNSPECIFIED"
