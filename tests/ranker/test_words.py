"""Code names in the words that a reader knows."""

from __future__ import annotations

import pytest

from services.ranker.claims.model import ArtifactType
from services.ranker.methodology.load import load
from services.ranker.words import words


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("pile-cc", "Pile-CC"),
        ("books3", "Books3"),
        ("stack-exchange", "Stack Exchange"),
        ("gutenberg-pg-19", "Gutenberg (PG-19)"),
        ("nih-exporter", "NIH ExPorter"),
    ],
)
def test_a_subset_is_called_as_the_paper_prints_it(name: str, printed: str) -> None:
    assert words(name) == printed


def test_every_subset_has_a_name_of_its_own() -> None:
    metrics = load().rules(ArtifactType.LANGUAGE_MODEL).metrics
    spelled = {words(name) for name in metrics if name != "bits-per-byte"}
    assert len(spelled) == len(metrics) - 1
    assert all(one[0].isupper() or one == "arXiv" for one in spelled)
