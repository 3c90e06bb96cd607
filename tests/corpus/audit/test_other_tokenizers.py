"""Tokenizers that lose a text, added tokens of blanks, windows that nobody names."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from services.corpus.audit.court import judge
from services.corpus.audit.record import parse
from services.corpus.audit.tokenizer import ByteCutter, FileCutter
from services.corpus.audit.verdict import Mistake, Status, Verdict

tokenizers = pytest.importorskip("tokenizers", reason="needs the score extra")
pytest.importorskip("torch", reason="needs the score extra")

from tests.corpus.audit import cases  # noqa: E402  it needs them

TEXTS = ["The  Cat SAT on a mat, said Ana. ", "if x:\n    y = 1\n", *cases.texts()]
NATS_A_TOKEN = 1.75
WINDOW = 512


def _byte_level(folder: Path, *, lower: bool = False, blanks: bool = False) -> Path:
    tokenizer = cases.byte_level()
    if lower:
        tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    if blanks:  # as GPT-NeoX has them: runs of blanks that are no pieces of the vocabulary
        tokenizer.add_tokens([tokenizers.AddedToken(" " * n, normalized=True) for n in (2, 4)])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def _word_piece(folder: Path) -> Path:
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = tokenizers.decoders.WordPiece()
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=300, special_tokens=["[UNK]"], show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def _size(text: str) -> int:
    return len(text.encode())


def _tokens(tokenizer: Any, text: str) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


def _record(sizes: list[int], tokens: list[int]) -> dict[str, Any]:
    """Publish bytes and tokens of every text; each token has the same likelihood."""
    nats = [NATS_A_TOKEN * count for count in tokens]
    return {
        "bits_per_byte": round(sum(nats) / math.log(2) / sum(sizes), 6),
        "documents": [
            {"text": text, "bytes": size, "tokens": count, "nats": one}
            for text, size, count, one in zip(TEXTS, sizes, tokens, nats, strict=True)
        ],
    }


def _judge(record: dict[str, Any], tokenizer: Path | None = None) -> Verdict:
    cutter = FileCutter(tokenizer) if tokenizer else None
    return judge(parse(json.dumps(record).encode()), cutter)


def test_a_tokenizer_of_small_letters_folds_case(tmp_path: Path) -> None:
    path = _byte_level(tmp_path, lower=True)
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    tokens = [_tokens(tokenizer, text) for text in TEXTS]
    verdict = _judge(_record([_size(text) for text in TEXTS], tokens), path)
    assert verdict.mistakes == (Mistake.CASE_FOLDED,)
    folded = sum(_size(text.lower()) for text in TEXTS)
    assert verdict.corrected == pytest.approx(sum(tokens) * NATS_A_TOKEN / math.log(2) / folded)


def test_the_figure_of_a_tokenizer_that_loses_texts_is_not_sound(tmp_path: Path) -> None:
    path = _word_piece(tmp_path)
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    tokens = [_tokens(tokenizer, text) for text in TEXTS]
    verdict = _judge(_record([_size(text) for text in TEXTS], tokens), path)
    assert verdict.status is Status.CONSISTENT
    assert any("cannot reproduce it" in one for one in verdict.unchecked)


def test_bytes_that_a_word_piece_tokenizer_gives_back(tmp_path: Path) -> None:
    path = _word_piece(tmp_path)
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    encodings = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
    sizes = [_size(tokenizer.decode(ids)) for ids in encodings]
    verdict = _judge(_record(sizes, [len(ids) for ids in encodings]), path)
    assert verdict.mistakes == (Mistake.DECODED_BYTES,)


@pytest.mark.parametrize("added", [False, True], ids=["pieces alone", "added tokens too"])
def test_a_space_twice_where_blanks_are_added_tokens(tmp_path: Path, added: bool) -> None:
    path = _byte_level(tmp_path, blanks=True)
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    encodings = [tokenizer.encode(text, add_special_tokens=False) for text in TEXTS]
    marks = ("\u0120", " ") if added else ("\u0120",)
    sizes = [
        _size(text) + sum(token.startswith(marks) for token in one.tokens)
        for text, one in zip(TEXTS, encodings, strict=True)
    ]
    verdict = _judge(_record(sizes, [len(one.ids) for one in encodings]), path)
    assert verdict.mistakes == (Mistake.LEADING_SPACE_TWICE,)


def test_a_space_twice_beside_the_bytes_of_a_text_that_is_lost(tmp_path: Path) -> None:
    cases.sentence_piece(fallback=False).save(str(tmp_path / "tokenizer.json"))
    tokenizer = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    encodings = [tokenizer.encode(text, add_special_tokens=False) for text in TEXTS]
    sizes = [
        _size(text) + sum(token.startswith("\u2581") for token in one.tokens[1:])
        for text, one in zip(TEXTS, encodings, strict=True)
    ]
    tokens = [len(one.ids) for one in encodings]
    verdict = _judge(_record(sizes, tokens), tmp_path / "tokenizer.json")
    assert verdict.mistakes == (Mistake.LEADING_SPACE_TWICE,)


def test_marks_of_the_letters_from_a_to_z_alone() -> None:
    marked = [re.sub("[A-Z]", lambda m: "\ue001" + m[0].lower(), text) for text in TEXTS]
    assert any(re.search("[\u00c0-\u00dc]", text) for text in marked)
    sizes = [_size(text) for text in marked]
    verdict = _judge(_record(sizes, [size // 4 for size in sizes]))
    assert verdict.mistakes == (Mistake.SENTINELS_AS_TEXT,)


def _scored(unscored: Any) -> dict[str, Any]:
    """A byte model's record, which says how many of its tokens were scored."""
    sizes = [_size(text) for text in TEXTS]
    scored = [size - unscored(size) for size in sizes]
    record = _record(sizes, scored)
    for document, size, count in zip(record["documents"], sizes, scored, strict=True):
        document |= {"tokens": size, "scored_tokens": count}
    return record


def _totals(record: dict[str, Any]) -> dict[str, Any]:
    documents = record["documents"]
    names = ("tokens", "scored_tokens", "bytes", "nats")
    totals = {name: sum(one[name] for one in documents) for name in names}
    texts = [{"text": one["text"]} for one in documents]
    return {**record, "documents": texts, "totals": totals}


@pytest.mark.parametrize("whole", [False, True], ids=["of documents", "in all"])
@pytest.mark.parametrize(
    ("mistake", "unscored"),
    [
        (Mistake.BOUNDARY_UNSCORED, lambda size: -(-size // 99)),
        (Mistake.GUIDE_WEIGHTS, lambda size: 1 + -(-max(size - 99, 0) // 49)),
        (Mistake.TRUNCATED, lambda size: max(size - 99, 0)),
    ],
)
def test_a_window_that_is_not_named_is_found(mistake: Mistake, unscored: Any, whole: bool) -> None:
    record = _scored(unscored)
    verdict = judge(parse(json.dumps(_totals(record) if whole else record).encode()), ByteCutter())
    assert verdict.status is Status.WRONG
    assert mistake in {one for finding in verdict.findings for one in finding.mistakes}
    if not whole:
        assert verdict.mistakes == (mistake,)
        without_texts = {
            **record,
            "documents": [
                {name: value for name, value in one.items() if name != "text"}
                for one in record["documents"]
            ],
        }
        assert _judge(without_texts).mistakes == (mistake,)


def test_tokens_that_are_missing_without_a_pattern_are_a_contradiction() -> None:
    record = _scored(lambda size: size % 7)
    verdict = judge(parse(json.dumps(record).encode()), ByteCutter())
    assert verdict.status is Status.UNEXPLAINED
    assert verdict.corrected is None


@pytest.mark.parametrize(
    ("missing", "first"), [(3, True), (40, False)], ids=["texts may be empty", "more than texts"]
)
def test_totals_say_which_mistakes_may_leave_tokens_out(missing: int, first: bool) -> None:
    record = {
        "bits_per_byte": 1.2,
        "totals": {"tokens": 1000, "scored_tokens": 1000 - missing, "bytes": 4000},
        "evaluation_set": {"tokens": 1000, "bytes": 4000, "documents": 5},
    }
    verdict = _judge(record)
    assert verdict.status is Status.WRONG
    (finding,) = verdict.findings
    assert (Mistake.FIRST_TOKEN_MISSING in finding.mistakes) is first
    rest = {Mistake.TRUNCATED, Mistake.BOUNDARY_UNSCORED, Mistake.GUIDE_WEIGHTS}
    assert rest | {Mistake.CASE_FOLDED} <= set(finding.mistakes)


def test_an_average_of_documents_may_explain_bytes_that_only_the_claim_implies() -> None:
    record = {
        "bits_per_byte": 1.25,
        "totals": {"tokens": 1000, "nats": 3500.0},
        "evaluation_set": {"bytes": 4200, "documents": 5},
    }
    (finding,) = _judge(record).findings
    averages = {Mistake.TOKEN_WEIGHTED_MEAN, Mistake.MEAN_OF_RATIOS}
    assert averages < set(finding.mistakes)


def test_a_folded_text_of_one_document_may_look_like_a_token_that_is_missing(
    tmp_path: Path,
) -> None:
    path = _byte_level(tmp_path)
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    text = next(
        text for text in TEXTS if _tokens(tokenizer, text.lower()) == _tokens(tokenizer, text) - 1
    )
    tokens = _tokens(tokenizer, text.lower())
    record = _record([_size(one) for one in TEXTS], [tokens for _ in TEXTS])
    (document,) = [one for one in record["documents"] if one["text"] == text]
    figure = document["nats"] / math.log(2) / document["bytes"]
    verdict = _judge({"bits_per_byte": round(figure, 6), "documents": [document]}, path)
    named = {one for finding in verdict.findings for one in finding.mistakes}
    assert {Mistake.CASE_FOLDED, Mistake.FIRST_TOKEN_MISSING} <= named
    assert verdict.corrected is None


def test_a_cut_that_the_published_text_shows_too_is_a_cut_alone() -> None:
    texts = [cases.texts()[i] for i in (9, 10, 11, 12, 13)]
    sizes = [_size(text) for text in texts]
    read = [text.encode()[:WINDOW].decode("utf-8", "ignore") for text in texts]
    scored = [_size(text) for text in read]
    nats = [NATS_A_TOKEN * count for count in scored]
    rows = zip(texts, read, sizes, scored, nats, strict=True)
    record = {
        "bits_per_byte": round(sum(nats) / math.log(2) / sum(sizes), 6),
        "tokenizer": "bytes",
        "documents": [
            {"text": text, "scored_text": seen, "bytes": size, "tokens": count, "nats": one}
            for text, seen, size, count, one in rows
        ],
    }
    verdict = judge(parse(json.dumps(record).encode()), ByteCutter())
    assert verdict.mistakes == (Mistake.TRUNCATED,)
    assert verdict.corrected == pytest.approx(NATS_A_TOKEN / math.log(2))


def test_words_that_a_tokenizer_does_not_know_are_not_folded(tmp_path: Path) -> None:
    known = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "Hallo": 3, "hallo": 4}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(known, unk_token="[UNK]"))  # noqa: S106
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert not FileCutter(tmp_path / "tokenizer.json").folds_case
