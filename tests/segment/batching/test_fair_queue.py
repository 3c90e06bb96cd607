"""Whose turn it is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from services.segment.batching.admission import Pending
from services.segment.batching.fair_queue import MAX_TURNS_PASSED, FairQueue
from services.segment.batching.ticket import Admission, Priority


@dataclass(eq=False)
class Item:
    client: str
    priority: int = 0
    bucket: str = ""

    @property
    def admission(self) -> Admission:
        return Admission(1, priority=Priority(self.priority), client=self.client)


ITEMS = st.builds(Item, st.sampled_from("abc"), st.integers(0, 2), st.sampled_from("xy"))


def filled(items: list[Item]) -> FairQueue[Item]:
    queue: FairQueue[Item] = FairQueue(3)
    for item in items:
        queue.add(item, item.bucket)
    return queue


def emptied(queue: FairQueue[Item], most: int = 1) -> list[Item]:
    taken: list[Item] = []
    while queue:
        taken += queue.take(queue.buckets, most)
    return taken


def test_clients_take_turns_and_their_items_are_in_order() -> None:
    items = [Item(client) for client in "aaaaabbc"]
    taken = emptied(filled(items))
    assert "".join(item.client for item in taken) == "abcabaaa"
    assert [item for item in taken if item.client == "a"] == items[:5]


def test_a_thousand_items_of_another_cost_one_turn() -> None:
    queue = filled([Item("many") for _ in range(1000)])
    assert queue.take([""], 8)
    mine = Item("one")
    queue.add(mine, "")
    assert mine in queue.take([""], 2)


def test_priorities_come_first() -> None:
    taken = emptied(filled([Item("a", 2), Item("b", 1), Item("a", 0), Item("b", 0)]), 3)
    assert [item.priority for item in taken] == [0, 0, 1, 2]


def test_no_priority_waits_for_ever() -> None:
    queue = filled([Item("low", 2), Item("normal", 1)])
    led: list[str] = []
    for _ in range(MAX_TURNS_PASSED + 2):
        queue.add(Item("high", 0), "")
        led += [item.client for item in queue.take([""], 1)]
    assert led == ["high"] * MAX_TURNS_PASSED + ["normal", "low"]


def test_who_is_served_out_of_turn_has_had_a_turn() -> None:
    items = [Item(client) for client in "abca"]
    queue = filled(items)
    queue.take_these([items[3]], "")
    assert emptied(queue) == [items[1], items[2], items[0]]


def test_a_priority_is_passed_over_out_of_turn_as_well() -> None:
    queue = filled([Item("low", 2)])
    for _ in range(MAX_TURNS_PASSED):
        assert not queue.overdue
        high = Item("high", 0)
        queue.add(high, "")
        queue.take_these([high], "")
    assert queue.overdue
    queue.add(Item("high", 0), "")
    assert [item.client for item in queue.take([""], 1)] == ["low"]
    assert not queue.overdue


def test_buckets_of_one_client_take_turns() -> None:
    items = [Item("a", bucket=bucket) for bucket in "xxxyyz"]
    assert "".join(item.bucket for item in emptied(filled(items))) == "xyzxyx"


def test_a_batch_is_of_one_bucket() -> None:
    queue = filled([Item(client, bucket=bucket) for client in "ab" for bucket in "xy"])
    assert [item.bucket for item in queue.take(queue.buckets, 4)] == ["x", "x"]


def test_who_was_served_from_one_bucket_waits_in_the_other() -> None:
    queue = filled([Item("a", bucket="x"), Item("a", bucket="y"), Item("b", bucket="y")])
    (first,) = queue.take(["x"], 1)
    assert first.client == "a"
    assert [item.client for item in queue.take(["y"], 2)] == ["b", "a"]


def test_an_item_that_costs_four_turns_lets_the_others_have_theirs() -> None:
    queue = by_cost({"x": 4.0, "y": 1.0})
    for client, bucket in ("ax",) * 3 + ("by",) * 10:
        queue.add(Item(client, bucket=bucket), bucket)
    assert "".join(item.client for item in emptied(queue)) == "abbbbabbbbabb"


def test_who_leaves_after_an_item_that_cost_four_turns_comes_back_behind() -> None:
    queue = by_cost({"x": 4.0, "y": 1.0})
    for _ in range(12):
        queue.add(Item("b", bucket="y"), "y")
    taken = ""
    while len(taken) < 12:
        if not queue.size("x"):  # it sends its next one when it has its answer
            queue.add(Item("a", bucket="x"), "x")
        taken += queue.take(queue.buckets, 1)[0].client
    assert taken == "babbbabbbbab"


def test_clients_that_are_gone_owe_nothing_for_ever() -> None:
    queue = by_cost({"x": 4.0})
    for number in range(1000):
        item = Item(f"client {number}", bucket="x")
        queue.add(item, "x")
        queue.take(["x"], 1)
    assert len(queue._owing[0]) < 10


@given(st.lists(st.integers(1, 8), min_size=2, max_size=5), st.integers(20, 200))
def test_clients_that_always_wait_get_as_much_of_the_time(costs: list[int], taken: int) -> None:
    """Of the cost of what is taken all have had the same, up to one item of each."""
    queue = by_cost({str(number): float(cost) for number, cost in enumerate(costs)})
    had = [0] * len(costs)
    for number in range(len(costs)):
        queue.add(Item(str(number), bucket=str(number)), str(number))
    for _ in range(taken):
        (item,) = queue.take(queue.buckets, 1)
        number = int(item.client)
        had[number] += costs[number]
        queue.add(Item(item.client, bucket=item.bucket), item.bucket)
        assert max(had) - min(had) <= 2 * max(costs)


def by_cost(turns: dict[str, float]) -> FairQueue[Item]:
    return FairQueue(3, lambda bucket: turns[str(bucket)])


@given(st.lists(ITEMS, min_size=1, max_size=40), st.integers(1, 5), st.data())
def test_any_order_of_events(items: list[Item], most: int, data: st.DataObject) -> None:
    """Nothing is lost or taken twice, and what is foretold is what is taken."""
    queue, left = filled(items), list(items)
    while left:
        if data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(items))
            queue.remove(gone, gone.bucket)
            queue.remove(gone, gone.bucket)
            left = [item for item in left if item is not gone]
        assert len(queue) == len(left)
        assert set(queue.buckets) == {item.bucket for item in left}
        if not left:
            break
        for bucket in queue.buckets:
            inside = [item for item in left if item.bucket == bucket]
            assert queue.size(bucket) == len(inside)
            assert queue.oldest(bucket) is inside[0]
        foretold = queue.preview(queue.buckets, most)
        taken = queue.take(queue.buckets, most)
        assert taken == foretold
        inside = [item for item in left if item.bucket == taken[0].bucket]
        assert len(taken) == min(most, len(inside))
        left = [item for item in left if item not in taken]
        for item in taken:
            mine = [(other.client, other.priority) for other in taken]
            assert (item.client, item.priority) in mine
            same = [
                other
                for other in inside
                if (other.client, other.priority) == (item.client, item.priority)
            ]
            count = mine.count((item.client, item.priority))
            assert set(map(id, same[:count])) <= set(map(id, taken))  # its oldest


@given(st.lists(ITEMS, max_size=60))
def test_a_client_waits_for_one_batch_of_each_other(items: list[Item]) -> None:
    """From when an item is its client's first, no other client leads two batches before it."""
    queue: FairQueue[Item] = FairQueue(1)
    for item in items:
        item.priority = 0
        queue.add(item, item.bucket)
    since: dict[str, Counter[str]] = {}
    while queue:
        waiting = {client for bucket in queue.buckets for client in clients(queue, bucket)}
        taken = queue.take(queue.buckets, 2)
        for client in waiting - {item.client for item in taken}:
            leads = since.setdefault(client, Counter())
            leads[taken[0].client] += 1
            assert leads[taken[0].client] <= 1
        for item in taken:
            since.pop(item.client, None)


def clients(queue: FairQueue[Item], bucket: object) -> set[str]:
    return {item.client for item in queue.preview([bucket], 1000)}


@given(st.lists(ITEMS, max_size=40), ITEMS, st.data())
def test_the_count_ahead_foretells_the_queue(
    items: list[Item], new: Item, data: st.DataObject
) -> None:
    """No more come before a new item than was said, whatever was taken before."""
    queue: FairQueue[Item] = FairQueue(3)
    pending = Pending(3, 50)
    waiting: list[Item] = []
    for item in items:
        item.bucket = ""
        queue.add(item)
        pending.add(item.admission)
        waiting.append(item)
        if data.draw(st.integers(0, 3)) == 0:
            gone = data.draw(st.sampled_from(waiting))
            waiting.remove(gone)
            queue.remove(gone)
            pending.remove(gone.admission)
    assert len(pending) == len(waiting)
    ahead = pending.ahead(new.priority, new.client)
    above = sum(item.priority < new.priority for item in waiting)
    counts = Counter(item.client for item in waiting if item.priority == new.priority)
    mine = counts.pop(new.client, 0)
    assert pending.count(new.priority, new.client) == mine
    assert ahead == above + mine + sum(min(count, mine + 1) for count in counts.values())
    queue.add(new)
    order: list[Item] = []
    while queue and len(order) < MAX_TURNS_PASSED:
        order += queue.take(queue.buckets, 1)
    if new in order:
        assert order.index(new) <= ahead
    else:
        assert ahead >= MAX_TURNS_PASSED
