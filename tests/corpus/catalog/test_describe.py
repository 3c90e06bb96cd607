"""What a corpus is said to hold, indexed and not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zstandard
from assay_rpc.corpus.v1 import describe_pb2, selection_pb2

from services.corpus.catalog.published import NAMES
from services.corpus.catalog.rights import RIGHTS
from services.corpus.shards.index.writer import write_index
from services.corpus.stream.selection import COPYRIGHTED, WITHDRAWN
from tests.corpus.conftest import Start, described

DOCUMENTS = [
    ("Pile-CC", "x" * 3000),
    ("Pile-CC", "y" * 1000),
    ("Books3", "é" * 500),
    ("Somebody's own", "z"),
    (None, "without a name"),
]


def make(root: Path) -> None:
    lines = b""
    for subset, text in DOCUMENTS:
        meta = {} if subset is None else {"pile_set_name": subset}
        lines += json.dumps({"text": text, "meta": meta}).encode() + b"\n"
    file = root / "plain" / "test.jsonl.zst"
    file.parent.mkdir()
    file.write_bytes(zstandard.ZstdCompressor().compress(lines))
    write_index(file, "test.jsonl.zst", root / "indexed")


@pytest.mark.parametrize("form", ["plain", "indexed"])
async def test_the_pile_beside_what_was_published(serve: Start, tmp_path: Path, form: str) -> None:
    make(tmp_path)
    client = await serve({"any-name": tmp_path / form})
    reply = await described(
        client, describe_pb2.DescribeCorpusRequest(corpus=selection_pb2.CorpusRef(name="any-name"))
    )
    found = {subset.name: subset for subset in reply.subsets}
    assert set(found) == NAMES | {"Somebody's own"}
    total = sum(len(text.encode()) for _, text in DOCUMENTS)
    assert reply.text_bytes == total
    assert found["Pile-CC"].share == pytest.approx(4000 / total)
    assert found["Books3"].rights.availability == describe_pb2.AVAILABILITY_BY_NAME
    assert (
        found["OpenWebText2"].rights.availability == describe_pb2.AVAILABILITY_EXCEPT_UNCOPYRIGHTED
    )
    assert found["Wikipedia (en)"].rights.license == "CC-BY-SA"
    assert not found["Somebody's own"].HasField("rights")
    assert reply.documents_without_subset == 1

    shares = {name: subset.share for name, subset in found.items()}
    weights = {name: subset.published.weight for name, subset in found.items()}
    scale = sum(weights.values())
    unnamed = len("without a name") / total  # is of no subset that was published
    by_hand = (sum(abs(shares[n] - weights[n] / scale) for n in found) + unnamed) / 2
    assert reply.distance.total_variation == pytest.approx(by_hand)
    assert reply.distance.interval.low <= by_hand <= reply.distance.interval.high
    assert reply.distance.interval.level == 0.95

    if form == "plain":
        assert not any(subset.HasField("stored_bytes") for subset in reply.subsets)
    else:
        assert sum(s.content_bytes for s in reply.subsets) < reply.corpus.shards[0].content_bytes
        assert sum(s.stored_bytes for s in reply.subsets) < reply.corpus.shards[0].stored_bytes
        assert found["Pile-CC"].content_bytes / found["Pile-CC"].stored_bytes > 10
        assert found["ArXiv"].HasField("stored_bytes")
        assert found["ArXiv"].stored_bytes == 0


async def test_another_corpus_has_no_published_figures(serve: Start, tmp_path: Path) -> None:
    file = tmp_path / "plain" / "test.jsonl.zst"
    file.parent.mkdir()
    line = json.dumps({"text": "mine", "meta": {"pile_set_name": "Somebody's own"}}) + "\n"
    file.write_bytes(zstandard.ZstdCompressor().compress(line.encode()))
    client = await serve({"the-pile": file.parent})
    reply = await described(
        client, describe_pb2.DescribeCorpusRequest(corpus=selection_pb2.CorpusRef(name="the-pile"))
    )
    assert not reply.HasField("distance")
    assert not any(subset.HasField("published") for subset in reply.subsets)


def test_every_subset_of_the_pile_has_rights() -> None:
    assert set(RIGHTS) == NAMES
    assert WITHDRAWN <= NAMES
    assert COPYRIGHTED <= NAMES
    assert len(COPYRIGHTED) == 5
