"""From what is wanted, there and loaded to what is to be done."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.segment.serving.desired import Desired, desired
from services.segment.serving.planning import Plan, plan
from services.segment.serving.repository import Identity

NAMES, VERSIONS, DIGESTS = ("a", "b"), ("1", "2", "3"), ("x", "y")
IDENTITIES = st.builds(
    Identity, st.sampled_from(NAMES), st.sampled_from(VERSIONS), st.sampled_from(DIGESTS)
)
PRESENT = st.lists(IDENTITIES, unique_by=lambda x: x[:2]).map(sorted)
WISHES = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(("", *VERSIONS))), unique=True
).map(desired)


def id_(text: str) -> Identity:
    return Identity(*text)


def ids(text: str) -> list[Identity]:
    return [id_(word) for word in text.split()]


def wish(*words: str) -> Desired:
    return desired([(word[0], word[1:]) for word in words])


def settled(
    state: Desired, present: list[Identity], loaded: set[Identity], broken: set[Identity]
) -> tuple[set[Identity], list[Plan]]:
    """Do what the plans say until there is nothing to do; return what serves and every plan."""
    loaded, failed, plans = set(loaded), dict[Identity, bool](), []
    while True:
        plans.append(plan(state, present, loaded, failed))
        loaded = set(plans[-1].serving)
        model = plans[-1].load
        if model is None:
            return loaded, plans
        if model in broken:
            failed[model] = False
        else:
            loaded.add(model)


def test_everything_that_is_there_is_served() -> None:
    serving, _ = settled(wish(), ids("a1x a2x b1x"), set(), set())
    assert serving == set(ids("a1x a2x b1x"))


def test_of_one_name_and_version_one_is_served_however_often_it_was_replaced() -> None:
    # y was loaded in the place of x, and the directory holds z by then.
    found = plan(wish(), ids("a1z"), ids("a1x a1y"), {})
    assert (found.serving, found.load) == (frozenset(ids("a1x")), id_("a1z"))


def test_what_failed_is_tried_again_after_what_was_not_tried() -> None:
    found = plan(wish(), ids("a1x b1x"), set(), {id_("a1x"): True})
    assert found.load == id_("b1x")


def test_a_successor_is_loaded_before_its_predecessor_goes() -> None:
    serving, plans = settled(wish("a2"), ids("a1x a2x"), set(ids("a1x")), set())
    assert [set(step.serving) for step in plans] == [set(ids("a1x")), set(ids("a2x"))]
    assert serving == set(ids("a2x"))


def test_a_predecessor_stays_where_its_successor_fails_or_is_absent() -> None:
    for state in (wish("a2"), wish("a"), wish("a3")):
        serving, _ = settled(state, ids("a1x a2x"), set(ids("a1x")), set(ids("a2x")))
        assert serving == set(ids("a1x"))


def test_a_model_replaced_in_its_place_is_another_one() -> None:
    serving, plans = settled(wish(), ids("a1y"), set(ids("a1x")), set())
    assert plans[0].serving == frozenset(ids("a1x"))
    assert serving == set(ids("a1y"))


def test_the_last_version_that_can_be_loaded_takes_the_place_of_the_last() -> None:
    serving, _ = settled(wish("a"), ids("a1x a2x a3x"), set(), set(ids("a3x")))
    assert serving == set(ids("a2x"))
    serving, _ = settled(wish("a3"), ids("a1x a2x a3x"), set(), set(ids("a3x")))
    assert serving == set()


def test_it_is_tried_again_when_it_is_time() -> None:
    (model,) = present = ids("a1x")
    assert plan(wish(), present, set(), {model: False}).load is None
    assert plan(wish(), present, set(), {model: True}).load == model


def test_the_last_model_goes_when_another_name_can_take_its_place() -> None:
    serving, plans = settled(wish("b"), ids("a1x b1x c1x"), set(ids("a1x c1x")), set())
    assert [set(step.serving) for step in plans] == [set(ids("a1x c1x")), set(ids("b1x"))]
    assert serving == set(ids("b1x"))


def test_nothing_goes_where_no_wanted_model_can_be_served() -> None:
    # It fails, or is not there.
    for broken, present in ((set(ids("b1x")), ids("a1x b1x")), (set[Identity](), ids("a1x"))):
        serving, plans = settled(wish("b"), present, set(ids("a1x")), broken)
        assert all(step.serving == frozenset(ids("a1x")) for step in plans)
        assert serving == set(ids("a1x"))


def test_a_stand_in_for_what_is_wanted_takes_the_place_too() -> None:
    serving, _ = settled(wish("b"), ids("a1x b1x b2x"), set(ids("a1x")), set(ids("b2x")))
    assert serving == set(ids("b1x"))


def test_what_is_not_wanted_goes_at_once_beside_a_predecessor() -> None:
    first = plan(wish("a2"), ids("a1x a2x b1x"), set(ids("a1x b1x")), {})
    assert first.serving == frozenset(ids("a1x"))
    assert first.load == id_("a2x")


@pytest.mark.slow
@given(WISHES, PRESENT, st.sets(IDENTITIES), st.sets(IDENTITIES))
def test_plans_come_to_rest_with_what_is_wanted(
    state: Desired, present: list[Identity], loaded: set[Identity], broken: set[Identity]
) -> None:
    loaded = {x for x in loaded if not any(y[:2] == x[:2] and y < x for y in loaded)}
    serving, plans = settled(state, present, loaded, broken)
    last = plans[-1]
    # What can be served of what is wanted is served, and one of a name and version at most.
    assert last.wanted - broken <= serving
    for step in plans:
        assert len({x[:2] for x in step.serving}) == len(step.serving)
        assert step.load is None or step.load not in step.serving
    # A name that served and is wanted never stops serving.
    wanted = {x.name for x in last.wanted} | {model.name for model in last.absent}
    for name in wanted & {x.name for x in loaded}:
        assert all(any(x.name == name for x in step.serving) for step in plans)
    # What served is never left with nothing.
    assert all(step.serving for step in plans if loaded)
    # A name that nobody wants is gone, unless nothing that is wanted can be served, and one whose
    # wishes are all met has nothing else.
    served = {x.name for x in serving}
    assert served <= wanted or not served & wanted
    met = {x.name for x in last.wanted} - {x.name for x in last.wanted - serving}
    met -= {model.name for model in last.absent}
    assert all(x in last.wanted for x in serving if x.name in met)
    # Planning again changes nothing.
    assert plan(state, present, serving, dict.fromkeys(broken, False)).serving == serving
