"""Records that leave out what others have: the claim is judged all the same."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from services.corpus.audit.court import judge
from services.corpus.audit.record import parse
from services.corpus.audit.tokenizer import ByteCutter
from services.corpus.audit.verdict import Mistake, Status, Verdict
from services.errors import InvalidArgument

TEXTS = ("Gr\u00fc\u00dfe, \u4f60\u597d", "The cat sat on the mat.", "x = 1\n" * 9)
TOKENS = (7, 9, 31)
NATS = (19.25, 14.5, 40.75)
SIZE = sum(len(text.encode()) for text in TEXTS)
CHARACTERS = sum(map(len, TEXTS))
BITS = math.fsum(NATS) / math.log(2)
RIGHT = BITS / SIZE
RATIOS = [nats / math.log(2) / len(t.encode()) for nats, t in zip(NATS, TEXTS, strict=True)]


def _documents(*names: str) -> list[dict[str, Any]]:
    fields: list[dict[str, Any]] = [
        {"text": text, "tokens": tokens, "nats": nats, "loss": nats / tokens}
        for text, tokens, nats in zip(TEXTS, TOKENS, NATS, strict=True)
    ]
    return [{name: one[name] for name in names} for one in fields]


def _judge(claim: float, record: dict[str, Any], cutter: ByteCutter | None = None) -> Verdict:
    data = json.dumps({"bits_per_byte": round(claim, 5), **record}).encode()
    return judge(parse(data), cutter)


# What is known besides the claim: never how many bytes were counted.
KNOWN: dict[str, dict[str, Any]] = {
    "nats of documents": {"documents": _documents("text", "tokens", "nats")},
    "losses of documents": {"documents": _documents("text", "tokens", "loss")},
    "nats in all": {
        "documents": _documents("text", "tokens"),
        "totals": {"nats": math.fsum(NATS)},
    },
    "loss in all": {
        "documents": _documents("text", "tokens"),
        "totals": {"loss": math.fsum(NATS) / sum(TOKENS)},
    },
    "totals and the set": {
        "totals": {"nats": math.fsum(NATS), "tokens": sum(TOKENS)},
        "evaluation_set": {"bytes": SIZE, "characters": CHARACTERS},
    },
}


@pytest.mark.parametrize("known", KNOWN)
def test_a_claim_is_judged_where_bytes_are_not_published(known: str) -> None:
    assert _judge(RIGHT, KNOWN[known]).status is Status.CONSISTENT
    for claim, mistakes in (
        (RIGHT * math.log(2), {Mistake.NATS_FOR_BITS}),
        (BITS / CHARACTERS, {Mistake.CHARACTERS}),
        (BITS / sum(TOKENS), {Mistake.PER_TOKEN}),
        (math.fsum(NATS) / sum(TOKENS), {Mistake.PER_TOKEN, Mistake.NATS_FOR_BITS}),
    ):
        verdict = _judge(claim, KNOWN[known])
        assert verdict.status is Status.WRONG
        assert set(verdict.mistakes) == mistakes
        assert verdict.corrected == pytest.approx(RIGHT)
    for claim in (0.9 * RIGHT, 3 * RIGHT, 0.0):
        assert _judge(claim, KNOWN[known]).findings, claim


def test_an_average_of_documents_where_bytes_are_not_published() -> None:
    documents = KNOWN["nats of documents"]
    mean = math.fsum(RATIOS) / len(RATIOS)
    assert _judge(mean, documents).mistakes == (Mistake.MEAN_OF_RATIOS,)
    two = _judge(mean * math.log(2), documents)
    assert two.mistakes == (Mistake.MEAN_OF_RATIOS, Mistake.NATS_FOR_BITS)
    assert two.corrected == pytest.approx(RIGHT)


def test_nats_of_documents_and_bytes_in_all_are_enough() -> None:
    known: dict[str, Any] = {"documents": _documents("tokens", "nats"), "totals": {"bytes": SIZE}}
    assert not _judge(RIGHT, known).findings
    assert _judge(RIGHT * math.log(2), known).mistakes == (Mistake.NATS_FOR_BITS,)
    assert _judge(0.9 * RIGHT, known).status is Status.UNEXPLAINED


def test_a_claim_over_the_bytes_that_were_scored_is_no_mistake() -> None:
    """First tokens have no likelihood, and their bytes are not counted: which bytes is not said."""
    documents = [
        {"text": text, "token_nats": [None, *[0.75] * (len(text.encode()) - 1)]} for text in TEXTS
    ]
    scored = SIZE - len(TEXTS)
    record = {"tokenizer": "bytes", "documents": documents}
    right = _judge(0.75 / math.log(2), record, ByteCutter())
    assert not right.findings, right
    wrong = 0.75 * scored / SIZE / math.log(2)
    verdict = _judge(wrong, record, ByteCutter())
    assert verdict.mistakes == (Mistake.FIRST_TOKEN_MISSING,)


def test_null_is_a_field_that_is_not_there() -> None:
    known = KNOWN["nats of documents"]
    nothing: dict[str, Any] = dict.fromkeys(
        ("format", "name", "totals", "evaluation_set", "tokenizer", "window")
    )
    assert _judge(RIGHT, {**known, **nothing}) == _judge(RIGHT, known)
    assert _judge(RIGHT, {"documents": None, "totals": {"bytes": SIZE}}).status is Status.CONSISTENT
    with pytest.raises(
        InvalidArgument, match="bits_per_byte: is missing: the figure that is claimed"
    ):
        parse(json.dumps({"bits_per_byte": None, **known}).encode())
