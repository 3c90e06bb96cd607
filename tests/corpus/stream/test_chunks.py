from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.corpus.catalog.corpus import Corpus
from services.corpus.shards.documents import Document, parse_line
from services.corpus.shards.frames import DamagedFrame, SkippedFrame
from services.corpus.stream.chunks import MAX_META_BYTES, Chunk, Limits, chunks, cut_items
from services.corpus.stream.cursor import CursorCodec, LinePosition
from services.corpus.stream.reader import Item
from services.corpus.stream.selection import Selection
from services.errors import AssayError, DataLoss, InvalidArgument, TooLarge
from tests.corpus.shard_files import compress, line, open_corpus, write_corpus

SUBSETS = ("Github", "Enron Emails", "Wikipedia (en)", None)
TEXTS = ("", "a", "häßlich", "\ud800", "x" * 100, "word " * 300)


def _lines(split: str, count: int) -> list[bytes]:
    """Lines of every subset and of many lengths, no two alike."""
    return [
        line(f"{split} {number} {TEXTS[number * 7 % len(TEXTS)]}", SUBSETS[number * 5 % 4])
        for number in range(count)
    ]


LINES = {
    "train/00.jsonl.zst": _lines("train0", 40),
    "train/01.jsonl.zst": _lines("train1", 1),
    "train/02.jsonl.zst": [],
    "val.jsonl.zst": _lines("val", 25),
    "test.jsonl.zst": _lines("test", 30),
}
SPLITS = {"train": ("train/00.jsonl.zst", "train/01.jsonl.zst", "train/02.jsonl.zst"),
          "val": ("val.jsonl.zst",), "test": ("test.jsonl.zst",)}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    return open_corpus(write_corpus(folder / "root", LINES), folder / "cache")


@dataclass
class Stream:
    """What a client ends with: documents or lines, put together, and every cursor on the way."""

    documents: list[Document]
    lines: bytes
    cursors: list[bytes]


def _stream(
    corpus: Corpus,
    selection: Selection,
    cursor: bytes = b"",
    *,
    jsonl: bool = False,
    sizes: tuple[int, int] = (1000, 400),
    stop_after: int | None = None,
) -> Stream:
    """Stream as a client does, up to the `stop_after`-th cursor."""
    codec = CursorCodec(corpus.ref.digest, selection.digests())
    found = Stream([], b"", [])
    parts: list[Document] = []
    pending = b""
    for chunk in chunks(
        corpus.shards,
        selection,
        codec,
        position=_position(codec, cursor),
        jsonl=jsonl,
        limits=Limits(chunk_bytes=sizes[0], fragment_bytes=sizes[1]),
    ):
        if chunk is None:
            continue
        _check_chunk(chunk, jsonl, sizes)
        parts += chunk.documents
        pending += chunk.lines
        if chunk.continues:
            continue
        found.documents += _joined(parts)
        found.lines += pending
        found.cursors.append(chunk.cursor)
        parts, pending = [], b""
        if stop_after is not None and len(found.cursors) > stop_after:
            break
    assert not parts
    assert not pending
    return found


def _check_chunk(chunk: Chunk, jsonl: bool, sizes: tuple[int, int]) -> None:
    assert bool(chunk.cursor) != chunk.continues
    assert bool(chunk.lines) == jsonl
    assert bool(chunk.documents) != jsonl
    assert all(len(document.text) <= sizes[1] for document in chunk.documents)
    assert len(chunk.lines) <= max(sizes)
    if jsonl and not chunk.continues:
        assert chunk.lines.endswith(b"\n")


def _joined(parts: list[Document]) -> Iterator[Document]:
    """Put fragments together: they share an id."""
    by_id: dict[str, list[Document]] = {}
    for part in parts:
        by_id.setdefault(part.id, []).append(part)
    for fragments in by_id.values():
        first = fragments[0]
        assert all(part.meta == b"" for part in fragments[1:])
        assert len({part.subset for part in fragments}) == 1
        text = b"".join(part.text for part in fragments)
        yield Document(first.id, first.subset, text, first.meta, first.shard, first.line)


def _expected(selection: Selection) -> tuple[list[Document], bytes]:
    """The selection by its definition, from the lines that were written."""
    documents: list[Document] = []
    lines = b""
    text_bytes = 0
    for split in selection.splits:
        for path in SPLITS[split]:
            for number, raw in enumerate(LINES[path]):
                document = parse_line(raw.rstrip(b"\n"), path, number)
                if not selection.wants(document.subset):
                    continue
                text_bytes += len(document.text)
                if selection.max_documents and len(documents) == selection.max_documents:
                    return documents, lines
                if selection.max_bytes and text_bytes > selection.max_bytes:
                    return documents, lines
                documents.append(document)
                lines += raw
    return documents, lines


NAMES = st.sampled_from(["Github", "Enron Emails", "Wikipedia (en)", ""])
SELECTIONS = st.builds(
    Selection,
    splits=st.permutations(["train", "val", "test"]).flatmap(
        lambda order: st.integers(1, 3).map(lambda count: tuple(order[:count]))
    ),
    subsets=st.frozensets(NAMES, max_size=2),
    max_documents=st.one_of(st.just(0), st.integers(1, 110)),
    max_bytes=st.one_of(st.just(0), st.integers(1, 60_000)),
).flatmap(
    lambda base: st.frozensets(NAMES, max_size=1).map(
        lambda out: Selection(
            base.splits, base.subsets, out - base.subsets, base.max_documents, base.max_bytes
        )
    )
)
SIZES = st.tuples(st.integers(1, 5000), st.integers(1, 2000)).map(
    lambda sizes: (max(sizes), min(sizes))
)


@pytest.mark.slow
@given(SELECTIONS, SIZES)
def test_any_selection_is_what_its_definition_says(
    corpus: Corpus, selection: Selection, sizes: tuple[int, int]
) -> None:
    selection = corpus.resolve(selection)
    documents, lines = _expected(selection)
    assert _stream(corpus, selection, sizes=sizes).documents == documents
    assert _stream(corpus, selection, jsonl=True, sizes=sizes).lines == lines
    assert list(corpus.documents(selection)) == documents


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(SELECTIONS, st.data())
def test_resuming_anywhere_any_number_of_times_is_never_having_stopped(
    corpus: Corpus, selection: Selection, data: st.DataObject
) -> None:
    selection = corpus.resolve(selection)
    documents, lines = _expected(selection)
    cursor, delivered, position = b"", 0, 0
    while True:
        jsonl = data.draw(st.booleans())
        sizes = data.draw(SIZES)
        part = _stream(
            corpus, selection, cursor, jsonl=jsonl, sizes=sizes,
            stop_after=data.draw(st.integers(0, 12)),
        )  # fmt: skip
        if jsonl:
            count = part.lines.count(b"\n")
            assert part.lines == lines[position : position + len(part.lines)]
        else:
            count = len(part.documents)
            assert part.documents == documents[delivered : delivered + count]
        if not part.cursors:
            break
        cursor = part.cursors[-1]
        delivered += count
        position = sum(map(len, lines.splitlines(keepends=True)[:delivered]))
    assert delivered == len(documents)
    assert position == len(lines)


@pytest.mark.parametrize("jsonl", [True, False])
def test_every_position_of_a_stream_resumes(corpus: Corpus, jsonl: bool) -> None:
    selection = corpus.resolve(Selection(subsets=frozenset({"Github", ""})))
    documents, lines = _expected(selection)
    whole = _stream(corpus, selection, jsonl=jsonl, sizes=(1, 1))
    assert len(whole.cursors) == len(documents)
    ends = [0]
    for raw in lines.splitlines(keepends=True):
        ends.append(ends[-1] + len(raw))
    for count, cursor in enumerate(whole.cursors, 1):
        assert _stream(corpus, selection, cursor).documents == documents[count:]
        assert _stream(corpus, selection, cursor, jsonl=True).lines == lines[ends[count] :]


def _shard_corpus(tmp_path: Path, content: bytes) -> Corpus:
    root = write_corpus(tmp_path / "root", {"test.jsonl.zst": content})
    return open_corpus(root, tmp_path / "cache")


def _until_error(corpus: Corpus, *, jsonl: bool = False) -> tuple[int, AssayError]:
    """Documents delivered before the error."""
    selection = corpus.resolve(Selection())
    codec = CursorCodec(corpus.ref.digest, selection.digests())
    delivered = 0
    with pytest.raises(AssayError) as caught:  # noqa: PT012  the loop is what raises
        for chunk in chunks(corpus.shards, selection, codec, jsonl=jsonl):
            if chunk:
                delivered += len(chunk.documents) + chunk.lines.count(b"\n")
    return delivered, caught.value


@pytest.mark.parametrize("jsonl", [True, False])
def test_damage_comes_after_every_document_before_it(tmp_path: Path, jsonl: bool) -> None:
    good = compress(b"".join(_lines("test", 20)))
    corpus = _shard_corpus(tmp_path, good + compress(b"".join(_lines("more", 20)))[:-20])
    delivered, error = _until_error(corpus, jsonl=jsonl)
    assert delivered == 20
    assert isinstance(error, DataLoss)
    assert error.shard == "test.jsonl.zst"
    assert str(tmp_path) not in str(error)


def test_a_line_without_text_is_named_after_the_documents_before_it(tmp_path: Path) -> None:
    lines = [line("a"), line("b"), b'{"meta": {"pile_set_name": "Github"}}\n', line("c")]
    delivered, error = _until_error(_shard_corpus(tmp_path, compress(b"".join(lines))))
    assert delivered == 2
    assert isinstance(error, DataLoss)
    assert str(error).startswith('test.jsonl.zst: line 2 has no "text"; it has "meta" (--skip')


def test_a_meta_that_fits_in_no_message_is_refused_with_a_way_out(tmp_path: Path) -> None:
    big = line("b", None, meta={"x": "y" * MAX_META_BYTES})
    corpus = _shard_corpus(tmp_path, compress(line("a") + big))
    delivered, error = _until_error(corpus)
    assert delivered == 1
    assert isinstance(error, TooLarge)
    assert "test.jsonl.zst:1: its meta" in str(error)
    assert "DELIVERY_JSONL" in str(error)
    # Scoring has no messages, and no such limit.
    assert len(list(corpus.documents(corpus.resolve(Selection())))) == 2


def _position(codec: CursorCodec, cursor: bytes) -> LinePosition | None:
    position = codec.decode(cursor) if cursor else None
    assert position is None or isinstance(position, LinePosition)
    return position


def test_cursors_that_name_no_place_are_refused(corpus: Corpus) -> None:
    selection = corpus.resolve(Selection(splits=("val",)))
    codec = CursorCodec(corpus.ref.digest, selection.digests())
    for shard, number, problem in (
        ("test.jsonl.zst", 0, "not in the selection"),
        ("val.jsonl.zst", 26, "names line 26 of val.jsonl.zst, which has 25"),
    ):
        place = LinePosition(shard, number, 1, 0)
        with pytest.raises(InvalidArgument, match=problem):
            list(chunks(corpus.shards, selection, codec, position=place))


def test_nothing_is_read_ahead(corpus: Corpus) -> None:
    """A chunk is made when it is asked for: damage behind it is not met."""
    selection = corpus.resolve(Selection())
    codec = CursorCodec(corpus.ref.digest, selection.digests())
    stream = chunks(corpus.shards, selection, codec, jsonl=True, limits=Limits(chunk_bytes=1))
    first = next(stream)
    assert first is not None
    assert first.lines == LINES["train/00.jsonl.zst"][0]
    stream.close()


def test_damage_is_told_with_the_cursor_after_it_also_before_a_document_in_fragments() -> None:
    skipped = SkippedFrame(DamagedFrame("a", 0, 0, "is damaged"), 1)
    item = Item(None, b"x" * 25, LinePosition("a", 1, 1, 0), (skipped,))
    codec = CursorCodec("sha256:" + "0" * 64, Selection().digests())
    found = [one for one in cut_items(iter([item]), codec, Limits(fragment_bytes=10)) if one]
    assert [one.damaged for one in found] == [(), (), (skipped,)]
    assert [bool(one.cursor) for one in found] == [False, False, True]
