"""Keywords of a selection to its message."""

from __future__ import annotations

from typing import Any

import pytest
from assay_rpc.corpus import select, stream
from assay_rpc.corpus.tokens import TokenStream
from assay_rpc.corpus.v1 import selection_pb2
from assay_rpc.errors import CursorMismatch


def test_nothing_selects_everything() -> None:
    assert select() == selection_pb2.Selection()


def test_every_keyword_has_its_field() -> None:
    found = select(
        splits=["val"],
        subsets=["ArXiv", "Github"],
        exclude_subsets=["Github"],
        uncopyrighted=True,
        max_documents=1,
        max_bytes=2,
        min_text_bytes=3,
        max_text_bytes=4,
        seed=0,
        passes={"ArXiv": 1.5},
        epochs=5,
        weight_unit="documents",
    )
    assert found == selection_pb2.Selection(
        splits=["val"],
        subsets=["ArXiv", "Github"],
        exclude_subsets=["Github"],
        preset=selection_pb2.SUBSET_PRESET_UNCOPYRIGHTED,
        max_documents=1,
        max_bytes=2,
        min_text_bytes=3,
        max_text_bytes=4,
        seed=0,
        mixture=selection_pb2.Mixture(passes=selection_pb2.SubsetWeights(by_subset={"ArXiv": 1.5})),
        epochs=5,
        unit=selection_pb2.MIXTURE_UNIT_DOCUMENTS,
    )
    # A sample is for scoring, which takes the message itself; a stream adds its corpora.
    assert {field.name for field, _ in found.ListFields()} | {"sample", "corpora"} == set(
        selection_pb2.Selection.DESCRIPTOR.fields_by_name
    )
    assert select(seed=0).HasField("seed")
    assert select(weights={"a": 2}).mixture.weights.by_subset == {"a": 2}
    assert select(published="epochs").mixture.preset == selection_pb2.MIXTURE_PRESET_PILE_EPOCHS


@pytest.mark.parametrize(
    ("options", "error", "named"),
    [
        ({"subset": ["ArXiv"]}, TypeError, "'subset'"),
        ({"weights": {}, "passes": {}}, ValueError, "weights and passes"),
        ({"published": "table"}, ValueError, "'table'"),
    ],
)
def test_what_means_nothing_is_refused(
    options: dict[str, Any], error: type[Exception], named: str
) -> None:
    with pytest.raises(error, match=named):
        select(**options)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"seed": -1}, ValueError, "seed: -1 is not between 0"),
        ({"seed": "x"}, TypeError, "seed: 'x' is not a whole number"),
        ({"max_documents": 1.5}, TypeError, "max_documents: 1.5 is not a whole number"),
        ({"epochs": 2**40}, ValueError, "epochs: 1099511627776 is not between"),
        ({"subsets": "ArXiv"}, TypeError, "subsets: 'ArXiv' is not a list of names"),
        ({"splits": [1]}, TypeError, "splits: 1 is not a name"),
        ({"weights": {"a": "x"}}, TypeError, r"weights\['a'\]: 'x' is not a number"),
        ({"weights": 5}, TypeError, "weights: 5 does not map names"),
        ({"passes": {1: 1.0}}, TypeError, "passes: 1 is not a name"),
    ],
)
def test_a_wrong_value_is_told_with_its_keyword(
    options: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        select(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rank": "a"}, "rank: 'a'"),
        ({"rank": -1}, "rank: -1"),
        ({"chunk_bytes": -1}, "chunk_bytes: -1"),
        ({"corpus": 5}, "corpus: 5"),
        ({"corpus": None}, "corpus: None"),
    ],
)
def test_so_is_that_of_a_stream(options: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        stream("127.0.0.1:1", **{"corpus": "c"} | options)


@pytest.mark.parametrize(
    "options",
    [{"length": -1}, {"global_batch": "a"}, {"tokenizer": 5}, {"separator": -2}, {"rank": 1.5}],
)
def test_and_that_of_a_stream_of_tokens(options: Any) -> None:
    (name,) = options
    with pytest.raises((TypeError, ValueError), match=f"{name}: "):
        TokenStream("127.0.0.1:1", "c", **{"tokenizer": "t", "length": 8} | options)


@pytest.mark.parametrize(
    "change", [{"cursor": 5}, {"cursor": "?"}, {"epoch": "1"}, {"documents": None}, {"digest": 1}]
)
def test_a_damaged_state_is_refused(change: Any) -> None:
    one = stream("127.0.0.1:1", "c")
    with pytest.raises(CursorMismatch, match="the state is damaged"):
        one.load_state_dict(one.state_dict() | change)
    others: tuple[Any, ...] = ("x", None, [])
    for state in others:
        with pytest.raises(CursorMismatch, match="is not a state"):
            one.load_state_dict(state)
