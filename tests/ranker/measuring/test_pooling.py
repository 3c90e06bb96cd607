"""Restarts of several verifications, taken together."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.statistics.speed.restarts import Restart
from services.common.statistics.speed.timing import timing
from services.ranker.claims.evidence import Observation, seal
from services.ranker.claims.findings import Evidence
from services.ranker.claims.model import Basis, SubjectRelation
from services.ranker.measuring.pooling import pooled, read, written

METHOD = "m.f@1"
RESTARTS = st.lists(
    st.builds(
        Restart,
        started=st.integers(0, 10**9).map(float),
        seconds=st.floats(0.5, 2.0),
        least=st.just(0.4),
        others=st.none() | st.floats(0, 0.2),
        kernel=st.none() | st.floats(0.95, 1.2),
        steal=st.none() | st.floats(0, 0.02),
        throttled=st.booleans(),
        own=st.floats(0, 1),
        allowed=st.floats(0.1, 4),
    ),
    max_size=120,
    unique_by=lambda one: one.started,
)


def observation(**of: object) -> Observation:
    base = {"engine": {"id": "e"}, "environment": {"cpu": "c", "load": 1.0}, **of}
    return Observation(None, SubjectRelation.EXACT, Basis.MEASURED, **base)  # type: ignore[arg-type]


def kept(restarts: list[Restart], **of: object) -> Evidence:
    """What a verification kept of those restarts."""
    found = observation(restarts=tuple(written(one) for one in restarts), **of)
    time = datetime(2026, 1, 1, tzinfo=UTC)
    return seal(found, claim="C", method=METHOD, command="c", time=time)


@given(RESTARTS)
def test_a_restart_is_read_as_it_was_written(restarts: list[Restart]) -> None:
    assert [read(written(one)) for one in restarts] == restarts
    assert [read(one) for one in kept(restarts).restarts] == restarts


@pytest.mark.parametrize("damage", [{}, {"started": "x"}, {"started": True}])
def test_what_is_no_restart_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="is not a restart"):
        read(damage)


@pytest.mark.slow
@given(RESTARTS, st.randoms())
def test_the_order_of_verifications_changes_nothing(
    restarts: list[Restart], generator: random.Random
) -> None:
    cut = sorted(generator.sample(range(len(restarts) + 1), 2)) if len(restarts) > 1 else [0, 0]
    sessions = [restarts[: cut[0]], restarts[cut[0] : cut[1]], restarts[cut[1] :]]
    whole = pooled(observation(), METHOD, restarts, ())
    generator.shuffle(sessions)
    new, *earlier = sessions
    parts = pooled(observation(), METHOD, new, [kept(one) for one in earlier])
    assert parts == whole


def test_as_many_are_kept_as_are_ever_looked_at() -> None:
    clean = [Restart(float(n), 1.0, 1.0, 0.0, 1.0) for n in range(100)]
    busy = [Restart(float(n), 9.0, 9.0, 1.0, 1.0) for n in range(100, 200)]
    found = pooled(observation(), METHOD, [*clean, *busy], ())
    assert (sum(one.clean for one in found), len(found)) == (64, 88)
    assert timing(found).interval == timing([*clean, *busy]).interval


@pytest.mark.parametrize(
    "other",
    [
        {"engine": {"id": "another"}},
        {"engine": {"id": "e", "threads": 4}},
        {"environment": {"cpu": "another"}},
        {"environment": {"cpu": "c", "versions": {"e": "2"}}},
        {"environment": {"cpu": "c", "machine": "another"}},
        {"subject_digest": "sha256:another"},
        {"subject": {"input_height": 640}},
    ],
)
def test_restarts_of_something_else_are_left_alone(other: dict[str, object]) -> None:
    one = Restart(1.0, 1.0, 1.0, 0.0, 1.0)
    two = Restart(2.0, 1.0, 1.0, 0.0, 1.0)
    assert pooled(observation(), METHOD, [one], [kept([two], **other)]) == [one]
    assert pooled(observation(), METHOD, [one], [kept([two])]) == [one, two]
    # The load of the moment makes no other machine.
    moment = {"environment": {"cpu": "c", "load": 9.0, "time": "2026-01-01T00:00:00Z"}}
    assert pooled(observation(), METHOD, [one], [kept([two], **moment)]) == [one, two]
