from __future__ import annotations

import pytest

from services.errors import Unavailable
from services.segment.serving.engine_guard import MAX_FAILURES, EngineGuard


class Machine:
    """An engine that works, or doesn't."""

    def __init__(self) -> None:
        self.works = True
        self.trials = 0
        self.given_up: list[str] = []
        self.guard = EngineGuard("tiny", self.trial, self.given_up.append)

    def trial(self) -> None:
        self.trials += 1
        if not self.works:
            raise RuntimeError("an illegal memory access")

    def fail(self) -> None:
        self.guard.failed(RuntimeError("this picture"))


def test_a_picture_that_cannot_be_computed_says_nothing_of_the_engine() -> None:
    machine = Machine()
    for _ in range(10 * MAX_FAILURES):
        machine.fail()
    machine.guard.require_usable()
    assert machine.trials == 10 * MAX_FAILURES
    assert machine.given_up == []


def test_an_engine_that_fails_its_trial_in_a_row_is_given_up_once() -> None:
    machine = Machine()
    machine.works = False
    for _ in range(MAX_FAILURES):
        machine.guard.require_usable()
        with pytest.raises(Unavailable, match="the engine of tiny does not work"):
            machine.fail()
    assert len(machine.given_up) == 1
    assert "an illegal memory access" in machine.given_up[0]
    with pytest.raises(Unavailable):
        machine.guard.require_usable()


@pytest.mark.parametrize("worked", ["a run", "a trial"])
def test_one_success_counts_from_the_start(worked: str) -> None:
    machine = Machine()
    for _ in range(3):
        machine.works = False
        for _ in range(MAX_FAILURES - 1):
            with pytest.raises(Unavailable):
                machine.fail()
        machine.works = True
        if worked == "a run":
            machine.guard.succeeded()
        else:
            machine.fail()
    machine.guard.require_usable()
    assert machine.given_up == []
