from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the score extra")

from tokenizers import normalizers

from services.corpus.audit.court import judge
from services.corpus.audit.record import parse
from services.corpus.audit.tokenizer import ByteCutter
from services.corpus.audit.verdict import MEANINGS, Mistake, Status, Verdict
from tests.corpus.audit import cases
from tests.corpus.audit.cases import Lab

KINDS = ("byte_level", "sentence_piece")


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Lab]:
    folder = tmp_path_factory.mktemp("labs")
    return {
        "byte_level": cases.lab(folder / "a", cases.byte_level()),
        "sentence_piece": cases.lab(folder / "b", cases.sentence_piece()),
        "lossy": cases.lab(folder / "c", cases.sentence_piece(fallback=False)),
    }


def _judge(record: dict[str, Any], lab: Lab | None = None, **known: Any) -> Verdict:
    data = json.dumps(record).encode()
    return judge(parse(data), lab.cutter if lab else None, **known)


def _kinds_of(mistake: Mistake) -> tuple[str, ...]:
    # A tokenizer that gives back what it got has no other bytes when decoded.
    return ("lossy",) if mistake is Mistake.DECODED_BYTES else KINDS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mistake", "kind"), [(mistake, k) for mistake in cases.MISTAKES for k in _kinds_of(mistake)]
)
def test_each_mistake_is_recognised_and_corrected(
    labs: dict[str, Lab], mistake: Mistake, kind: str
) -> None:
    case = cases.MISTAKES[mistake](labs[kind])
    verdict = _judge(case.record, labs[kind])
    assert verdict.status is Status.WRONG
    assert verdict.mistakes == (mistake,), verdict
    assert verdict.corrected == pytest.approx(case.truth, rel=1e-3)
    if mistake is not Mistake.CASE_FOLDED:  # whose harm is to the text, not to the sums
        assert abs(case.record["bits_per_byte"] / case.truth - 1) > 1e-4


@pytest.mark.parametrize("name", cases.SOUND)
@pytest.mark.parametrize("kind", KINDS)
def test_no_alarm_on_sound_ones(labs: dict[str, Lab], name: str, kind: str) -> None:
    case = cases.SOUND[name](labs[kind])
    verdict = _judge(case.record, labs[kind])
    assert verdict.status is Status.SOUND, verdict
    assert verdict.corrected == pytest.approx(case.truth, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_other_averages_and_units(labs: dict[str, Lab], kind: str) -> None:
    case = cases.mean_of_ratios(labs[kind])
    assert _judge(case.record, labs[kind]).mistakes == (Mistake.MEAN_OF_RATIOS,)
    case = cases.sound(labs[kind])
    tokens = sum(d["tokens"] for d in case.record["documents"])
    size = sum(d["bytes"] for d in case.record["documents"])
    for factor, mistake in (
        (math.log(2), Mistake.NATS_FOR_BITS),
        (size / tokens, Mistake.PER_TOKEN),
    ):
        wrong = {**case.record, "bits_per_byte": round(case.truth * factor, 6)}
        verdict = _judge(wrong, labs[kind])
        assert verdict.mistakes == (mistake,)
        assert verdict.corrected == pytest.approx(case.truth, rel=1e-4)


def test_the_tokenizers_own_space(labs: dict[str, Lab]) -> None:
    case = cases.own_space_bytes(labs["sentence_piece"])
    verdict = _judge(case.record, labs["sentence_piece"])
    assert verdict.mistakes == (Mistake.OWN_SPACE_BYTES,)


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_that_are_decoded_by_themselves(labs: dict[str, Lab], kind: str) -> None:
    case = cases.decoded_alone(labs[kind])
    verdict = _judge(case.record, labs[kind])
    assert verdict.mistakes == (Mistake.REPLACEMENT_BYTES,)
    assert verdict.corrected == pytest.approx(case.truth, rel=1e-4)


def test_texts_that_were_cut_off_somewhere_else(labs: dict[str, Lab]) -> None:
    lab = labs["byte_level"]
    case = cases.truncated(lab)
    del case.record["window"]
    verdict = _judge(case.record, lab)
    assert verdict.mistakes == (Mistake.TRUNCATED,)
    assert verdict.corrected == pytest.approx(case.truth, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("mistake", [Mistake.GUIDE_WEIGHTS, Mistake.BOUNDARY_UNSCORED])
@pytest.mark.parametrize("kind", KINDS)
def test_windows_that_only_the_likelihoods_tell(
    labs: dict[str, Lab], mistake: Mistake, kind: str
) -> None:
    case = cases.MISTAKES[mistake](labs[kind])
    del case.record["window"], case.record["stride"]
    verdict = _judge(case.record, labs[kind])
    assert verdict.mistakes == (mistake,)
    assert verdict.corrected == pytest.approx(case.truth, rel=1e-4)


@pytest.mark.parametrize("mistake", [Mistake.GUIDE_WEIGHTS, Mistake.BOUNDARY_UNSCORED])
def test_some_write_0_for_a_token_that_was_passed_over(
    labs: dict[str, Lab], mistake: Mistake
) -> None:
    case = cases.MISTAKES[mistake](labs["byte_level"])
    for document in case.record["documents"]:
        document["token_nats"] = [one or 0 for one in document["token_nats"]]
    verdict = _judge(case.record, labs["byte_level"])
    assert verdict.mistakes == (mistake,)
    assert verdict.corrected == pytest.approx(case.truth, rel=1e-4)


def test_a_single_text_without_its_first_token_was_not_cut_off(labs: dict[str, Lab]) -> None:
    lab = labs["byte_level"]
    case = cases.first_token_missing(lab)
    # Of one window: of two, the first token of the second may be the one that is missing.
    case.record["documents"] = [
        next(one for one in case.record["documents"] if one["tokens"] < cases.WINDOW)
    ]
    case.record["bits_per_byte"] = round(cases.figure(case.record["documents"]), 5)
    assert _judge(case.record, lab).mistakes == (Mistake.FIRST_TOKEN_MISSING,)


def test_weights_are_wrong_where_only_scored_tokens_bytes_are_counted_too(
    labs: dict[str, Lab],
) -> None:
    lab = labs["byte_level"]
    case = cases.guide_weights(lab)
    for document in case.record["documents"]:
        document["bytes"] = sum(lab.sizes(document["text"])[1:])
    case.record["bits_per_byte"] = round(cases.figure(case.record["documents"]), 5)
    verdict = _judge(case.record, lab)
    assert verdict.mistakes == (Mistake.GUIDE_WEIGHTS,)
    assert verdict.corrected == pytest.approx(case.truth, rel=1e-4)


def test_bytes_of_a_normalised_text_are_not_the_texts(tmp_path: Path) -> None:
    tokenizer = cases.byte_level()
    tokenizer.normalizer = normalizers.NFC()
    lab = cases.lab(tmp_path / "nfc", tokenizer)
    text = "Cafe\u0301 au lait, \u4f60\u597d"
    nats = round(sum(lab.nats(text)), 6)
    for size, mistakes in (
        (cases.size(text), ()),
        (cases.size(text) - 1, (Mistake.DECODED_BYTES,)),
    ):
        document = {"text": text, "tokens": len(lab.tokens(text)), "bytes": size, "nats": nats}
        claim = round(cases.figure([document]), 5)
        record = {"bits_per_byte": claim, "documents": [document]}
        assert _judge(record, lab).mistakes == mistakes


# Less evidence

TOTALS_ENOUGH = set(cases.MISTAKES) - {
    Mistake.TOKEN_WEIGHTED_MEAN,  # one figure has no average
    Mistake.GUIDE_WEIGHTS,  # counts of tokens alone
    Mistake.BOUNDARY_UNSCORED,
}


def _only_totals(record: dict[str, Any]) -> dict[str, Any]:
    """The record without anything of a document but its text."""
    documents = record["documents"]
    names = ("tokens", "scored_tokens", "bytes", "nats")
    totals = {key: sum(d[key] for d in documents) for key in names if key in documents[0]}
    texts = [{"id": d["id"], "text": d["text"]} for d in documents]
    return {**record, "totals": totals, "documents": texts}


@pytest.mark.parametrize("mistake", sorted(TOTALS_ENOUGH))
def test_sums_and_texts_are_enough_for_most(labs: dict[str, Lab], mistake: Mistake) -> None:
    lab = labs[_kinds_of(mistake)[0]]
    case = cases.MISTAKES[mistake](lab)
    verdict = _judge(_only_totals(case.record), lab)
    assert mistake in {one for finding in verdict.findings for one in finding.mistakes}
    assert verdict.corrected == pytest.approx(case.truth, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_counts_and_the_loss_are_enough_for_the_guides_weights(
    labs: dict[str, Lab], kind: str
) -> None:
    case = cases.guide_counts(labs[kind])
    for record in (case.record, _only_totals(case.record)):
        verdict = _judge(record, labs[kind])
        assert verdict.mistakes == (Mistake.GUIDE_WEIGHTS,)
        assert verdict.corrected == pytest.approx(case.truth, rel=1e-3)
        assert "an estimate" in verdict.corrected_of


@pytest.mark.slow
@pytest.mark.parametrize("mistake", [Mistake.GUIDE_WEIGHTS, Mistake.BOUNDARY_UNSCORED])
def test_without_a_tokenizer_a_correction_of_unscored_tokens_is_called_an_estimate(
    labs: dict[str, Lab], mistake: Mistake
) -> None:
    case = cases.MISTAKES[mistake](labs["byte_level"])
    verdict = _judge(case.record)
    assert verdict.mistakes == (mistake,)
    assert verdict.corrected == pytest.approx(case.truth, rel=1e-2)
    assert "an estimate" in verdict.corrected_of
    assert "estimate" not in _judge(case.record, labs["byte_level"]).corrected_of


def test_sound_sums_are_sound(labs: dict[str, Lab]) -> None:
    case = cases.sound(labs["byte_level"])
    assert _judge(_only_totals(case.record), labs["byte_level"]).status is Status.SOUND
    verdict = _judge(_only_totals(case.record))
    assert verdict.status is Status.CONSISTENT
    assert any("tokens were scored" in one for one in verdict.unchecked)


def test_a_digest_is_as_good_as_a_text_that_is_at_hand(labs: dict[str, Lab]) -> None:
    case = cases.characters(labs["byte_level"])
    known: dict[str, bytes] = {}
    for document in case.record["documents"]:
        text = document.pop("text").encode()
        document["sha256"] = hashlib.sha256(text).hexdigest()
        known[document["sha256"]] = text
    verdict = _judge(case.record, labs["byte_level"], known_texts=known)
    assert verdict.mistakes == (Mistake.CHARACTERS,)
    assert _judge(case.record, labs["byte_level"]).status is Status.CONSISTENT


def test_two_mistakes_at_once_are_both_named(labs: dict[str, Lab]) -> None:
    lab = labs["byte_level"]
    case = cases.truncated(lab)
    for document in case.record["documents"]:
        document["bytes"] = len(document["text"])
    documents = case.record["documents"]
    weights = [d["tokens"] for d in documents]
    ratios = [d["nats"] / math.log(2) / d["bytes"] for d in documents]
    claim = sum(r * w for r, w in zip(ratios, weights, strict=True)) / sum(weights)
    case.record["bits_per_byte"] = round(claim, 5)
    verdict = _judge(case.record, lab)
    assert set(verdict.mistakes) == {
        Mistake.TRUNCATED,
        Mistake.CHARACTERS,
        Mistake.TOKEN_WEIGHTED_MEAN,
    }
    assert verdict.corrected == pytest.approx(case.truth, rel=1e-3)


def test_what_no_known_mistake_explains_is_said_so(labs: dict[str, Lab]) -> None:
    case = cases.sound(labs["byte_level"])
    case.record["bits_per_byte"] = round(case.truth * 0.9, 5)
    verdict = _judge(case.record, labs["byte_level"])
    assert verdict.status is Status.UNEXPLAINED
    assert "the claim" in verdict.findings[0].detail


def test_every_mistake_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Mistake)


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=80), st.floats(0.1, 9)), min_size=1, max_size=8
    ),
    st.integers(2, 6),
)
def test_right_sums_of_any_texts_are_sound(parts: list[tuple[str, float]], digits: int) -> None:
    documents = []
    for i, (text, rate) in enumerate(parts):
        size = len(text.encode("utf-8", "surrogatepass"))
        nats = round(rate * size, 6)
        documents.append({"id": str(i), "text": text, "bytes": size, "tokens": size, "nats": nats})
    record = {"bits_per_byte": round(cases.figure(documents), digits), "documents": documents}
    verdict = judge(parse(json.dumps(record).encode()), ByteCutter())
    assert verdict.status is Status.SOUND, verdict


_counts = st.none() | st.integers(0, 300)
_numbers = st.none() | st.floats(0, 900, allow_nan=False) | st.integers(-3, 900)
_sums = {
    **dict.fromkeys(("tokens", "scored_tokens", "bytes", "characters"), _counts),
    **dict.fromkeys(("nats", "loss", "bits_per_byte"), _numbers),
}
_documents = st.fixed_dictionaries(
    {},
    optional={
        **_sums,
        "text": st.text(st.characters(), max_size=30),
        "scored_text": st.text(max_size=30),
        "source_bytes": _counts,
        "token_nats": st.lists(st.none() | st.floats(0, 9), max_size=40),
    },
)


@pytest.mark.slow
@settings(max_examples=300)
@given(
    record=st.fixed_dictionaries(
        {"bits_per_byte": st.floats(0, 20)},
        optional={
            "totals": st.fixed_dictionaries({}, optional={**_sums, "perplexity": _numbers}),
            "evaluation_set": st.fixed_dictionaries(
                {}, optional={"bytes": _counts, "tokens": _counts, "documents": _counts}
            ),
            "window": st.integers(0, 40),
            "stride": st.integers(0, 60),
            "documents": st.lists(_documents, max_size=4),
        },
    ),
    cutter=st.sampled_from([None, ByteCutter()]),
)
def test_any_record_gets_a_verdict(record: dict[str, Any], cutter: ByteCutter | None) -> None:
    verdict = judge(parse(json.dumps(record).encode()), cutter)
    assert verdict.corrected is None or math.isfinite(verdict.corrected)
    if verdict.status is Status.SOUND:
        assert not verdict.findings
        assert not verdict.unchecked


# Public records: numbers that were published, and how they were corrected.


@pytest.mark.parametrize(
    ("claim", "wrong", "right", "mistake", "published"),
    [
        # openai/parameter-golf PR 1734, closed by its author: bytes counted on a million tokens.
        ("1.01080", 4_315_102, 3_673_745, Mistake.LEADING_SPACE_TWICE, 1.1873),
        # PR 1289: a table with three bytes for each of 27 byte tokens; corrected there.
        ("1.0819", 157_319_833, 151_073_604, Mistake.REPLACEMENT_BYTES, 1.1266),
    ],
)
def test_public_records_by_bytes(
    claim: str, wrong: int, right: int, mistake: Mistake, published: float
) -> None:
    record = (
        f'{{"bits_per_byte": {claim}, "totals": {{"bytes": {wrong}, '
        f'"nats": {float(claim) * math.log(2) * wrong:.3f}}}, '
        f'"evaluation_set": {{"bytes": {right}}}}}'
    )
    verdict = judge(parse(record.encode()))
    assert verdict.status is Status.WRONG
    assert mistake in verdict.findings[0].mistakes
    assert verdict.corrected == pytest.approx(published, rel=1e-3)


def test_a_public_record_by_loss_alone_is_consistent() -> None:
    # The baseline's loss and figure: 2.4427 bytes a token, which nothing contradicts.
    record = b'{"bits_per_byte": 1.21687994, "totals": {"loss": 2.06035852}}'
    verdict = judge(parse(record))
    assert verdict.status is Status.CONSISTENT
    assert len(verdict.unchecked) == 3
