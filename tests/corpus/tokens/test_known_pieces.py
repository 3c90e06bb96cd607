"""The quick cutter gives the tokens that the library gives, whatever the text."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.corpus.tokens import known_pieces, pieces
from services.corpus.tokens.cutter import Cutter, Ids
from services.corpus.tokens.known_pieces import KnownPieces
from services.corpus.tokens.merges import Merges
from services.corpus.tokens.tokenizer import cutter_of

tokenizers = pytest.importorskip("tokenizers")

PARTS = (
    "the", "there", " the", "'s", "'ll", "'re", "'", "'l", "don't", " ", "  ", "\n", "\r\n",
    "\t", "1",
    "2026", "\u0663", "\u00bd", "\U0001d7ce", "\u00e9", "\u0301", "\u4e2d", "\U0001f642",
    "\u00a0", "\u3000",
    "\u0085", "\u2028", "\ufeff", "\x00", "\x1c", "\u180e", "!", "...", "_", "<|end|>", "<|end",
    "x" * 300,
    " " * 300, "\u0378", "\U0010ffff",
)  # fmt: skip


@cache
def trained() -> Any:
    """A tokenizer of GPT-2's kind: 600 tokens, one of them added."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|end|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    chance = random.Random(3)
    made.train_from_iterator((" ".join(chance.choices(PARTS, k=50)) for _ in range(300)), trainer)
    return made


def content() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(trained().to_str())
    return found


@cache
def quick() -> Cutter:
    return cutter_of(trained(), content())


def library(texts: list[bytes]) -> list[list[int]]:
    decoded = [text.decode("utf-8", "replace") for text in texts]
    return [one.ids for one in trained().encode_batch(decoded, add_special_tokens=False)]


class Librarys:
    """Cuts as the library does."""

    def cut(self, texts: Sequence[bytes]) -> list[Ids]:
        return [np.array(ids, np.uint32) for ids in library(list(texts))]


def cut(cutter: Cutter, texts: list[bytes]) -> list[list[int]]:
    return [ids.tolist() for ids in cutter.cut(texts)]


@given(
    st.lists(
        st.lists(st.sampled_from(PARTS)).map("".join).map(str.encode)
        | st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))
        | st.binary(max_size=30)
    )
)
@example([])
@example([b"", b" ", b"'", b"a\xff", " \ud800".encode("utf-8", "surrogatepass")])
def test_tokens_are_the_librarys(texts: list[bytes]) -> None:
    assert isinstance(quick(), KnownPieces)
    assert cut(quick(), texts) == library(texts)


def test_a_table_that_is_full_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_pieces, "_PIECES", 50)
    chance = random.Random(5)
    texts = ["".join(chance.choices(PARTS, k=chance.randrange(90))).encode() for _ in range(40)]
    model = content()["model"]
    by = Merges.of(model["vocab"], model["merges"])
    assert by is not None
    for most, arena_bytes in ((7, 1 << 12), (500, pieces.LONGEST)):
        table = pieces.Table(most, arena_bytes)
        cutter = KnownPieces(trained(), Librarys(), by, ["<|end|>"], table)
        assert cut(cutter, texts) == library(texts)
        assert 0 < table.used[0] <= most


@pytest.mark.parametrize(
    "changes",
    [
        {"normalizer": {"type": "NFC"}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}},
        {"pre_tokenizer": None},
        {"model": {"byte_fallback": True}},
        {"model": {"vocab": {}}},
    ],
)
def test_another_kind_is_left_to_the_library(changes: dict[str, Any]) -> None:
    changed = content() | changes
    changed["model"] = content()["model"] | changes.get("model", {})
    assert not isinstance(cutter_of(trained(), changed), KnownPieces)


def test_real_documents_with_gpt2s_tokenizer(data_dir: Path) -> None:
    import zstandard  # noqa: PLC0415

    from services.corpus.shards.documents import parse_line  # noqa: PLC0415

    file = data_dir / "tokenizers" / "gpt2-tokenizer.json"
    opened = tokenizers.Tokenizer.from_file(str(file))
    cutter = cutter_of(opened, json.loads(file.read_bytes()))
    assert isinstance(cutter, KnownPieces)
    with (data_dir / "pile" / "val.jsonl.zst").open("rb") as raw:
        lines = zstandard.ZstdDecompressor().stream_reader(raw).read(1 << 20).split(b"\n")[:-1]
    texts = [parse_line(line, "", 0).text for line in lines]
    expected = opened.encode_batch([text.decode() for text in texts], add_special_tokens=False)
    assert cut(cutter, texts) == [one.ids for one in expected]
