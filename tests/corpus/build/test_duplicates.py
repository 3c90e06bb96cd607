"""Duplicates: which of a build's documents they are, by the definition itself."""

from __future__ import annotations

import itertools
import re
import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.corpus.build.bands import bands_of, rows_of_band
from services.corpus.build.recipe import NearDuplicates
from services.corpus.build.stages import duplicates
from tests.corpus.build.recipes import built, documents_of, edited, prose, write_shard

pytest.importorskip("rensa", reason="needs the build extra")


def runs(text: str, words: int) -> list[tuple[str, ...]]:
    """The runs of words of a text, as the definition says."""
    lowered = re.sub(r"[A-Z]", lambda match: match[0].lower(), text)
    found = lowered.translate(dict.fromkeys(map(ord, string.punctuation))).split()
    size = min(words, len(found))
    return [tuple(found[start : start + size]) for start in range(len(found) - size + 1)] * bool(
        found
    )


def jaccard(left: str, right: str) -> float:
    one, two = set(runs(left, 5)), set(runs(right, 5))
    return len(one & two) / len(one | two)


def test_bands_find_pairs_at_the_threshold() -> None:
    for threshold in (0.5, 0.8, 0.95):
        options = NearDuplicates(threshold=threshold)
        rows, bands = rows_of_band(options), bands_of(options)
        assert rows * bands <= options.permutations
        assert 1 - (1 - threshold**rows) ** bands >= 0.95


def one_source(tmp_path: Path, texts: list[str], steps: list[Any]) -> tuple[list[str], Any]:
    for shard in range(3):
        write_shard(tmp_path / "sources" / f"train/{shard}.jsonl.zst", texts[shard::3])
    source = {"name": "one", "path": "${SOURCES}", "license": "MIT"}
    out, card = built(tmp_path, sources=[source], steps=steps, output={})
    return sorted(document["text"] for document in documents_of(out)), card


def in_order(texts: list[str]) -> list[str]:
    """The order of the documents in `one_source`: shard by shard."""
    return [text for shard in range(3) for text in texts[shard::3]]


def test_of_equal_texts_the_first_stays(tmp_path: Path) -> None:
    texts = [prose(number % 17, 5) for number in range(60)] + ["", "", "é", "e\u0301"]
    kept, card = one_source(tmp_path, texts, ["exact_duplicates"])
    assert kept == sorted(set(texts))
    (step,) = card["steps"]
    assert (step["documents_in"], step["documents_out"]) == (64, 20)
    assert step["bytes_removed"] == sum(len(text.encode()) for text in texts) - sum(
        len(text.encode()) for text in set(texts)
    )


@pytest.mark.parametrize("part_documents", [duplicates.PART_DOCUMENTS, 40])
def test_near_duplicates_are_those_of_the_definition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part_documents: int
) -> None:
    monkeypatch.setattr(duplicates, "PART_DOCUMENTS", part_documents)
    originals = [prose(number, 200) for number in range(30)]
    near = [edited(text, number, 2) for number, text in enumerate(originals[:20])]
    far = [edited(text, number, 60) for number, text in enumerate(originals[:10])]
    chain = [originals[29]]
    for number in range(4):  # each near the one before
        chain.append(edited(chain[-1], 100 + number, 3))
    texts = originals + near + far + chain[1:]
    kept, card = one_source(tmp_path, texts, ["near_duplicates"])
    ordered = in_order(texts)
    expected = _first_of_clusters(ordered, 0.8)
    # Signatures estimate: pairs far from the threshold are decided as by the sets themselves.
    assert kept == sorted(expected)
    assert card["steps"][0]["documents_removed"] == len(texts) - len(expected)


def _first_of_clusters(texts: list[str], threshold: float) -> list[str]:
    cluster = list(range(len(texts)))
    for left, right in itertools.combinations(range(len(texts)), 2):
        if jaccard(texts[left], texts[right]) >= threshold:
            low, high = sorted((cluster[left], cluster[right]))
            cluster = [low if one == high else one for one in cluster]
    return [texts[place] for place in sorted(set(cluster))]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60))
def test_clusters_are_what_pairs_connect(pairs: list[tuple[int, int]]) -> None:
    expected = list(range(31))
    for left, right in pairs:
        low, high = sorted((expected[left], expected[right]))
        expected = [low if one == high else one for one in expected]
    found = duplicates._first_of_cluster(31, np.array(pairs, np.int64).reshape(-1, 2))
    assert found.tolist() == expected
