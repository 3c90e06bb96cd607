"""What `assay corpus index` says of sizes."""

from __future__ import annotations

import pytest

from services.cli.commands.corpus.index import megabytes


@pytest.mark.parametrize(
    ("size", "said"), [(0, "0"), (7_867, "0.0079"), (123_456, "0.1"), (5_432_100_000, "5,432.1")]
)
def test_a_small_corpus_is_not_0_megabytes(size: int, said: str) -> None:
    assert megabytes(size) == said
