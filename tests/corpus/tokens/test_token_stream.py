"""Sequences of tokens over the wire: exact, equal, and resumed anywhere."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from assay_rpc.corpus import CorpusStream
from assay_rpc.corpus.tokens import TokenSequence, TokenStream
from assay_rpc.errors import AssayError

from services.corpus.bpb.models.registry import REFERENCE
from services.corpus.shards.index.writer import IndexOptions, write_index
from tests.corpus.conftest import Client, Start
from tests.corpus.shard_files import line, write_corpus
from tests.corpus.stream.test_indexed import make_corpus

END = 256  # the byte model's separator


@pytest.fixture
async def address(serve: Start, tmp_path: Path) -> str:
    client: Client = await serve({"c": make_corpus(tmp_path)})
    return f"127.0.0.1:{client.server.port}"


def _stream(address: str, **options: Any) -> TokenStream:
    given: dict[str, Any] = {
        "tokenizer": REFERENCE,
        "length": 64,
        "seed": 5,
        "chunk_bytes": 4096,
    } | options
    return TokenStream(address, given.pop("corpus", "c"), **given)


def _read(stream: TokenStream, most: int | None = None) -> list[TokenSequence]:
    found: list[TokenSequence] = []
    if most == 0:
        return found
    for sequence in stream:
        found.append(sequence)
        if len(found) == most:
            break
    return found


async def _all(address: str, most: int | None = None, **options: Any) -> list[TokenSequence]:
    with _stream(address, **options) as stream:
        return await asyncio.to_thread(_read, stream, most)


def _texts(address: str, **selection: Any) -> dict[str, bytes]:
    with CorpusStream(address, "c") as stream:
        return {document.id: document.text_bytes for document in stream}


async def test_concatenated_is_the_texts_one_after_the_other(address: str) -> None:
    from assay_rpc.corpus import stream  # noqa: PLC0415

    def expected() -> list[int]:
        with stream(address, "c", seed=5) as documents:
            return [token for one in documents for token in (*one.text_bytes, END)]

    tokens = await asyncio.to_thread(expected)
    found = await _all(address)
    assert [token for one in found for token in one.ids] == tokens[: len(found) * 64]
    assert len(tokens) - len(found) * 64 < 64
    for one in found:
        assert len(one) == 64
        assert one.boundaries[0] == 0
        assert one.boundaries[-1] == 64
        assert "" not in one.documents


@pytest.mark.parametrize("packing", ["concatenated", "best_fit"])
async def test_pieces_say_where_they_are_from(address: str, packing: Any) -> None:
    texts = await asyncio.to_thread(_texts, address)
    got: dict[str, dict[int, int]] = defaultdict(dict)
    filling = 0
    found = await _all(address, packing=packing)
    for one in found:
        for begin, name, offset, size in zip(
            one.boundaries, one.documents, one.offsets, one.lengths, strict=False
        ):
            ids = one.ids[begin : begin + size].tolist()
            if not name:
                filling += size
                assert set(ids) == {END}
                continue
            assert ids == [*texts[name], END][offset : offset + size]
            for place in range(offset, offset + size):
                assert place not in got[name]
                got[name][place] = 1
    whole = sum(len(text) + 1 for text in texts.values())
    delivered = sum(len(one) for one in got.values())
    assert whole - delivered < 64
    assert filling < 64
    if packing == "best_fit":
        assert delivered == whole


@pytest.mark.slow
async def test_a_step_is_the_same_whatever_the_world(address: str) -> None:
    whole = [one.ids.tolist() for one in await _all(address, global_batch=12)]
    for world in (2, 3, 12):
        ranks = [
            await _all(address, global_batch=12, world_size=world, rank=rank)
            for rank in range(world)
        ]
        each = 12 // world
        for step in range(len(whole) // 12):
            got = [
                one.ids.tolist() for rank in ranks for one in rank[step * each : (step + 1) * each]
            ]
            assert got == whole[step * 12 : (step + 1) * 12]
        at_step = _stream(address, global_batch=12, world_size=world, rank=1)
        at_step.start_at(3)
        with at_step:
            rest = await asyncio.to_thread(_read, at_step)
        assert [one.ids.tolist() for one in rest] == [
            one.ids.tolist() for one in ranks[1][3 * each :]
        ]


@pytest.mark.slow
@pytest.mark.parametrize("packing", ["concatenated", "best_fit"])
async def test_plans_with_kills_and_changed_worlds_are_exact(address: str, packing: Any) -> None:
    """What others lose or repeat.

    llm-foundry 1277 (packing and resuming repeated data), torchtitan 3008 (the sample in flight was
    lost), datasets 7901 and 7538 (a shuffled stream that resumes repeats and drops).
    """
    options = {"packing": packing, "global_batch": 12}
    whole = Counter((one.step, bytes(one.ids)) for one in await _all(address, **options))
    for plan in range(6):
        chance = random.Random(plan)
        got: Counter[tuple[int, bytes]] = Counter()
        states: list[dict[str, Any]] = []
        for turn in range(3):
            world = chance.choice([1, 2, 3, 4])
            ended = []
            for rank in range(world):
                most = None if turn == 2 else chance.randrange(40)
                stream = _stream(address, **options, world_size=world, rank=rank)
                if states:
                    stream.resume_from(states)
                for _ in range(2):  # killed in between, in the middle of a message
                    got.update(
                        (one.step, bytes(one.ids))
                        for one in await asyncio.to_thread(_read, stream, most)
                    )
                    state = json.loads(json.dumps(stream.state_dict()))
                    stream.close()
                    stream = _stream(address, **options, world_size=world, rank=rank)
                    stream.load_state_dict(state)
                ended.append(stream.state_dict())
                stream.close()
            states = ended
        assert got == whole, plan


async def test_filling_is_rare(serve: Start, tmp_path: Path) -> None:
    chance = random.Random(1)
    lines = [line("x" * chance.randrange(2000), "Github") for _ in range(3000)]
    root = write_corpus(tmp_path / "f", {"train/0.jsonl.zst": lines})
    out = tmp_path / "indexed"
    write_index(root / "train" / "0.jsonl.zst", "train/0.jsonl.zst", out, IndexOptions())
    client = await serve({"c": out})
    address = f"127.0.0.1:{client.server.port}"
    found = await _all(address, packing="best_fit", length=1024, chunk_bytes=1 << 20)
    filled = sum(
        size
        for one in found
        for name, size in zip(one.documents, one.lengths, strict=True)
        if not name
    )
    assert filled <= 0.001 * len(found) * 1024


async def test_weights_of_tokens_and_corpora(serve: Start, tmp_path: Path) -> None:
    for name, size in (("a", 50), ("b", 900)):
        lines = [line(name * size, "Github") for _ in range(40000 // size)]
        root = write_corpus(tmp_path / name, {"train/0.jsonl.zst": lines})
        write_index(
            root / "train" / "0.jsonl.zst",
            "train/0.jsonl.zst",
            tmp_path / f"{name}-out",
            IndexOptions(frame_bytes=2000),
        )
    client = await serve({name: tmp_path / f"{name}-out" for name in ("a", "b")})
    address = f"127.0.0.1:{client.server.port}"
    found = await _all(address, corpus={"a": 1.0, "b": 3.0}, weight_unit="tokens")
    tokens = Counter(token for one in found for token in one.ids)
    assert tokens[ord("b")] / (tokens[ord("a")] + tokens[ord("b")]) == pytest.approx(0.75, abs=0.05)
    assert {name.split("/")[0] for one in found for name in one.documents} == {"a", "b"}


async def test_as_arrays(address: str) -> None:
    (one,) = await _all(address, most=1)
    assert one.numpy().dtype == np.int64
    assert one.numpy().tolist() == one.ids.tolist()


@pytest.mark.torch
async def test_as_tensors(address: str) -> None:
    torch = pytest.importorskip("torch")
    (one,) = await _all(address, most=1)
    assert torch.equal(one.torch(), torch.tensor(one.ids.tolist()))


@pytest.mark.torch
async def test_any_number_of_workers_gives_the_same_batches(address: str) -> None:
    pytest.importorskip("torch")
    from assay_rpc.corpus.tokens_pytorch import TokenDataset  # noqa: PLC0415
    from torch.utils.data import DataLoader  # noqa: PLC0415

    options = {"tokenizer": REFERENCE, "length": 64, "seed": 5, "global_batch": 12}

    def batches(workers: int, step: int) -> list[Any]:
        dataset = TokenDataset(address, "c", batch_size=3, start_step=step, **options)
        context = "spawn" if workers else None
        loader: Any = DataLoader(
            dataset, batch_size=None, num_workers=workers, multiprocessing_context=context
        )
        return [batch["ids"].tolist() for batch in loader]

    alone = await asyncio.to_thread(batches, 0, 0)
    assert await asyncio.to_thread(batches, 2, 0) == alone
    assert await asyncio.to_thread(batches, 0, 2) == alone[8:]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"length": 0}, "tokens.length: 0 is not between"),
        ({"length": 1 << 19}, "tokens.length"),
        ({"tokenizer": "nobody"}, "no language model named 'nobody'"),
        ({"separator": 257}, "257 is not a token"),
        ({"global_batch": 7, "world_size": 2}, "7 sequences cannot be divided"),
        ({"rank": 2, "world_size": 2}, "not one of 2 ranks"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    address: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(AssayError, match=words):
        await _all(address, **options)


async def test_a_global_batch_that_is_never_full_is_refused(address: str) -> None:
    total = len(await _all(address))
    assert len(await _all(address, global_batch=total)) == total
    even = total - total % 2
    with pytest.raises(AssayError, match=f"the largest that fits 2 ranks is {even}$"):
        await _all(address, global_batch=even + 2, world_size=2)
    assert await _all(address, global_batch=even, world_size=2)
    with pytest.raises(AssayError, match=r"has 0 sequences.*shorter sequences or more documents"):
        await _all(address, length=1 << 18)


async def test_states_of_other_tokens_are_refused(address: str) -> None:
    with _stream(address) as stream:
        await asyncio.to_thread(_read, stream, 3)
        state = stream.state_dict()
    with _stream(address, length=32) as other, pytest.raises(AssayError, match="tokens"):
        other.load_state_dict(state)
    changed = state | {"tokens": state["tokens"] | {"length": 32}}
    with _stream(address, length=32) as other:
        other.load_state_dict(changed)
        with pytest.raises(AssayError, match="belongs to other tokens"):
            await asyncio.to_thread(_read, other)


async def test_a_damaged_store_of_tokens_is_made_again(
    serve: Start, tmp_path: Path, address: str
) -> None:
    first = [one.ids.tolist() for one in await _all(address)]
    files = list((tmp_path / "home" / "cache" / "corpus" / "tokens").rglob("*.tokens"))
    assert len(files) == 3
    files[0].write_bytes(files[0].read_bytes()[:-2])
    files[1].write_bytes(b"")
    again = await serve({"c": tmp_path / "indexed"})
    other = f"127.0.0.1:{again.server.port}"
    assert [one.ids.tolist() for one in await _all(other)] == first


@pytest.mark.torch
async def test_a_tokenizer_of_the_hub(serve: Start, tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    from tests.corpus.bpb.tiny_models import make  # noqa: PLC0415

    tiny = make("gpt2", tmp_path / "tiny")
    client = await serve({"c": make_corpus(tmp_path)}, language_models={"tiny": tiny})
    address = f"127.0.0.1:{client.server.port}"
    found = await _all(address, tokenizer="tiny")
    texts = await asyncio.to_thread(_texts, address)
    assert len(found) == len(await _all(address))  # its tokens are bytes, in another order
    assert [list(one.documents) for one in found] == [
        list(one.documents) for one in await _all(address)
    ]
    ends = sum(one.ids.tolist().count(END) for one in found)
    assert abs(ends - len(texts)) <= 1


async def test_kept_tokens_are_bounded_and_streams_stay_exact(serve: Start, tmp_path: Path) -> None:
    """With room for none, only those of the last stream stay; one that is being read goes on."""
    client = await serve({"c": make_corpus(tmp_path)}, token_cache_bytes=0)
    address = f"127.0.0.1:{client.server.port}"
    kept = tmp_path / "home" / "cache" / "corpus" / "tokens"
    whole = [sequence.ids.tobytes() for sequence in await _all(address, splits=["train"])]
    trained = set(kept.rglob("*.tokens"))
    with _stream(address, splits=["train"]) as stream:
        begun = await asyncio.to_thread(_read, stream, 3)
        await _all(address, splits=["test"])
        tested = set(kept.rglob("*.tokens"))
        assert trained
        assert tested
        assert not trained & tested
        rest = await asyncio.to_thread(_read, stream)
    assert [sequence.ids.tobytes() for sequence in begun + rest] == whole
    again = [sequence.ids.tobytes() for sequence in await _all(address, splits=["train"])]
    assert again == whole
