from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from services.common import strict_documents
from services.common.strict_documents import Document
from services.errors import InvalidArgument, Violation


class Part(Document):
    name: Annotated[str, Field(min_length=1)]
    share: float

    def problems(self) -> list[Violation]:
        return [("share", f"is {self.share}, which is over 1")] if self.share > 1 else []


class Whole(Document):
    kind: Literal["plain", "striped"]
    count: Annotated[int, Field(ge=0)]
    parts: tuple[Part, ...]
    corner: tuple[int, int]
    digests: Mapping[str, str]
    note: str | None = None

    def problems(self) -> list[Violation]:
        found = []
        if len(self.parts) != self.count:
            found.append(("count", f"is {self.count}, of {len(self.parts)} parts"))
        if "a" not in self.digests:
            found.append(("digests", "lacks 'a'"))
        return found


VALID: dict[str, object] = {
    "kind": "plain",
    "count": 1,
    "parts": [{"name": "one", "share": 1}],
    "corner": [0, 1],
    "digests": {"a": "b"},
}


def test_a_valid_document_is_read_with_tuples_for_lists() -> None:
    whole = strict_documents.validate(Whole, VALID)
    assert whole.parts == (Part(name="one", share=1.0),)
    assert whole.corner == (0, 1)
    assert strict_documents.read(Whole, json.dumps(VALID).encode(), "a.json") == whole


def test_every_error_is_told_at_once_with_its_path() -> None:
    value = {
        "kind": "round",
        "count": True,
        "parts": [{"name": "", "share": "1"}, 3, {"name": "x", "share": 2, "colour": 1}],
        "corner": [0],
        "digests": {"a": 1},
        "note": 5,
    }
    with pytest.raises(InvalidArgument) as caught:
        strict_documents.validate(Whole, value, "whole")
    assert dict(caught.value.violations) == {
        "whole.kind": "must be 'plain' or 'striped', not \"round\"",
        "whole.count": "must be an integer, not true",
        "whole.parts[0].name": 'must have at least 1 character, not ""',
        "whole.parts[0].share": 'must be a number, not "1"',
        "whole.parts[1]": "must be an object, not 3",
        "whole.parts[2].colour": "is not a known key; known: name, share",
        "whole.corner[1]": "is missing",
        "whole.digests.a": "must be a string, not 1",
        "whole.note": "must be a string, not 5",
    }
    assert all(
        f"{path}: {problem}" in str(caught.value) for path, problem in caught.value.violations
    )


@pytest.mark.parametrize(
    ("changes", "violation"),
    [
        ({"not": 1}, ("not", "is not a known key; did you mean note?")),
        ({"colour": 1}, ("colour", "known: kind, count, parts, corner, digests, note")),
        ({"parts": [{"name": "x", "shares": 1}]}, ("parts[0].shares", "did you mean share?")),
    ],
)
def test_an_unknown_key_is_told_with_the_known_ones(
    changes: dict[str, object], violation: Violation
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        strict_documents.validate(Whole, VALID | changes)
    found = dict(caught.value.violations)
    assert found[violation[0]].endswith(violation[1])


def test_rules_of_several_parts_are_told_at_once() -> None:
    with pytest.raises(InvalidArgument) as caught:
        strict_documents.validate(Whole, {**VALID, "count": 2, "digests": {}})
    assert caught.value.violations == (
        ("count", "is 2, of 1 parts"),
        ("digests", "lacks 'a'"),
    )
    parts = [{"name": "one", "share": 3}, {"name": "two", "share": 2}]
    with pytest.raises(InvalidArgument) as caught:
        strict_documents.validate(Whole, {**VALID, "parts": parts})
    assert [path for path, _ in caught.value.violations] == ["parts[0].share", "parts[1].share"]


@pytest.mark.parametrize(
    ("changes", "violation"),
    [
        ({"parts": "one"}, ("parts", 'must be a list, not "one"')),
        ({"corner": [1, 2, 3]}, ("corner", "must have at most 2 items, not 3")),
        (
            {"digests": {"a": "x", "\ud800": "x"}},
            ("digests", '"\\ud800" holds half of a surrogate'),
        ),
        ({"note": "\ud800"}, ("note", '"\\ud800" holds half of a surrogate')),
        ({"digests": {3: "x"}}, ("digests[3]", "must be a string, not 3")),
        ({"count": 1.0}, ("count", "must be an integer, not 1.0")),
        ({"count": -1}, ("count", "must be greater than or equal to 0, not -1")),
    ],
)
def test_what_is_wrong_is_said_plainly(changes: dict[str, object], violation: Violation) -> None:
    with pytest.raises(InvalidArgument) as caught:
        strict_documents.validate(Whole, {**VALID, **changes})
    ((path, problem),) = caught.value.violations
    assert path == violation[0]
    assert problem.startswith(violation[1])


@pytest.mark.parametrize("share", [10**400, float("nan"), float("inf")])
def test_numbers_are_finite(share: float) -> None:
    with pytest.raises(InvalidArgument) as caught:
        strict_documents.validate(Whole, {**VALID, "parts": [{"name": "one", "share": share}]})
    assert caught.value.field == "parts[0].share"


def test_something_else_than_an_object_is_no_document() -> None:
    with pytest.raises(InvalidArgument, match=r"^document: must be an object, not \[\]$"):
        strict_documents.validate(Whole, [])
    with pytest.raises(InvalidArgument, match=r"^whole: must be an object, not 1$"):
        strict_documents.validate(Whole, 1, "whole")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not valid JSON"),
        (b"\xff", "not UTF-8 at byte 0"),
        (b'{"kind": NaN}', "NaN is not JSON"),
        (b'{"kind": 1, "kind": 1}', "key 'kind' appears twice"),
        (b"[" * 100_000, "nested too deep"),
        (b"[" * 800 + b"]" * 800, "nested too deep"),
        (b'{"kind": 1}', "parts: is missing; corner: is missing"),
    ],
)
def test_a_file_that_is_no_document_is_named(data: bytes, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem) as caught:
        strict_documents.read(Whole, data, "here.json")
    assert caught.value.field == "here.json"


def test_a_copy_is_checked() -> None:
    whole = strict_documents.validate(Whole, VALID)
    assert whole.replaced(note="x").note == "x"
    with pytest.raises(ValidationError, match="count: is 5, of 1 parts"):
        whole.replaced(count=5)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=5,
    ),
    st.sampled_from(sorted({*VALID, "note", "other"})),
)
def test_any_value_is_read_exactly_or_refused(value: object, key: str) -> None:
    try:
        whole = strict_documents.validate(Whole, {**VALID, key: value})
    except InvalidArgument:
        return
    assert strict_documents.validate(Whole, json.loads(whole.model_dump_json())) == whole
