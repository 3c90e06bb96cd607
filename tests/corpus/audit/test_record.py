from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.corpus.audit.court import judge
from services.corpus.audit.record import lines, parse
from services.corpus.audit.tokenizer import ByteCutter, FileCutter, open_cutter
from services.corpus.audit.verdict import Mistake, Status
from services.errors import InvalidArgument


def _parse(value: Any) -> Any:
    return parse(json.dumps(value).encode())


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(InvalidArgument) as caught:
        _parse(
            {
                "totals": {"tokens": -1, "loss": "2", "speed": 3},
                "window": 1.5,
                "documents": [{"id": 3}, {"sha256": "xyz"}, 7, {"token_nats": [1, "a"]}],
            }
        )
    message = str(caught.value)
    for part in (
        "bits_per_byte: is missing",
        "totals.tokens: is -1; must be a whole number",
        "totals.loss: is '2'; must be a number",
        "totals.speed: is not a field; the fields are tokens",
        "window: is 1.5; must be a whole number",
        "documents[0].id: is 3; must be a string",
        "documents[1].sha256: must be 64 digits",
        "documents[2]: must be an object",
        "documents[3].token_nats: must be a list of numbers",
    ):
        assert part in message
    assert "has 9 problem(s)" in message


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b'{"bits_per_byte": ' + b"9" * 5000 + b"}", "must be a number that is not as large"),
        (b'{"bits_per_byte": 1, "window": ' + b"9" * 5000 + b"}", "must be a whole number"),
        (b'{"documents": [{"token_nats": [' + b"9" * 5000 + b"]}]}", "must be a list of numbers"),
        (b'{"bits_per_byte": 1e99999999999999999999}', "is not a number that can be read"),
        (b'{"bits_per_byte": 1e-99999999999999999999}', "is not a number that can be read"),
        (b"[" * 100_000, "is nested too deeply to be a record"),
        (b'{"bits_per_byte": 1, "\\ud800": 1}', "record.\ufffd: is not a field"),
    ],
)
def test_what_python_cannot_read_is_said_without_python(data: bytes, problem: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(data)
    assert problem in str(caught.value)
    str(caught.value).encode()


def test_many_problems_are_counted() -> None:
    with pytest.raises(InvalidArgument, match="and 30 more"):
        _parse({"bits_per_byte": 1, "documents": [0] * 50})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[1]\n[2",
        b"\xff",
        b'{"bits_per_byte": NaN}',
        b"3",
        b'{"format": "other"}',
        b'{"bits_per_byte": 1e999}',
    ],
)
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument, match=r"^record: "):
        parse(data)


def test_ids_are_of_one_document() -> None:
    with pytest.raises(InvalidArgument, match=r"documents\[1\].id: 'a' is the id of another"):
        _parse({"bits_per_byte": 1, "documents": [{"id": "a"}, {"id": "a"}]})


def test_json_lines_say_the_same() -> None:
    record = {
        "bits_per_byte": 1.5,
        "tokenizer": "bytes",
        "documents": [{"id": "a", "text": "x\u2028y"}, {"id": "b", "bytes": 3}],
    }
    assert parse(b"".join(lines(record))) == _parse(record)


def test_a_figure_is_as_exact_as_it_is_printed() -> None:
    claim = parse(b'{"bits_per_byte": 1.10}').claim
    assert claim.equals(1.1049)
    assert not claim.equals(1.107)


@pytest.mark.slow
@given(st.recursive(st.none() | st.integers() | st.text(max_size=4), st.lists))
def test_any_value_is_refused_or_read(value: Any) -> None:
    with pytest.raises(InvalidArgument):
        _parse({"bits_per_byte": value if not isinstance(value, int) else "x"} | {"totals": 1})


@pytest.mark.parametrize(
    ("record", "named"),
    [
        ({"bits_per_byte": -0.5}, "never negative"),
        ({"totals": {"loss": -2.1}}, "log-likelihood with its sign"),
        ({"tokenizer": "bytes", "totals": {"tokens": 120, "bytes": 90}}, "tokens of a byte model"),
        ({"totals": {"tokens": 120, "bytes": 90}}, "a token stands for one byte or more"),
        ({"totals": {"bytes": 90, "characters": 100}}, "1 to 4 bytes"),
        ({"totals": {"bytes": 500, "characters": 100}}, "1 to 4 bytes"),
        ({"totals": {"tokens": 5, "scored_tokens": 6}}, "6 tokens scored of 5"),
        ({"totals": {"perplexity": 0.5}}, "never below 1"),
        ({"totals": {"perplexity": 9.0, "loss": 2.0}}, "exponential is 7.389"),
        ({"totals": {"tokens": 0, "nats": 1.0}}, "for no tokens"),
        ({"documents": [{"id": "a", "bytes": 0, "bits_per_byte": 1}]}, "of no bytes"),
        ({"totals": {"perplexity": 5.0, "loss": 800.0}}, "exponential is larger"),
        ({"totals": {"bytes": 0}}, "of no bytes"),
        ({"evaluation_set": {"bytes": 0}}, "of no bytes"),
        ({"documents": [{"id": "a", "bytes": 0}]}, "of no bytes"),
        ({"documents": [{"id": "a", "text": ""}]}, "of no bytes"),
        ({"bits_per_byte": 0, "totals": {"tokens": 7, "bytes": 9}}, "over 7 scored tokens"),
        (
            {"bits_per_byte": 0.0, "documents": [{"id": "a", "tokens": 3, "bytes": 9, "nats": 0}]},
            "over 3 scored tokens",
        ),
        (
            {"documents": [{"id": "a", "tokens": 31, "token_nats": [None, 3.2, 0.7]}]},
            "document a has 31 tokens, and the likelihoods of 3",
        ),
        (
            {"documents": [{"id": "a", "tokens": 2, "token_nats": [1, 3.2, 0.7]}]},
            "document a has 2 tokens, and the likelihoods of 3",
        ),
        ({"documents": [{"id": "a", "token_nats": [-0.5, 1]}]}, "no probability is above 1"),
        ({"documents": [{"id": "a", "text": "x", "sha256": "0" * 64}]}, "SHA-256 is not of"),
        ({"documents": [{"id": "a", "text": "xy", "characters": 3}]}, "said to have 3 characters"),
        ({"documents": [{"id": "a", "text": "xy", "source_bytes": 3}]}, "a source of 3 bytes"),
        (
            {
                "totals": {"bytes": 9},
                "documents": [{"id": "a", "bytes": 3}, {"id": "b", "bytes": 5}],
            },
            "add up to 8",
        ),
        (
            {"totals": {"nats": 9.0}, "documents": [{"id": "a", "nats": 3.0}]},
            "add up to 3.0",
        ),
    ],
)
def test_impossible_numbers_are_named(record: dict[str, Any], named: str) -> None:
    verdict = judge(_parse({"bits_per_byte": 1.0, **record}))
    assert verdict.status is Status.IMPOSSIBLE
    assert any(named in one for one in verdict.impossible), verdict.impossible
    assert verdict.corrected is None


@pytest.mark.parametrize(
    ("record", "consistent"),
    [
        # Half a digit of 297.3 nats is 0.00018 bits per byte of 402.
        ('"bits_per_byte": 1.0668, "totals": {"bytes": 402, "nats": 297.3}', True),
        ('"bits_per_byte": 1.0666, "totals": {"bytes": 402, "nats": 297.3}', False),
        ('"bits_per_byte": 1.0668, "totals": {"bytes": 402, "nats": 297.300}', False),
        # So is half a digit of the loss, for each token.
        ('"bits_per_byte": 1.0670, "totals": {"bytes": 402, "tokens": 101, "loss": 2.944}', True),
        ('"bits_per_byte": 1.06, "totals": {"bytes": 402, "tokens": 101, "loss": 2.944}', False),
        # And half a digit of each document's nats.
        ('"bits_per_byte": 1.0830, "documents": [{"bytes": 4, "nats": 3.0}]', True),
        ('"bits_per_byte": 1, "totals": {"loss": 705.00, "perplexity": 1.5e306}', True),
        ('"bits_per_byte": 0.00, "totals": {"bytes": 900, "tokens": 300, "nats": 0.4}', True),
    ],
)
def test_published_sums_are_as_exact_as_they_are_printed(record: str, consistent: bool) -> None:
    status = judge(parse(f"{{{record}}}".encode())).status
    assert (status is Status.CONSISTENT) is consistent, status


@pytest.mark.parametrize(
    "data",
    [
        b'{"bits_per_byte": 1.1, "bits_per_byte": 1.2}',
        b'{"bits_per_byte": 1.1}\n{"id": "a", "bytes": 3, "bytes": 4}',
    ],
)
def test_a_name_with_two_values_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument, match="twice; keep one of the values"):
        parse(data)


def test_a_byte_order_mark_is_no_part_of_a_record() -> None:
    data = b'{"bits_per_byte": 1.5, "name": "\xef\xbb\xbfa"}'
    assert parse(b"\xef\xbb\xbf" + data) == parse(data)


@pytest.mark.parametrize("documents", [{}, {"documents": []}])
def test_a_claim_alone_holds_nothing_to_check(documents: dict[str, Any]) -> None:
    verdict = judge(_parse({"bits_per_byte": 1.1, **documents}))
    assert verdict.status is Status.CONSISTENT
    assert verdict.unchecked == ("anything: the record holds a claim and nothing to check it by",)


def test_a_tokenizer_that_is_none_is_refused(tmp_path: Any) -> None:
    pytest.importorskip("tokenizers", reason="needs the score extra")
    assert open_cutter("") is None
    with pytest.raises(InvalidArgument, match="there is no file"):
        FileCutter(tmp_path / "t.json")
    (tmp_path / "t.json").write_text("{}")
    with pytest.raises(InvalidArgument, match=r"cannot be read as a tokenizer\.json"):
        FileCutter(tmp_path / "t.json")


def test_a_tokenizer_that_draws_its_tokens_is_refused(tmp_path: Path) -> None:
    """Its counts would be others each time, and so would a verdict."""
    pytest.importorskip("tokenizers", reason="needs the score extra")
    file = tmp_path / "t.json"
    for dropout, refused in ((0.1, True), (0.0, False), (None, False)):
        model: dict[str, Any] = {
            "type": "BPE",
            "dropout": dropout,
            "vocab": {"a": 0},
            "merges": [],
        }
        file.write_text(json.dumps({"version": "1.0", "added_tokens": [], "model": model}))
        if not refused:
            FileCutter(file)
            continue
        with pytest.raises(InvalidArgument, match=r"BPE dropout \(0\.1\).*no count of its tokens"):
            FileCutter(file)


DOCUMENTS = [
    {"id": "a", "text": "The cat", "bytes": 7, "tokens": 7, "characters": 7, "nats": 7},
    {"id": "b", "text": "Gr\u00fc\u00dfe", "bytes": 7, "tokens": 7, "characters": 5, "nats": 7},
]
SET = {"documents": 2, "bytes": 14, "tokens": 14, "characters": 12}


@pytest.mark.parametrize("texts", [True, False])
@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({}, ""),
        ({"documents": 3}, "2 of 3 documents of the evaluation set"),
        ({"documents": 1}, "2 where the evaluation set has 1"),
        ({"bytes": 48}, "48"),
        ({"bytes": 13}, "where the evaluation set has 13"),
        ({"tokens": 15}, "tokens, 14 where the evaluation set has 15"),
        ({"tokens": 11}, "tokens, 14 where the evaluation set has 11"),
        ({"characters": 11}, "characters, 12 where the evaluation set has 11"),
    ],
)
def test_documents_must_be_the_evaluation_set(
    texts: bool, change: dict[str, int], detail: str
) -> None:
    dropped = set() if texts else {"text"}
    documents = [{k: v for k, v in one.items() if k not in dropped} for one in DOCUMENTS]
    record = {
        "bits_per_byte": round(1 / math.log(2), 6),
        "tokenizer": "bytes",
        "evaluation_set": SET | change,
        "documents": documents,
    }
    verdict = judge(_parse(record), ByteCutter())
    if not change:
        assert verdict.status is (Status.SOUND if texts else Status.CONSISTENT), verdict
        return
    assert verdict.status in {Status.UNEXPLAINED, Status.WRONG}
    if texts:
        assert verdict.status is Status.UNEXPLAINED
        assert verdict.corrected is None
    assert any(detail in finding.detail for finding in verdict.findings), verdict.findings


def test_characters_of_documents_without_texts_are_recognised() -> None:
    documents = [{"id": "a", "bytes": 7, "nats": 7}, {"id": "b", "bytes": 5, "nats": 7}]
    record = {"bits_per_byte": 1.683, "evaluation_set": SET, "documents": documents}
    assert judge(_parse(record)).mistakes == (Mistake.CHARACTERS,)


def test_the_documented_record_works_as_printed() -> None:
    text = (Path(__file__).parents[3] / "docs/bpb-audit.md").read_text(encoding="utf-8")
    record = parse(text.partition("```json\n")[2].partition("```")[0].encode())
    cutter = open_cutter(record.tokenizer)
    verdict = judge(record, cutter)
    assert verdict.status is Status.CONSISTENT, verdict
    assert verdict.unchecked == ("1 document, whose texts are not known",)
    known = "Gr\u00fc\u00dfe".encode()
    verdict = judge(record, cutter, {hashlib.sha256(known).hexdigest(): known})
    assert verdict.status is Status.SOUND, verdict
