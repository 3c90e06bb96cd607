"""What is held of pairs between calls is bounded: callers may name any hardware."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from services.ranker.api import comparisons
from services.ranker.api.comparisons import Comparisons, _Asked, _Prepared

_STATE = (1, 1)


@pytest.fixture
def held() -> Comparisons:
    given: Any = None
    return Comparisons(given, given, given, given, version=lambda: None, computed=lambda: None)


def hold(
    where: Comparisons, hardware: str, pieces: int, state: tuple[int, int] | None = _STATE
) -> None:
    on_pages = pieces // 3
    record = SimpleNamespace(evidence=("piece",) * (pieces - on_pages))
    page = SimpleNamespace(claims=("claim",) * on_pages)
    pair: Any = SimpleNamespace(first=record, second=SimpleNamespace(evidence=()), pages=(page,))
    asked = _Asked("a", "b", date(2026, 12, 1), hardware, ())
    where._hold(asked, _Prepared(state, pair, "key"))


def names(where: Comparisons) -> list[str]:
    return [one.hardware for one in where._prepared]


def test_those_held_for_the_longest_go_when_there_is_too_much_evidence(
    held: Comparisons, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparisons, "_MAX_PREPARED_EVIDENCE", 100)
    for name in "abcde":
        hold(held, name, 30)
    assert names(held) == ["c", "d", "e"]
    hold(held, "large", 100)
    assert names(held) == ["large"]
    hold(held, "too large", 101)
    assert names(held) == []


def test_those_held_for_the_longest_go_when_there_are_too_many(
    held: Comparisons, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparisons, "_MAX_PREPARED_PAIRS", 2)
    for name in ("a", "b", "b", "c"):
        hold(held, name, 0)
    assert names(held) == ["b", "c"]


def test_what_was_read_before_a_change_is_not_held(held: Comparisons) -> None:
    hold(held, "before", 1)
    hold(held, "after", 1, (2, 1))
    hold(held, "unknown", 1, None)
    assert names(held) == ["after"]
