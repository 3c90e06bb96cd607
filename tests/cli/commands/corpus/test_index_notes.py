"""What `assay corpus index` says of sizes."""

from __future__ import annotations

import pytest

from services.cli.commands.corpus.index import data_size


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "0 bytes"),
        (23, "23 bytes"),
        (7_867, "7,867 bytes"),
        (123_456, "0.1 MB"),
        (5_432_100_000, "5,432.1 MB"),
    ],
)
def test_a_small_corpus_has_its_size_in_bytes(size: int, said: str) -> None:
    assert data_size(size) == said
