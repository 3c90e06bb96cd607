"""Who may take a place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.segment.batching.quota import Places


def fill(places: Places, client: str, size: int = 1) -> int:
    taken = 0
    while places.refusal(client, size) is None:
        places.take(client, size)
        taken += 1
    return taken


@pytest.mark.parametrize(("items", "most"), [(1, 1), (2, 1), (5, 4), (64, 51), (1000, 800)])
def test_one_client_leaves_a_fifth(items: int, most: int) -> None:
    places = Places(items, 1 << 30)
    assert fill(places, "a") == most
    if items > 1:
        assert places.refusal("b", 1) is None
        assert "for others" in str(places.refusal("a", 1))


def test_many_clients_fill_a_queue() -> None:
    places = Places(64, 1 << 30)
    assert sum(fill(places, str(client)) for client in range(64)) == 64
    assert places.refusal("new", 1) == "the queue is full"


def test_bytes_are_shared_as_well() -> None:
    places = Places(1000, 100)
    assert fill(places, "a", 10) == 8
    assert fill(places, "b", 20) == 1
    assert places.held_bytes == 100


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 30)), max_size=60), st.data())
def test_accounts_are_right(wants: list[tuple[str, int]], data: st.DataObject) -> None:
    places = Places(8, 100)
    held: list[tuple[str, int]] = []
    for client, size in wants:
        refusal = places.refusal(client, size)
        left = 8 - len(held) - 1, 100 - sum(size for _, size in held) - size
        if refusal is None:
            assert min(left) >= 0
            mine = [size for other, size in held if other == client]
            assert len(mine) <= 4 * left[0]
            assert sum(mine) <= 4 * left[1]
            held.append((client, size))
            places.take(client, size)
        else:
            assert min(left) < 0 or client in {other for other, _ in held}
        if data.draw(st.booleans()) and held:
            back = data.draw(st.sampled_from(held))
            held.remove(back)
            places.give_back(*back)
        assert places.held_bytes == sum(size for _, size in held)
    for back in held:
        places.give_back(*back)
    assert places.held_bytes == 0
    assert fill(places, "a") == 6


def test_what_is_kept_free_is_left() -> None:
    places = Places(10, 100)
    places.keep_free(60)
    assert places.refusal("a", 41) == "the queue is full"
    assert places.refusal("a", 40) is None
    places.keep_free(0)
    assert places.refusal("a", 41) is None
