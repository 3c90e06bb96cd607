"""Numbers that state the same sum in different ways have to agree."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from typing import Any

import pytest

from services.corpus.audit.court import judge
from services.corpus.audit.record import parse
from services.corpus.audit.tokenizer import ByteCutter
from services.corpus.audit.verdict import Status, Verdict

TEXTS = ("The cat sat.", "Gr\u00fc\u00dfe aus K\u00f6ln", "x = 1\n")
TOKEN_NATS = [[0.5 + (i * 7 % 5) / 4 for i in range(len(text.encode()))] for text in TEXTS]


def _record() -> dict[str, Any]:
    """Every field there is, all true."""
    documents: list[dict[str, Any]] = []
    for number, (text, listed) in enumerate(zip(TEXTS, TOKEN_NATS, strict=True)):
        size, nats = len(text.encode()), math.fsum(listed)
        documents.append(
            {"id": f"{number}", "text": text, "characters": len(text), "bytes": size}
            | {"tokens": size, "scored_tokens": size, "nats": nats, "loss": nats / size}
            | {"bits_per_byte": nats / size / math.log(2), "token_nats": listed}
        )
    counts = ("characters", "bytes", "tokens", "scored_tokens", "nats")
    totals = {name: sum(one[name] for one in documents) for name in counts}
    totals["loss"] = totals["nats"] / totals["tokens"]
    totals["perplexity"] = math.exp(totals["loss"])
    known = {name: totals[name] for name in ("characters", "bytes", "tokens")}
    return {
        "bits_per_byte": totals["loss"] / math.log(2),
        "totals": totals,
        "evaluation_set": known | {"documents": len(documents)},
        "documents": documents,
    }


def _judge(record: dict[str, Any]) -> Verdict:
    return judge(parse(json.dumps(record).encode()), ByteCutter())


def test_a_record_of_every_field_is_sound() -> None:
    assert _judge(_record()).status is Status.SOUND


PLACES = [
    *(("documents", name) for name in ("nats", "loss", "bits_per_byte", "bytes", "characters")),
    *(("documents", name) for name in ("tokens", "scored_tokens")),
    *(("totals", name) for name in ("nats", "loss", "perplexity", "bytes", "characters")),
    *(("totals", name) for name in ("tokens", "scored_tokens", "bits_per_byte")),
    *(("evaluation_set", name) for name in ("bytes", "characters", "tokens", "documents")),
]


@pytest.mark.parametrize("factor", [0, 0.5, 2, 1000])
@pytest.mark.parametrize(("group", "name"), PLACES)
def test_one_wrong_number_of_any_name_is_seen(group: str, name: str, factor: float) -> None:
    record = _record()
    holder = record["documents"][1] if group == "documents" else record[group]
    old = holder.get(name, record["bits_per_byte"])
    holder[name] = round(old * factor) if isinstance(old, int) else old * factor
    assert _judge(record).status not in {Status.SOUND, Status.CONSISTENT}


@pytest.mark.parametrize(
    "kept",
    [("loss", "bits_per_byte"), ("token_nats", "loss"), ("token_nats", "bits_per_byte")],
)
def test_documents_without_nats_state_them_twice(kept: tuple[str, str]) -> None:
    record = _record()
    for document in record["documents"]:
        for name in {"nats", "loss", "bits_per_byte", "token_nats"} - set(kept):
            del document[name]
    assert _judge(record).status is Status.SOUND
    wrong = deepcopy(record)
    number = wrong["documents"][0].get(kept[1])
    wrong["documents"][0][kept[1]] = number * 1.5
    verdict = _judge(wrong)
    assert verdict.status is Status.UNEXPLAINED
    assert any("another sum" in finding.detail for finding in verdict.findings)


def test_totals_are_the_sum_of_documents_that_state_theirs_otherwise() -> None:
    record = _record()
    for document in record["documents"]:
        del document["nats"]
    record["totals"] = {"nats": record["totals"]["nats"] * 2}
    assert _judge(record).status is Status.UNEXPLAINED


def test_a_perplexity_of_words_without_a_loss_leaves_the_figure_unchecked() -> None:
    record = _record()
    del record["totals"]["loss"]
    assert _judge(record).status is Status.SOUND
    record["totals"]["perplexity"] *= 3
    verdict = _judge(record)
    assert verdict.status is Status.CONSISTENT
    assert any("perplexity" in one for one in verdict.unchecked)


@pytest.mark.parametrize("around", [1, 2])
def test_a_token_before_and_behind_each_text_may_be_counted(around: int) -> None:
    """No alarm, with or without texts: the set's own count need not have them."""
    record = _record()
    for document in record["documents"]:
        document["tokens"] += around
        for name in ("scored_tokens", "token_nats", "nats", "loss", "bits_per_byte"):
            del document[name]
    record["totals"] = {}
    del record["bits_per_byte"]
    for texts in (True, False):
        for document in record["documents"]:
            document["nats"] = 1.5 * document["tokens"]
            if not texts:
                del document["text"]
        nats = sum(document["nats"] for document in record["documents"])
        size = record["evaluation_set"]["bytes"]
        record["bits_per_byte"] = nats / math.log(2) / size
        expected = Status.SOUND if texts else Status.CONSISTENT
        assert _judge(record).status is expected


def test_rounded_likelihoods_alone_give_a_figure_of_more_digits() -> None:
    """Each may be off by half of its last digit, so their sum may be by more than the claim."""
    exact = [1.234 + i / 1000 for i in range(len(TEXTS[0]))]
    record = {
        "bits_per_byte": math.fsum(exact) / math.log(2) / len(exact),
        "documents": [
            {"text": TEXTS[0], "bytes": len(exact), "token_nats": [round(one, 1) for one in exact]}
        ],
    }
    assert _judge(record).status is Status.SOUND


@pytest.mark.parametrize("place", [0, 341])
def test_one_likelihood_that_rounds_to_zero_is_a_scored_token(place: int) -> None:
    listed = [0.5 + i % 7 / 4 for i in range(350)]
    listed[place] = 0.00
    nats = round(math.fsum(listed), 2)
    record = {
        "bits_per_byte": round(nats / math.log(2) / 400, 2),
        "documents": [{"bytes": 400, "tokens": 350, "token_nats": listed, "nats": nats}],
    }
    for counts in ({}, {"scored_tokens": 350}):
        record["totals"] = counts
        assert _judge(record).status is Status.CONSISTENT
