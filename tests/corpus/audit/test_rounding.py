"""Numbers may be off by half of their last digit, and by no more."""

from __future__ import annotations

import json
import math
import random
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.corpus.audit.court import judge
from services.corpus.audit.record import parse
from services.corpus.audit.tokenizer import ByteCutter
from services.corpus.audit.verdict import Status

_SIMPLE = (Status.SOUND, Status.CONSISTENT)


def _record(texts: list[str], listed: list[list[float]]) -> dict[str, Any]:
    """Every field there is, computed of the likelihoods and not rounded."""
    documents: list[dict[str, Any]] = []
    for number, (text, nats) in enumerate(zip(texts, listed, strict=True)):
        sums: dict[str, Any] = _sums(text, nats)
        documents.append({"id": f"{number}", "text": text, "token_nats": nats} | sums)
    totals = _sums("".join(texts), [one for nats in listed for one in nats])
    known = {name: totals[name] for name in ("bytes", "characters", "tokens")}
    return {
        "bits_per_byte": totals["bits_per_byte"],
        "totals": totals | {"perplexity": math.exp(totals["loss"])},
        "evaluation_set": known | {"documents": len(documents)},
        "documents": documents,
    }


def _sums(text: str, nats: list[float]) -> dict[str, Any]:
    size, whole = len(nats), math.fsum(nats)
    counts = {"bytes": size, "characters": len(text), "tokens": size, "scored_tokens": size}
    return counts | {
        "nats": whole,
        "loss": whole / size,
        "bits_per_byte": whole / size / math.log(2),
    }


def _printed(record: Any, form: str) -> bytes:
    """Write a record with its floating-point numbers in `form`."""

    def spelled(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: spelled(one) for name, one in value.items()}
        if isinstance(value, list):
            return [spelled(one) for one in value]
        return f"\x00{value:{form}}" if isinstance(value, float) else value

    return re.sub(r'"\\u0000([^"]*)"', r"\1", json.dumps(spelled(record))).encode()


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    texts=st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60),
        min_size=1,
        max_size=6,
    ),
    seed=st.integers(0, 1 << 32),
    digits=st.integers(2, 6),
    kind=st.sampled_from("fg"),
    left_out=st.sets(
        st.sampled_from(
            [
                *("text", "bytes", "characters", "tokens", "scored_tokens", "nats", "loss"),
                *("bits_per_byte", "token_nats", "totals", "evaluation_set", "documents"),
            ]
        )
    ),
)
def test_rounded_numbers_of_any_likelihoods_raise_no_alarm(
    texts: list[str], seed: int, digits: int, kind: str, left_out: set[str]
) -> None:
    # A figure that is zero is none.
    draw = random.Random(seed)
    listed = [[0.05 + draw.expovariate(0.4) for _ in text.encode()] for text in texts]
    record = _record(texts, listed)
    for name in left_out:
        record.pop(name, None) if name != "bits_per_byte" else None
        for document in record.get("documents", ()):
            document.pop(name, None)
    # With few digits before the point, `g` leaves fewer behind it.
    verdict = judge(parse(_printed(record, f".{digits}{kind}")), ByteCutter())
    assert verdict.status in _SIMPLE, verdict


TEXT = "The cat sat on the mat, 12 times.\n" * 8
NATS = [0.5 + (i * 7 % 11) / 8 for i in range(len(TEXT))]


@pytest.mark.parametrize("name", ["nats", "loss", "bits_per_byte"])
@pytest.mark.parametrize("form", [".2f", ".3g", ".4g", ".0f"])
def test_half_of_the_last_digit_is_no_contradiction_and_two_are(name: str, form: str) -> None:
    record = _record([TEXT], [NATS])
    document = record["documents"][0]
    exact = document[name]
    document[name] = json.loads(f"{exact:{form}}")
    text = json.dumps(record).replace(json.dumps(document[name]), f"{exact:{form}}")
    assert judge(parse(text.encode()), ByteCutter()).status is Status.SOUND
    # Two of the last digit: 1.44 where 1.42 is right.
    whole, _, power = f"{exact:{form}}".partition("e")
    places = len(whole.partition(".")[2])
    last = 10.0 ** (int(power or 0) - places)
    document[name] = exact + 2 * last
    text = json.dumps(record).replace(json.dumps(document[name]), f"{exact + 2 * last:{form}}")
    assert judge(parse(text.encode()), ByteCutter()).status not in _SIMPLE


@pytest.mark.parametrize("value", [0, 1e300, 1e-300])
def test_a_figure_of_any_size_is_compared(value: float) -> None:
    record = _record([TEXT], [NATS])
    record["documents"][0]["bits_per_byte"] = value
    assert judge(parse(json.dumps(record).encode()), ByteCutter()).status not in _SIMPLE


@pytest.mark.parametrize("listed", [NATS[:-1], [*NATS, 1.0], [None, *NATS[1:]], []])
def test_a_list_of_other_likelihoods_than_were_scored_is_seen(listed: list[float]) -> None:
    record = _record([TEXT], [NATS])
    record["documents"][0]["token_nats"] = listed
    assert judge(parse(json.dumps(record).encode()), ByteCutter()).status not in _SIMPLE


@pytest.mark.parametrize("number", ["0e400", "1e-400", "0e-400", "1e5"])
def test_numbers_of_any_exponent_are_read(number: str) -> None:
    record = f'{{"bits_per_byte": 1.5, "totals": {{"nats": {number}}}}}'
    assert judge(parse(record.encode())).status in _SIMPLE
    listed = f'{{"bits_per_byte": 1.5, "documents": [{{"token_nats": [{number}, 2]}}]}}'
    assert judge(parse(listed.encode())).status in _SIMPLE
