from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.corpus.shards.documents import Document, parse_line, subset_of
from services.corpus.shards.records import BadLineError

# Any string that JSON can spell: lone surrogates included.
ANY_TEXT = st.text(st.characters(exclude_categories=()))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["Github", "Wikipedia (en)", 'a"b', "a\\b", "é", "", "\udc80"])
META = st.fixed_dictionaries({}, optional={"pile_set_name": NAMES | VALUES, "x": VALUES})
RECORDS = st.fixed_dictionaries(
    {},
    optional={"text": ANY_TEXT | VALUES, "meta": META | VALUES, "id": VALUES},
)


def _reference(line: bytes) -> tuple[bytes, str, Any, bool] | None:
    """Text, subset, meta and whether there is one, by Python's json alone; None for a bad line."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        return None
    meta = value.get("meta")
    name = meta.get("pile_set_name") if isinstance(meta, dict) else None
    subset = name.encode("utf-8", "backslashreplace").decode() if isinstance(name, str) else ""
    return value["text"].encode("utf-8", "surrogatepass"), subset, meta, "meta" in value


def _agrees(line: bytes) -> None:
    expected = _reference(line)
    if expected is None:
        with pytest.raises(BadLineError):
            parse_line(line, "test.jsonl.zst", 3)
        return
    text, subset, meta, has_meta = expected
    found = parse_line(line, "test.jsonl.zst", 3)
    assert (found.text, found.subset) == (text, subset)
    assert (found.id, found.shard, found.line) == ("test.jsonl.zst:3", "test.jsonl.zst", 3)
    assert bool(found.meta) == has_meta
    assert found.meta in line
    if has_meta:
        # Compared as spelled, for a NaN is not equal to itself.
        assert json.dumps(json.loads(found.meta)) == json.dumps(meta)
    assert subset_of(line) == subset


@given(RECORDS, st.booleans(), st.sampled_from([None, (",", ":"), (" , ", " : ")]))
def test_every_record_is_read_as_json_reads_it(
    record: dict[str, Any], ascii_only: bool, separators: tuple[str, str] | None
) -> None:
    spelled = json.dumps(record, ensure_ascii=ascii_only, separators=separators)
    _agrees(spelled.encode("utf-8", "surrogatepass"))


@given(ANY_TEXT, NAMES)
def test_the_piles_own_form(text: str, subset: str) -> None:
    _agrees(json.dumps({"text": text, "meta": {"pile_set_name": subset}}).encode())


@given(st.binary(max_size=200))
def test_any_bytes_are_a_document_or_a_clear_error(data: bytes) -> None:
    try:
        found = parse_line(data, "test.jsonl.zst", 0)
    except BadLineError as error:
        known = ("is not JSON (", 'has no "text"', "is a ", "is null", "is true")
        assert str(error).startswith(known)  # noqa: PT017
    else:
        assert isinstance(found, Document)


@given(
    st.lists(
        st.sampled_from(
            ['{"text": "', '", "meta": {"pile_set_name": "', '"}}', '"', "\\", "{", "}", ",",
             '"meta": ', '"x": ', ":", "a", " ", "\\ud800", "[", "]", "1", "\n", "é"]
        ),
        max_size=12,
    )
)  # fmt: skip
def test_pieces_of_lines_in_any_order(pieces: list[str]) -> None:
    line = "".join(pieces).encode()
    _agrees(line) if b"\n" not in line.strip() else None


@pytest.mark.parametrize(
    "line",
    [
        # The common form's end, with something else in front.
        b'{"text": "a", "x": {"text": "b", "meta": {"pile_set_name": "Github"}}}',
        b'{"text": "a", "meta": {"pile_set_name": "Early"}, "x": {"meta": {"pile_set_name": "L"}}}',
        b'{"text": "\\", \\"meta\\": {\\"pile_set_name\\": \\"Github\\"}}"}',
        b'{"x": "\\", "meta": {"pile_set_name": "Github"}}',
        b'{"text": "a", "meta": {"pile_set_name": "A"}, "meta": {"pile_set_name": "B"}}',
        b'{"text": "a", "text": "b"}',
        b'{"text": "a", "x": "", "meta": {"pile_set_name": "a\xff"}}',
        b'{"text": "a", "meta": {"pile_set_name": "A", "pile_set_name": "B"}}',
        b'{"text": "a", "meta": {"n": NaN}}',
        b'  {"text": "a"}  ',
        b'{"text": "a"}\r',
    ],
)
def test_forms_that_could_be_mistaken_for_the_common_one(line: bytes) -> None:
    _agrees(line)


def test_a_lone_surrogate_keeps_its_three_bytes() -> None:
    found = parse_line(b'{"text": "a\\ud800b", "meta": {"pile_set_name": "x"}}', "t", 0)
    assert found.text == b"a\xed\xa0\x80b"
    assert found.meta == b'{"pile_set_name": "x"}'


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert parse_line(b'{"text": "\\ud83d\\ude00"}', "t", 0).text == "😀".encode()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b'{"text": "a"} x', "is not JSON"),
        (b"[1]", "is a list, not a JSON object"),
        (b"7", "is a number, not a JSON object"),
        (b"null", "is null, not a JSON object"),
        (b'{"text": "x", "n": ' + b"9" * 5000 + b"}", "an integer of more than 4,300 digits"),
        (b'"text"', "is a string, not a JSON object"),
        (b'{"meta": {"pile_set_name": "Github"}}', 'has no "text"'),
        (b'{"text": null}', 'has no "text"'),
        (b'{"text": "\xff"}', "is not JSON"),
        (b'{"text": "a", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    ],
)
def test_bad_lines_say_why(line: bytes, problem: str) -> None:
    with pytest.raises(BadLineError, match=problem):
        parse_line(line, "t", 0)
