"""Keywords of a selection to its message."""

from __future__ import annotations

from typing import Any

import pytest
from assay_rpc.corpus import select
from assay_rpc.corpus.v1 import selection_pb2


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
