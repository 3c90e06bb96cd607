from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.corpus.stream.selection import Selection, resolve
from services.errors import InvalidArgument, NotFound

SPLITS = ("train", "val")
SUBSETS = ("Github", "Enron Emails", "")
KNOWN = "known: Enron Emails, Github"
PUBLISHED = frozenset({"Github", "Books3"})


def _resolve(selection: Selection) -> Selection:
    return resolve(selection, SPLITS, lambda: SUBSETS, PUBLISHED)


def test_no_splits_means_all_in_their_order() -> None:
    assert _resolve(Selection()).splits == SPLITS
    assert _resolve(Selection(splits=("val", "train"))).splits == ("val", "train")


def test_subsets_are_not_looked_up_unless_one_is_named() -> None:
    def never() -> Any:
        raise AssertionError("looked up")

    resolve(Selection(max_documents=3), SPLITS, never, PUBLISHED)


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection(splits=("dev",)), "no split named 'dev'; known: train, val"),
        (
            Selection(subsets=frozenset({"Gitlab"})),
            "no subset named 'Gitlab'; " + KNOWN + "; did you mean Github?",
        ),
        (
            Selection(exclude_subsets=frozenset({"Books3"})),
            "no subset named 'Books3' (published with the Pile, but no document here is of it); "
            + KNOWN,
        ),
    ],
)
def test_unknown_names_are_not_found_and_the_known_ones_named(
    selection: Selection, message: str
) -> None:
    with pytest.raises(NotFound) as caught:
        _resolve(selection)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("selection", "field"),
    [
        (Selection(splits=("val", "val")), "selection.splits"),
        (
            Selection(subsets=frozenset({"Github"}), exclude_subsets=frozenset({"Github"})),
            "selection.exclude_subsets",
        ),
    ],
)
def test_contradictions_are_refused(selection: Selection, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        _resolve(selection)
    assert caught.value.field == field


def test_wants() -> None:
    assert Selection().wants("Github")
    assert not Selection(subsets=frozenset({"Enron Emails"})).wants("Github")
    assert not Selection(exclude_subsets=frozenset({"Github"})).wants("Github")
    assert Selection(subsets=frozenset({""})).wants("")
    assert not Selection().filters


def test_digests_change_with_their_own_part_only() -> None:
    base = _resolve(Selection())
    changed = {
        "splits": replace(base, splits=("val", "train")),
        "subsets": replace(base, exclude_subsets=frozenset({"Github"})),
        "limits": replace(base, max_bytes=1),
    }
    for part, selection in changed.items():
        differing = {
            name for name, digest in base.digests().items() if selection.digests()[name] != digest
        }
        assert differing == {part}
