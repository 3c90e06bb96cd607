from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.corpus.stream.cursor import CursorCodec, LinePosition
from services.corpus.stream.resume import RankPosition
from services.corpus.stream.selection import Selection
from services.errors import InvalidArgument, PreconditionFailed

GOLDEN = Path(__file__).parent / "golden"
CORPUS = "sha256:" + "0123456789abcdef" * 4
SELECTION = Selection(splits=("train", "val"), subsets=frozenset({"Github"}), max_documents=100)
CODEC = CursorCodec(CORPUS, SELECTION.digests())
POSITION = LinePosition("train/00.jsonl.zst", 1234, 56, 7890)
COUNTS = st.integers(0, (1 << 63) - 1)
POSITIONS = st.builds(LinePosition, st.text(min_size=1), COUNTS, COUNTS, COUNTS)


def _spell(body: bytes) -> bytes:
    """What holds `body`, with a checksum that fits."""
    data = b"assay-cursor\x00" + body
    return data + zlib.crc32(data).to_bytes(4, "big")


def _fields(**changes: Any) -> bytes:
    fields = json.loads(CODEC.encode(POSITION)[13:-4])
    fields.update(changes)
    return _spell(json.dumps(fields, separators=(",", ":")).encode())


@example(LinePosition("train/a\nb\r\u2028.jsonl", 1, 2, 3))  # a file's name may have line breaks
@given(POSITIONS)
def test_a_position_comes_back(position: LinePosition) -> None:
    assert CODEC.decode(CODEC.encode(position)) == position


def test_cursors_given_out_by_version_2_are_read_for_good() -> None:
    stored = (GOLDEN / "cursor-v2.bin").read_bytes()
    assert CODEC.decode(stored) == POSITION
    assert CODEC.encode(POSITION) == stored


@given(st.binary(max_size=600) | st.binary(max_size=600).map(_spell))
def test_any_bytes_are_refused_clearly(data: bytes) -> None:
    with pytest.raises((InvalidArgument, PreconditionFailed), match=r"^cursor: "):
        CODEC.decode(data)


@pytest.mark.slow
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["version", "corpus", "selection", "shard", "line", "splits"]),
                inner,
            )
        ),
    )
)
def test_any_json_is_refused_clearly(value: Any) -> None:
    with pytest.raises((InvalidArgument, PreconditionFailed), match=r"^cursor: "):
        CODEC.decode(_spell(json.dumps(value).encode()))


@given(st.data())
def test_a_changed_byte_is_noticed(data: st.DataObject) -> None:
    cursor = bytearray(CODEC.encode(POSITION))
    cursor[data.draw(st.integers(0, len(cursor) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InvalidArgument, match="unchanged"):
        CODEC.decode(bytes(cursor))


@pytest.mark.parametrize(
    "changes",
    [
        {"line": -1},
        {"line": 1 << 63},
        {"line": 1.0},
        {"line": True},
        {"line": None},
        {"shard": ""},
        {"shard": 3},
        {"corpus": "sha256:short"},
        {"selection": {}},
        {"selection": []},
        {"documents": "5"},
        {"extra": 1},
    ],
)
def test_fields_out_of_range_are_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=r"^cursor: "):
        CODEC.decode(_fields(**changes))


def test_the_place_of_a_rank_travels_as_well() -> None:
    for place in (RankPosition((), 3, 7, 3), RankPosition(((4, 17), (9, 0)), 13, 5, 2)):
        assert CODEC.decode(CODEC.encode(place)) == place
    for wrong in (
        RankPosition(((4, 1), (4, 2)), 13, 5, 2),
        RankPosition(((14, 1),), 13, 5, 2),
        RankPosition((), 1, 2, 2),
    ):
        with pytest.raises(InvalidArgument):
            CODEC.decode(CODEC.encode(wrong))


def test_other_spellings_are_malformed() -> None:
    fields = json.loads(CODEC.encode(POSITION)[13:-4])
    for spelled in (
        json.dumps(fields),
        json.dumps(dict(reversed(fields.items())), separators=(",", ":")),
        json.dumps(fields, separators=(",", ":")) + " ",
    ):
        with pytest.raises(InvalidArgument, match="another way"):
            CODEC.decode(_spell(spelled.encode()))


def test_a_cursor_of_another_corpus_names_both() -> None:
    other = CursorCodec("sha256:" + "f" * 64, SELECTION.digests())
    with pytest.raises(PreconditionFailed, match=f"{CORPUS}.*sha256:ffff"):
        other.decode(CODEC.encode(POSITION))


@pytest.mark.parametrize(
    ("part", "selection"),
    [
        ("splits", Selection(("train",), frozenset({"Github"}), max_documents=100)),
        ("subsets", Selection(("train", "val"), max_documents=100)),
        ("limits", Selection(("train", "val"), frozenset({"Github"}), max_documents=101)),
    ],
)
def test_a_cursor_of_another_selection_names_what_differs(part: str, selection: Selection) -> None:
    with pytest.raises(PreconditionFailed, match=f"other {part}"):
        CursorCodec(CORPUS, selection.digests()).decode(CODEC.encode(POSITION))


def test_a_cursor_of_another_version_names_both() -> None:
    with pytest.raises(PreconditionFailed, match=r"version 1.*version 2"):
        CODEC.decode(_fields(version=1))
