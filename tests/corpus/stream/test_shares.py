"""What a trainer asks of a stream: equal ranks, several corpora, metas, states of any corpus."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest
from assay_rpc.corpus import CorpusStream, Document, stream
from assay_rpc.corpus.v1 import stream_pb2
from assay_rpc.errors import AssayError

from services.corpus.shards.index.writer import IndexOptions, write_index
from tests.corpus.conftest import Start
from tests.corpus.shard_files import line, write_corpus
from tests.corpus.stream.test_indexed import make_corpus

DELIVERIES = (stream_pb2.DELIVERY_FRAMES, stream_pb2.DELIVERY_DOCUMENTS)
TOTAL = 612  # of 750; Books3 comes only where it is named


def _take(documents: CorpusStream, most: int | None = None) -> list[Document]:
    found: list[Document] = []
    if most == 0:
        return found
    for document in documents:
        found.append(document)
        if len(found) == most:
            break
    return found


@pytest.mark.slow
@pytest.mark.parametrize("equal", ["drop", "wrap"])
@pytest.mark.parametrize("seed", [None, 3])
async def test_ranks_get_as_many_documents(
    serve: Start, tmp_path: Path, equal: Any, seed: int | None
) -> None:
    client = await serve({"c": make_corpus(tmp_path)})
    address = f"127.0.0.1:{client.server.port}"
    for world, batch in ((2, 1), (7, 1), (4, 8)):
        for delivery in DELIVERIES:
            streams = [
                stream(
                    address,
                    "c",
                    rank=r,
                    world_size=world,
                    equal=equal,
                    batch_size=batch,
                    delivery=delivery,
                    chunk_bytes=4096,
                    seed=seed,
                )
                for r in range(world)
            ]
            ranks = [await asyncio.to_thread(_take, one) for one in streams]
            for one in streams:
                one.close()
            assert len({len(rank) for rank in ranks}) == 1
            assert len(ranks[0]) % batch == 0
            share = streams[0].share
            assert share is not None
            assert share.documents == len(ranks[0])
            got = Counter(document.id for rank in ranks for document in rank)
            assert share.dropped == TOTAL - len(got)
            assert share.repeated == sum(got.values()) - len(got)
            assert max(share.dropped, share.repeated) < world * batch


@pytest.mark.slow
async def test_random_plans_of_equal_ranks_lose_and_repeat_nothing(
    serve: Start, tmp_path: Path
) -> None:
    client = await serve({"c": make_corpus(tmp_path)})
    address = f"127.0.0.1:{client.server.port}"
    for plan in range(12):
        chance = random.Random(plan)
        got: Counter[str] = Counter()
        states: list[dict[str, Any]] = []
        dropped = 0
        for turn in range(3):
            world = chance.randrange(1, 6)
            ended = []
            for rank in range(world):
                one = stream(
                    *(address, "c"),
                    rank=rank,
                    world_size=world,
                    equal="drop",
                    delivery=chance.choice(DELIVERIES),
                    chunk_bytes=4096,
                    seed=plan,
                )
                if states:
                    one.resume_from(states)
                most = None if turn == 2 else chance.randrange(120)
                found = await asyncio.to_thread(_take, one, most)
                if chance.random() < 0.5 and most:  # killed, and continued from its state
                    again = stream(
                        address, "c", rank=rank, world_size=world, equal="drop", seed=plan
                    )
                    again.load_state_dict(json.loads(json.dumps(one.state_dict())))
                    found += await asyncio.to_thread(_take, again, 5)
                    one.close()
                    one = again
                got.update(document.id for document in found)
                ended.append(one.state_dict())
                if rank == 0 and one.share is not None:
                    dropped += one.share.dropped
                one.close()
            states = ended
        assert max(got.values()) == 1, plan
        assert TOTAL - len(got) <= 3 * 5, plan


async def test_states_of_another_kind_are_refused(serve: Start, tmp_path: Path) -> None:
    client = await serve({"c": make_corpus(tmp_path)})
    address = f"127.0.0.1:{client.server.port}"
    with stream(address, "c", equal="drop", batch_size=2) as one:
        await asyncio.to_thread(_take, one, 3)
        state = one.state_dict()
    with stream(address, "c") as other, pytest.raises(AssayError, match="equal"):
        other.load_state_dict(state)
    with pytest.raises(ValueError, match="neither 'drop' nor 'wrap'"):
        stream(address, "c", equal="even")  # type: ignore[arg-type]


async def _two(serve: Start, tmp_path: Path) -> str:
    """A corpus of small documents and one of large ones."""
    for name, count, size in (("small", 600, 50), ("large", 200, 3000)):
        lines = [line(f"{name} {n} ".ljust(size, "x"), "Github") for n in range(count)]
        source = write_corpus(tmp_path / name, {"train/00.jsonl.zst": lines})
        write_index(
            source / "train" / "00.jsonl.zst",
            "train/00.jsonl.zst",
            tmp_path / f"{name}-indexed",
            IndexOptions(frame_bytes=4000),
        )
    client = await serve({name: tmp_path / f"{name}-indexed" for name in ("small", "large")})
    return f"127.0.0.1:{client.server.port}"


@pytest.mark.parametrize("unit", ["bytes", "documents"])
async def test_corpora_are_mixed_by_weight(serve: Start, tmp_path: Path, unit: Any) -> None:
    address = await _two(serve, tmp_path)
    for weights in ({"small": 0.5, "large": 0.5}, {"large": 3.0, "small": 1.0}):
        with stream(address, weights, weight_unit=unit, seed=1) as one:
            found: list[Document] = await asyncio.to_thread(_take, one)
        sizes: Counter[str] = Counter()
        for document in found:
            name = document.id.split("/")[0]
            assert document.text.startswith(name)
            sizes[name] += len(document.text_bytes) if unit == "bytes" else 1
        share = sizes["large"] / sizes.total()
        wanted = weights["large"] / sum(weights.values())
        assert share == pytest.approx(wanted, abs=0.12)  # frames are whole


async def test_a_mixture_of_corpora_resumes(serve: Start, tmp_path: Path) -> None:
    address = await _two(serve, tmp_path)
    weights = {"small": 1.0, "large": 1.0}
    with stream(address, weights, seed=1) as one:
        whole = [document.id for document in await asyncio.to_thread(_take, one)]
    with stream(address, weights, seed=1) as one:
        begun = [document.id for document in await asyncio.to_thread(_take, one, 77)]
        state = json.loads(json.dumps(one.state_dict()))
    with stream(address, weights, seed=1) as one:
        one.load_state_dict(state)
        assert begun + [document.id for document in await asyncio.to_thread(_take, one)] == whole
    other = {"small": 1.0, "large": 2.0}
    with stream(address, other, seed=1) as one, pytest.raises(AssayError, match="selection"):
        one.load_state_dict(state)
    for bad, words in (
        ({"small": float("nan"), "large": 1}, "selection.corpora"),
        ({"small": -1, "large": 1}, "selection.corpora"),
        ({"small": 0.0}, "nothing with more than 0"),
        ({"small": 1, "nowhere": 1}, "nowhere"),
    ):
        with stream(address, bad) as one, pytest.raises(AssayError, match=words):
            await asyncio.to_thread(_take, one, 1)


async def test_documents_have_their_meta(serve: Start, tmp_path: Path) -> None:
    client = await serve({"c": make_corpus(tmp_path)})
    address = f"127.0.0.1:{client.server.port}"
    for delivery in DELIVERIES:
        with stream(address, "c", delivery=delivery) as one:
            found: list[Document] = await asyncio.to_thread(_take, one)
        assert {"pile_set_name": "Github", "stars": 3} in [document.meta for document in found]
        assert all(document.meta["pile_set_name"] == document.subset for document in found)


async def test_a_corpus_without_an_index_streams_and_resumes(serve: Start, tmp_path: Path) -> None:
    lines = [line(f"document {n}", "Github") for n in range(3000)]
    root = write_corpus(tmp_path / "raw", {"train/00.jsonl.zst": [*lines, b"{}\n", line("last")]})
    client = await serve({"raw": root})
    address = f"127.0.0.1:{client.server.port}"
    with stream(address, "raw", skip_bad_lines=True, chunk_bytes=4096) as one:
        begun = await asyncio.to_thread(_take, one, 1234)
        state = json.loads(json.dumps(one.state_dict()))
        assert not one.bad_lines
    with stream(address, "raw", skip_bad_lines=True) as one:
        one.load_state_dict(state)
        rest = await asyncio.to_thread(_take, one)
        assert [bad.line for bad in one.bad_lines] == [3000]
    texts = [document.text for document in begun + rest]
    assert texts == [*(f"document {n}" for n in range(3000)), "last"]
    with stream(address, "raw") as one, pytest.raises(AssayError, match="--skip-bad-lines") as told:
        await asyncio.to_thread(_take, one)
    assert told.value.code is grpc.StatusCode.DATA_LOSS
    with stream(address, "raw", equal="drop") as one, pytest.raises(AssayError, match="index"):
        await asyncio.to_thread(_take, one)
