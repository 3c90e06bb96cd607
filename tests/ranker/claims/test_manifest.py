from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import InvalidArgument
from services.ranker.claims.bounds import Equals, Range, Ratio, Text
from services.ranker.claims.manifest import parse
from services.ranker.claims.model import Artifact, Page, Source, Verdict
from services.ranker.claims.registry import parse_text

CLAIM: dict[str, Any] = {
    "id": "C1",
    "statement": "It is small.",
    "bound": {"equals": {"value": 3, "tolerance": 1}, "unit": "subsets"},
    "method": "composition.subset_count@1",
}
ARTIFACT: dict[str, Any] = {
    "kind": "artifact",
    "schema": 1,
    "id": "thing",
    "name": "A thing",
    "type": "DATASET",
    "description": "What it is.",
    "license": {"id": "MIT", "name": "MIT"},
    "pricing": "Free",
    "capabilities": [{"id": "a", "name": "A", "description": "Does a."}],
    "claims": [CLAIM],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The manifest with the value at `path` ("claims.0.bound") set."""
    manifest = copy.deepcopy(ARTIFACT)
    place: Any = manifest
    *way, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    for key in way:
        place = place[key]
    place[last] = value
    return manifest


def test_a_manifest_becomes_an_artifact() -> None:
    artifact = parse(ARTIFACT, "thing.yaml")
    assert isinstance(artifact, Artifact)
    assert artifact.claims[0].artifact == "thing"
    assert artifact.claims[0].bound == Equals(3, 1, "subsets")
    assert artifact.digest.startswith("sha256:")


def test_the_digest_is_of_the_content() -> None:
    again = dict(reversed(list(ARTIFACT.items())))
    assert parse(again, "other name").digest == parse(ARTIFACT, "thing.yaml").digest
    assert parse(changed("pricing", "Dear"), "x").digest != parse(ARTIFACT, "x").digest
    # Databases keep it: a manifest whose content gives another is not restored.
    kept = {
        **CLAIM,
        "aspect": "size",
        "group": "size",
        "bound": {"equals": {"value": 3, "tolerance": 1}, "unit": "MB"},
        "method": "model_facts.parameter_count@1",
    }
    assert parse(changed("claims.0", kept), "x").digest == (
        "sha256:fd924f5938ae05a7c5a1e1f1817514f46550f3abe026a78959aede3c33814c3a"
    )


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        ({"range": {"low": 1, "high": 2}, "unit": "s"}, Range(1, 2, "s")),
        ({"range": {"low": 1}, "unit": "s"}, Range(1, None, "s")),
        ({"ratio": {"high": 0.1}, "unit": "1"}, Ratio(None, 0.1, "1")),
        ({"text": "3-8-27-3"}, Text("3-8-27-3")),
    ],
)
def test_bounds(bound: dict[str, Any], expected: object) -> None:
    artifact = parse(changed("claims.0.bound", bound), "x")
    assert isinstance(artifact, Artifact)
    assert artifact.claims[0].bound == expected


@pytest.mark.parametrize(
    ("path", "value", "place", "advice"),
    [
        ("claims.0.tolerence", 1, "claims[C1].tolerence", "not a known key"),
        ("claims.0.bound", {"equals": {"value": 3, "tolerance": 1}}, "bound.unit", "need a unit"),
        ("claims.0.bound", {"equals": {"value": 3}, "unit": "s"}, "equals.tolerance", "is missing"),
        (
            "claims.0.bound",
            {"equals": {"value": 3, "tolerance": -1}, "unit": "s"},
            "equals.tolerance",
            "0 or more",
        ),
        ("claims.0.bound", {"range": {"low": 2, "high": 1}, "unit": "s"}, "range.low", "above"),
        ("claims.0.bound", {"range": {}, "unit": "s"}, "range.low", "both"),
        ("claims.0.bound", {"text": "a", "boolean": True}, "bound", "exactly one"),
        ("claims.0.bound", {}, "bound", "exactly one"),
        ("claims.0.bound", {"text": "a", "unit": "s"}, "bound.unit", "no unit"),
        ("claims.0.aspect", "speeed", "claims[C1].aspect", "did you mean 'speed'?"),
        ("claims.0.statement", " ", "claims[C1].statement", "at least 1 character"),
        ("claims.0.cost", {"quick": 9, "full": 1}, "cost.quick", "not below"),
        (
            "claims.0.undecidable",
            {"verdict": "REFUTED", "reason": "r"},
            "verdict",
            "must be 'NOT_TESTABLE_HERE' or",
        ),
        ("kind", "agent", "x.kind", "'agent' is not one of artifact, page"),
        ("claims.0.method", None, "claims[C1].method", "must have a value"),
        ("claims.0.bound.equals.value", True, "equals.value", "must be a number, not True"),
        ("version", 1.5, "x.version", "must be an integer"),
        ("claims", [CLAIM, CLAIM], "claims[1].id", "twice"),
        ("claims", {}, "claims", "must be a list"),
        ("type", "Data set", "x.type", "did you mean 'DATASET'?"),
        ("type", "AGENT", "x.type", "not one of SEGMENTATION_MODEL, DATASET"),
        ("schema", 2, "x.schema", "must be 1, not 2"),
        ("released", "soon", "x.released", "a day in quotes"),
        ("license", "MIT", "x.license", "must be an object"),
        ("capabilities.0.id", 3, "capabilities[0].id", "must be a string, not 3"),
        ("published", {"value": 1, "source": "s", "components": {"quality": 2}}, "quality", "0 or"),
        (
            "published",
            {"value": 1, "source": "s", "components": {"fun": 1}},
            "components.fun",
            "must be 'adoption'",
        ),
    ],
)
def test_what_is_wrong_is_named(path: str, value: Any, place: str, advice: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        parse(changed(path, value), "x")
    assert place in str(error.value)
    assert advice in str(error.value)


@pytest.mark.parametrize(
    "character",
    [
        *"\x1b\r\x08\x9b\u202e\u2066\u200b\u2060\ufeff\xad",
        *"\u061c\u200e\u200f\u2028\u2029\u034f\u115f\u180e\u3164\ufff9\U000e0041",
    ],
)
@pytest.mark.parametrize(
    ("key", "place"),
    [("statement", "claims[C1].statement"), ("quote", "claims[C1].quote")],
)
def test_what_would_show_as_something_else_is_refused(character: str, key: str, place: str) -> None:
    """A verdict is printed beside what it is on: no text of a manifest may overwrite it."""
    document = copy.deepcopy(ARTIFACT)
    document["claims"][0][key] = f"It is good.{character}[2K"
    with pytest.raises(InvalidArgument, match="has the control character") as error:
        parse(document, "m")
    assert [name for name, _ in error.value.violations] == [f"m.{place}"]
    joined = "\u06cc\u200c\u0634, \u2764\ufe0f\u200d"
    document["claims"][0][key] = f"Two lines,\n\tone indented: \u05e9\u05dc\u05d5\u05dd, {joined}"
    parse(document, "m")


@pytest.mark.parametrize(
    "more", [{"subsets": ["a\x1b"]}, {"files": {"a\x1b": "sha256:" + "00" * 32}}]
)
def test_names_in_lists_and_mappings_have_no_control_characters(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="has the control character"):
        parse({**copy.deepcopy(ARTIFACT), **more}, "m")


def test_a_claim_has_a_bound_and_a_method_or_a_reason() -> None:
    for missing in ("bound", "method"):
        manifest = copy.deepcopy(ARTIFACT)
        del manifest["claims"][0][missing]
        with pytest.raises(InvalidArgument, match="undecidable"):
            parse(manifest, "x")
    manifest = copy.deepcopy(ARTIFACT)
    del manifest["claims"][0]["bound"]
    manifest["claims"][0]["undecidable"] = {"verdict": "UNDERSPECIFIED", "reason": "of what?"}
    artifact = parse(manifest, "x")
    assert isinstance(artifact, Artifact)
    undecidable = artifact.claims[0].undecidable
    assert undecidable is not None
    assert undecidable.verdict is Verdict.UNDERSPECIFIED


def test_a_page() -> None:
    page = parse(
        {
            "kind": "page",
            "schema": 1,
            "id": "page",
            "name": "P",
            "description": "D",
            "compares": ["a", "b"],
            "printed": {"a": {"times_matched": 0}},
            "claims": [CLAIM],
        },
        "page.yaml",
    )
    assert isinstance(page, Page)
    assert page.printed == {"a": {"times_matched": 0}}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"a: [", "not YAML"),
        (b"\xff\xfe", "not YAML"),
        (b"kind: artifact\nkind: page\n", "appears twice"),
        (b"a: &x [1]\nb: *x\n", "no aliases"),
        (b"- 1\n", "must be an object"),
        (b"", "must be an object"),
        (b"1: 2\n", "[1]: must be strings"),
        (b"? [1, 2]\n: 3\n", "not YAML"),
        (b"kind: !!python/object/apply:os.system [ls]\n", "not YAML"),
    ],
)
def test_text_that_is_no_manifest(text: bytes, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^x\.yaml") as error:
        parse_text(text, "x.yaml")
    assert problem in str(error.value)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    with pytest.raises(InvalidArgument):
        parse_text(text, "x.yaml")


_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(
    st.sampled_from([*ARTIFACT, *(f"claims.0.{key}" for key in CLAIM), "claims.0.bound.equals"]),
    _json,
)
def test_any_value_anywhere_is_read_or_refused(path: str, value: object) -> None:
    with suppress(InvalidArgument):
        parse(changed(path, value), "x")


CITED: dict[str, Any] = {
    **CLAIM,
    "quote": "made of three parts",
    "source": {"title": "A page", "url": "https://example.org/page"},
    "scope": "one scale",
    "dataset": "the test split",
    "comparator": {"artifact": "the-pile"},
    "sources": [
        {
            "title": "A paper",
            "locator": "Table 1, row 2",
            "url": "https://example.org",
            "date": "2021-05",
            "quote": "three",
            "says": [3, 4.5],
        },
        {"title": "A letter"},
    ],
}


def test_a_claim_says_what_the_page_says_where_and_what_it_cites() -> None:
    artifact = parse(changed("claims.0", CITED), "x")
    assert isinstance(artifact, Artifact)
    claim = artifact.claims[0]
    assert (claim.quote, claim.source) == (
        "made of three parts",
        Source("A page", url="https://example.org/page"),
    )
    assert (claim.scope, claim.dataset) == ("one scale", "the test split")
    assert (claim.comparator, claim.rival) == ("the-pile", "the-pile")
    paper, letter = claim.sources
    assert (paper.locator, paper.date, paper.values) == ("Table 1, row 2", "2021-05", (3, 4.5))
    assert (letter.values, letter.says) == ((), None)
    assert claim.declared
    without = parse(ARTIFACT, "x")
    assert isinstance(without, Artifact)
    assert not without.claims[0].declared


@pytest.mark.parametrize(
    ("path", "value", "place", "advice"),
    [
        ("sources.0.says", "three", "claims[C1].sources[0].says", "of another kind than the bound"),
        ("sources.0.says", True, "claims[C1].sources[0].says", "of another kind than the bound"),
        ("sources.0.says", [], "sources[0].says", "is empty"),
        ("sources.0.says", [True], "sources[0].says", "must be a number"),
        ("sources.0.date", "May 2021", "sources[0].date", "must be a date in quotes"),
        ("sources.0.date", "2021-13", "sources[0].date", "must be a date in quotes"),
        ("sources.1.role", "RECORD", "sources[1].role", "not a known key"),
        ("comparator", {}, "claims[C1].comparator.name", "name what it compares with"),
        ("artifact", "the-pile", "claims[C1].artifact", "not a known key"),
    ],
)
def test_what_is_wrong_with_what_is_cited(path: str, value: Any, place: str, advice: str) -> None:
    manifest = changed("claims.0", copy.deepcopy(CITED))
    target: Any = manifest["claims"][0]
    *way, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    for key in way:
        target = target[key]
    target[last] = value
    with pytest.raises(InvalidArgument) as error:
        parse(manifest, "x")
    assert any(place in where and advice in told for where, told in error.value.violations)
