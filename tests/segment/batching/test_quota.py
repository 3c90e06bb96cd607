"""Which client may add an item."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.segment.batching.quota import Quota


def fill(quota: Quota, client: str, size: int = 1) -> int:
    taken = 0
    while quota.refusal(client, size) is None:
        quota.take(client, size)
        taken += 1
    return taken


@pytest.mark.parametrize(("items", "most"), [(1, 1), (2, 1), (5, 4), (64, 51), (1000, 800)])
def test_one_client_leaves_a_fifth(items: int, most: int) -> None:
    quota = Quota(items, 1 << 30)
    assert fill(quota, "a") == most
    if items > 1:
        assert quota.refusal("b", 1) is None
        assert "for others" in str(quota.refusal("a", 1))


def test_many_clients_fill_a_queue() -> None:
    quota = Quota(64, 1 << 30)
    assert sum(fill(quota, str(client)) for client in range(64)) == 64
    assert quota.refusal("new", 1) == "the queue is full"


def test_bytes_are_shared_as_well() -> None:
    quota = Quota(1000, 100)
    assert fill(quota, "a", 10) == 8
    assert fill(quota, "b", 20) == 1
    assert quota.held_bytes == 100


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 30)), max_size=60), st.data())
def test_accounts_are_right(wants: list[tuple[str, int]], data: st.DataObject) -> None:
    quota = Quota(8, 100)
    held: list[tuple[str, int]] = []
    for client, size in wants:
        refusal = quota.refusal(client, size)
        left = 8 - len(held) - 1, 100 - sum(size for _, size in held) - size
        if refusal is None:
            assert min(left) >= 0
            mine = [size for other, size in held if other == client]
            assert len(mine) <= 4 * left[0]
            assert sum(mine) <= 4 * left[1]
            held.append((client, size))
            quota.take(client, size)
        else:
            assert min(left) < 0 or client in {other for other, _ in held}
        if data.draw(st.booleans()) and held:
            back = data.draw(st.sampled_from(held))
            held.remove(back)
            quota.give_back(*back)
        assert quota.held_bytes == sum(size for _, size in held)
    for back in held:
        quota.give_back(*back)
    assert quota.held_bytes == 0
    assert fill(quota, "a") == 6


def test_what_is_kept_free_is_left() -> None:
    quota = Quota(10, 100)
    quota.keep_free(60)
    assert quota.refusal("a", 41) == "the queue is full"
    assert quota.refusal("a", 40) is None
    quota.keep_free(0)
    assert quota.refusal("a", 41) is None
