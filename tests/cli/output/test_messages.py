"""Messages as plain JSON: numbers stay numbers, enums lose their prefix."""

import json

from assay.common.v1 import common_pb2
from assay.corpus.v1 import corpus_pb2
from assay.ranker.v1 import ranker_pb2
from assay.segment.v1 import images_pb2, models_pb2

from services.cli.output.messages import enum_name, plain


def test_numbers_enums_maps_and_nesting() -> None:
    reply = corpus_pb2.DescribeCorpusResponse(
        corpus=corpus_pb2.CorpusRef(name="c", digest="d"),
        kind=corpus_pb2.CORPUS_KIND_SAMPLE,
        documents=2**53,
        shards=[corpus_pb2.Shard(path="train/00.jsonl.zst", documents=3)],
    )
    said = plain(reply)
    assert said["corpus"] == {"name": "c", "digest": "d"}
    assert (said["kind"], said["documents"], said["text_bytes"]) == ("SAMPLE", 2**53, 0)
    assert said["shards"][0]["path"] == "train/00.jsonl.zst"
    assert said["shards"][0]["documents"] == 3
    facts = models_pb2.SourceFacts(parameters_by_part={"encoder": 1, "decode_head": 2})
    assert plain(facts)["parameters_by_part"] == {"decode_head": 2, "encoder": 1}


def test_zeros_are_shown_and_what_is_unset_is_not() -> None:
    assert plain(common_pb2.Interval(high=0.03)) == {"low": 0.0, "high": 0.03, "level": 0.0}
    assert plain(ranker_pb2.Range(high=1)) == {"high": 1.0}
    assert plain(ranker_pb2.Bound(equals=ranker_pb2.Equals()))["equals"] == {
        "value": 0.0,
        "tolerance": 0.0,
    }


def test_durations_are_seconds_and_times_are_iso() -> None:
    timings = images_pb2.Timings()
    timings.decode.FromMilliseconds(1500)
    assert plain(timings) == {"decode": 1.5}
    environment = common_pb2.Environment(cpu="x")
    environment.time.FromSeconds(0)
    assert plain(environment)["time"] == "1970-01-01T00:00:00Z"


def test_what_plain_gives_is_json() -> None:
    document = corpus_pb2.Document(id="a:0", text="ä".encode() + b"\xed\xa0\x80")
    json.dumps(plain(document))


def test_the_name_of_an_enum_value() -> None:
    verdict = ranker_pb2.ClaimVerdict(verdict=ranker_pb2.VERDICT_NOT_TESTABLE_HERE)
    assert enum_name(verdict, "verdict") == "NOT_TESTABLE_HERE"
    assert enum_name(verdict, "basis") == "UNSPECIFIED"
