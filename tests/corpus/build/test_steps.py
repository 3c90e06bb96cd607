"""Steps on single documents: filters, plug-ins, marks, decontamination."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.corpus.build.steps.chain import Chain, Piece, chain_of, identity_of
from services.corpus.build.steps.filters import filter_of, length, repetition, word_shape
from services.corpus.build.steps.masking import EMAIL_MARK, IP_MARK, mask
from services.corpus.build.steps.plugins import load_function
from services.corpus.build.tally import Tally
from services.corpus.inspection import languages
from services.corpus.personal_data import count
from services.errors import DataLoss, InvalidArgument, NotFound, PreconditionFailed
from tests.corpus.build.recipes import parsed, prose


def chain(steps: list[Any], folder: Path = Path(), **variables: str) -> Chain:
    recipe = parsed(steps=steps)
    return chain_of(list(enumerate(recipe.steps)), variables, folder)


def texts(made: Chain, text: str, tally: Tally | None = None) -> list[str]:
    pieces = made.run(Piece(text), 0, "Prose", tally or Tally(), "a:0")
    return [piece.text for piece in pieces]


def test_filters_keep_what_they_should() -> None:
    assert length("one two", min_words=2)
    assert not length("one two", min_words=3)
    assert not length("one two", max_characters=6)
    assert repetition(prose(1))
    assert not repetition("the same line\n" * 10)
    assert not repetition("buy now " * 10)
    assert word_shape("A sentence of words as they are written.")
    assert not word_shape("1 2 3 4 5 6 7 8")
    assert not word_shape("# # # a lot of # # #")
    assert not word_shape(" \n")


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("long", {}, "'long' is not a filter; filters are length, repetition, word_shape"),
        ("length", {"min": 3}, "unexpected keyword argument 'min'"),
        ("length", {"min_words": "3"}, "steps.options.min_words: must be a number, not '3'"),
        ("no_such_module:keep", {}, "no_such_module cannot be imported"),
        ("json:keep", {}, "json has no function 'keep'"),
    ],
)
def test_a_filter_that_is_none_is_told(name: str, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(problem)):
        filter_of(name, options, "steps")


def test_a_plug_in_lies_beside_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "beside_recipe.py").write_text(
        "def keep(text, *, word): return word in text\n"
        "def language(text): return 'de' if ' der ' in text else 'en'\n"
        "def broken(text): return 1 / 0\n"
        "def odd(text): return 'yes'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    kept = chain([{"filter": {"function": "beside_recipe:keep", "options": {"word": "b"}}}])
    assert texts(kept, "a b") == ["a b"]
    assert texts(kept, "a c") == []
    english = chain([{"language": {"function": "beside_recipe:language", "keep": ["en"]}}])
    assert texts(english, "the word") == ["the word"]
    assert texts(english, "das ist der Satz") == []
    for function, problem in (("broken", "ZeroDivisionError"), ("odd", "says True or False")):
        failing = chain([{"filter": {"function": f"beside_recipe:{function}"}}])
        with pytest.raises(PreconditionFailed, match=rf"steps\[0\]: .*{problem}.*document a:0"):
            texts(failing, "a")


def test_languages_are_those_that_an_audit_tells(tmp_path: Path) -> None:
    """By name, and by the same model: what a build keeps, an audit counts as kept."""
    pytest.importorskip("py3langid")
    german = "Der Ausschuss trifft sich morgen wieder, um über das Wetter zu sprechen. " * 30
    step = parsed(steps=[{"language": {"keep": ["de"]}}]).steps[0]
    assert (
        step.options
        == parsed(steps=[{"language": {"function": "py3langid", "keep": ["de"]}}]).steps[0].options
    )
    kept = chain_of([(0, step)], {}, tmp_path)
    audited = languages.Languages()
    for number, text in enumerate([german, prose(1), "\ud800 " + german, ""]):
        audited.add(str(number), text.encode("utf-8", "surrogatepass"))
    kept_texts = [t for text in (german, prose(1), "\ud800 " + german) for t in texts(kept, text)]
    assert kept_texts == [german, "\ud800 " + german]
    assert audited.found()["de"] == len(kept_texts)
    (identity,) = identity_of(0, step, {}, tmp_path).values()
    assert re.fullmatch(r"py3langid \d.*", identity)


def test_a_language_that_the_model_does_not_know_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("py3langid")
    step = parsed(steps=[{"language": {"keep": ["de", "german", "xx"]}}]).steps[0]
    with pytest.raises(InvalidArgument, match=r"keep: 'german', 'xx': no language .*, de, .*, en"):
        identity_of(0, step, {}, tmp_path)


def test_a_language_function_that_is_none_is_told(tmp_path: Path) -> None:
    step = parsed(steps=[{"language": {"function": "fasttext", "keep": ["de"]}}]).steps[0]
    with pytest.raises(
        InvalidArgument, match="'fasttext' is neither py3langid nor module:function"
    ):
        identity_of(0, step, {}, tmp_path)


def test_another_version_of_a_plug_in_is_another_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "versioned_plugin.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    step = parsed(steps=[{"filter": {"function": "versioned_plugin:keep"}}]).steps[0]
    file.write_text("def keep(text): return True\n")
    first = identity_of(0, step, {}, tmp_path)
    file.write_text("def keep(text): return True  # changed\n")
    assert load_function("versioned_plugin:keep", "")("x") is True
    assert identity_of(0, step, {}, tmp_path) != first


def test_addresses_are_masked_and_private_ones_stay() -> None:
    text = "a@b.example.com, jane.doe+x@example.org; 8.8.8.8 and 192.168.0.1, 2001:4860:4860::8888"
    masked, emails, ips = mask(text, email=True, ip=True)
    assert masked == f"{EMAIL_MARK}, {EMAIL_MARK}; {IP_MARK} and 192.168.0.1, {IP_MARK}"
    assert (emails, ips) == (2, 2)
    assert mask(text, email=False, ip=False) == (text, 0, 0)
    for other in ("version 1.2.3.4.5", "999.1.1.1", "@decorator", "a @ b", "x::y", "12:30:45"):
        assert mask(other, email=True, ip=True) == (other, 0, 0)


@given(
    st.text(alphabet="a@.:18-% é\ud800", max_size=300)
    | st.lists(
        st.sampled_from(["x@y.com", "8.8.8.8", "v", "é", ".", "@", "-", "a", "1", " ", "::1"])
    ).map("".join)
)
@example("8.8.8.8.x@y.com")  # one spelling is one address
def test_what_is_masked_is_masked_once_and_an_audit_counts_none_of_it(text: str) -> None:
    masked, emails, ips = mask(text, email=True, ip=True)
    assert mask(masked, email=True, ip=True) == (masked, 0, 0)
    before = count(text.encode("utf-8", "surrogatepass"))
    after = count(masked.encode("utf-8", "surrogatepass"))
    assert emails == before.emails
    assert ips >= before.ip_addresses
    assert (after.emails, after.ip_addresses) == (0, 0)


def question_set(tmp_path: Path) -> Path:
    file = tmp_path / "tests.jsonl"
    questions = [prose(77, 40), prose(78, 40), "too short"]
    file.write_text("".join(json.dumps({"question": text}) + "\n" for text in questions))
    return file


def test_contaminated_documents_are_dropped_or_cut(tmp_path: Path) -> None:
    against = {"against": [str(question_set(tmp_path))], "text_key": "question"}
    needle = " ".join(prose(77, 40).upper().split()[5:20])  # 15 words, another case
    before, after = prose(1, 200), prose(2, 200)
    dirty = f"{before} {needle}! {after}"
    clean = f"{before} {' '.join(prose(77, 40).split()[5:17])} {after}"  # 12 words
    dropped = chain([{"contamination": against}])
    assert texts(dropped, clean) == [clean]
    assert texts(dropped, dirty) == []
    tally = Tally()
    pieces = texts(chain([{"contamination": against | {"action": "cut"}}]), dirty, tally)
    assert len(pieces) == 2
    # The hit and 200 characters around it are gone, and nothing else.
    start = dirty.index(needle)
    assert pieces == [dirty[: start - 200], dirty[start + len(needle) + 200 :]]
    count = tally.of(0, 0, "Prose")
    assert (count.documents_in, count.documents_out, count.changed) == (1, 2, 2)


def test_pieces_that_are_short_go_and_so_does_what_is_hit_too_often(tmp_path: Path) -> None:
    against = {"against": [str(question_set(tmp_path))], "text_key": "question", "action": "cut"}
    needle = prose(78, 40).rstrip(".")
    made = chain([{"contamination": against}])
    assert texts(made, f"{prose(3, 20)} {needle} {prose(4, 200)}") == [
        f"{needle} {prose(4, 200)}"[len(needle) + 200 :]
    ]
    often = " ".join(f"{prose(number, 200)} {needle}" for number in range(5, 16))
    assert texts(made, often) == []
    assert len(texts(chain([{"contamination": against | {"max_hits": 11}}]), often)) == 11


def test_places_are_characters_whatever_their_bytes(tmp_path: Path) -> None:
    against = {"against": [str(question_set(tmp_path))], "text_key": "question", "action": "cut"}
    made = chain([{"contamination": against}])
    needle, around = prose(78, 40).rstrip("."), "é€😀 " * 100
    assert texts(made, f"{around}{needle} {around}") == [around[:-200], around[199:]]


def test_a_test_set_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no test set named"):
        chain([{"contamination": {"against": [str(tmp_path / "none*.jsonl")]}}])
    short = tmp_path / "short.jsonl"
    short.write_text('{"text": "too short"}\n')
    with pytest.raises(InvalidArgument, match="no text of 13 words or more"):
        chain([{"contamination": {"against": [str(short)]}}])
    told = (
        r"steps\[0\]\.contamination\.against: short\.jsonl: line 0 has no .*`text_key` of the step"
    )
    with pytest.raises(DataLoss, match=told) as error:
        chain([{"contamination": {"against": [str(short)], "text_key": "question"}}])
    assert "--" not in str(error.value)
