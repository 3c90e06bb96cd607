"""Frames that are passed on as they are stored, and what damage does to them."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path

import pytest

from services.corpus.catalog.corpus import Corpus
from services.corpus.shards.frames import DamagedFrame
from services.corpus.stream import resume
from services.corpus.stream.chunks import Limits
from services.corpus.stream.cursor import CursorCodec
from services.corpus.stream.plan import StreamPlan
from services.corpus.stream.selection import Selection
from services.corpus.stream.unit_reader import UnitReader
from services.corpus.stream.unit_stream import frame_chunks
from tests.corpus.shard_files import open_corpus
from tests.corpus.stream.test_indexed import make_corpus

ONE_BATCH = Limits(chunk_bytes=1 << 30)
Where = tuple[str, int]
"""Shard and line, or shard and frame."""


def sent(corpus: Corpus, selection: Selection, plan: StreamPlan) -> tuple[list[Where], bytes]:
    """The documents that go out before damage, and the last cursor."""
    codec = CursorCodec(corpus.ref.digest, selection.digests())
    found: list[Where] = []
    held: list[Where] = []
    cursor = b""
    with closing(UnitReader(corpus.shards_of(selection), plan)) as units, suppress(DamagedFrame):
        for chunk in frame_chunks(units, resume.start(0, 1), codec, ONE_BATCH):
            for part in chunk.parts if chunk else ():
                if part.first:
                    record = part.shard.index.frames[part.frame]
                    first = int(record["first_line"])
                    lines = range(first, first + int(record["documents"]))
                    held += [(part.shard.name, line) for line in lines]
            if chunk and chunk.cursor:
                found += [held[one] for one in chunk.order or range(len(held))]
                held, cursor = [], chunk.cursor
    return found, cursor


@pytest.mark.parametrize("seed", range(5))
def test_exactly_what_comes_before_a_damaged_frame_is_sent(tmp_path: Path, seed: int) -> None:
    """Whichever frame of a unit it is, and also where none of the unit's documents comes before."""
    root = make_corpus(tmp_path, frame_bytes=200)
    corpus = open_corpus(root, tmp_path / "cache")
    selection = corpus.resolve(Selection(seed=seed))
    plan = corpus.plan(selection)
    codec = CursorCodec(corpus.ref.digest, selection.digests())
    shards = corpus.shards_of(selection)
    whole, frames = [], []
    with closing(UnitReader(shards, plan)) as units:
        for number in range(plan.units):
            for _, _, shard, line, frame in units.lines(number, 0):
                whole.append((shard.name, line))
                frames.append((shard.name, frame))
    assert sent(corpus, selection, plan)[0] == whole
    hurt = {
        (shards[shard].path, frame) for unit in (1, 2, 3) for shard, frame in plan.unit(unit).frames
    }
    assert len(hurt) == 12
    for name, frame in hurt:
        of = next(one for one in shards if one.path == name)
        with closing(of.open_frames()) as reader:
            text = reader.has_text(frame)
            offset = int(reader.index.frames["text_offset" if text else "offset"][frame])
        file = root / (name.replace(".jsonl.zst", ".text.zst") if text else name)
        data = file.read_bytes()
        file.write_bytes(data[: offset + 10] + bytes([data[offset + 10] ^ 1]) + data[offset + 11 :])
        before = whole[: frames.index((name, frame))]
        found, cursor = sent(corpus, selection, plan)
        assert found == before
        start = resume.after(resume.start(0, 1), plan.counts, len(before))
        assert codec.decode(cursor) == start
        file.write_bytes(data)
