from __future__ import annotations

import lzma
import math
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from services.corpus.bpb.compressors import COMPRESSORS
from services.corpus.bpb.definition import Definition
from services.corpus.bpb.exclusion import Exclusion
from services.corpus.bpb.jobs import Final, Model, Scorers, ScoringJobs, Task
from services.corpus.bpb.models.registry import Registry
from services.errors import InvalidArgument, NotFound
from tests.corpus.bpb.fakes import document

NAMES = sorted(COMPRESSORS)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20)
@given(st.binary(max_size=300) | st.binary(min_size=505, max_size=520))
def test_a_document_costs_the_file_that_gives_it_back(name: str, text: bytes) -> None:
    calls: list[int] = []
    score = COMPRESSORS[name].score(document(text), calls.append)
    whole = {"xz": lambda: lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)}.get(
        name, lambda: zstandard.ZstdCompressor(level=19).compress(text)
    )()
    assert score.nats == pytest.approx(8 * math.log(2) * len(whole), rel=1e-15)
    assert (score.tokens, score.text_bytes, sum(calls)) == (len(text),) * 3
    assert score.excluded is (None if text else Exclusion.EMPTY)


def test_what_the_containers_weigh() -> None:
    weight = {name: len(COMPRESSORS[name].compress(b"x")) - 1 for name in NAMES}
    assert weight["zstd-19"] <= 12
    assert 56 <= weight["xz"] <= 72


async def test_a_compressor_is_scored_by_name() -> None:
    jobs = ScoringJobs(Registry({}))
    texts = [document("spam and eggs " * 50, name=str(i)) for i in range(3)]
    task = Task(lambda: iter(texts), Definition())
    updates = [u async for u in jobs.score(task, Model("zstd-19"))]
    final = updates[-1]
    assert isinstance(final, Final)
    assert final.definition is None
    assert final.figures.totals.overall.documents == 3
    assert 0 < (final.figures.totals.overall.bits_per_byte or 0.0) < 1
    await jobs.close()


def test_a_compressor_has_no_windows() -> None:
    with pytest.raises(InvalidArgument, match="leave it out") as caught:
        Scorers(Registry({})).resolve("xz", Definition(16))
    assert caught.value.field == "definition"


def test_who_asks_for_nothing_known_is_told_of_compressors_too() -> None:
    with pytest.raises(NotFound, match="byte-reference, xz, zstd-19"):
        Scorers(Registry({})).describe("gzip")


def test_a_model_cannot_take_a_compressors_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="compressor's name"):
        Registry({"xz": tmp_path}).check()


def test_a_document_of_ten_megabytes() -> None:
    text = bytes(range(256)) * 40_000
    score = COMPRESSORS["zstd-19"].score(document(text), lambda _: None)
    assert score.text_bytes == 10_240_000
    assert score.nats < 8 * math.log(2) * 50_000
