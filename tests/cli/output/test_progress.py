"""What a command says while a user waits, with a terminal and without."""

from __future__ import annotations

import itertools

import pytest

from services.cli.output.console import printing
from services.cli.output.progress import working


def test_without_a_terminal_it_says_what_begins_and_then_a_line_every_30_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seconds = itertools.count(0, 16)
    with working("counting", clock=lambda: next(seconds)) as status:
        for done in range(1, 6):
            status.update(f"{done} of 5")
    assert capsys.readouterr().err.splitlines() == ["counting", "2 of 5", "4 of 5"]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = itertools.count(0, 60)
    with printing(quiet=True), working("counting", clock=lambda: next(seconds)) as status:
        status.update("1 of 5")
    assert capsys.readouterr().err == ""


def test_what_a_note_has_said_is_not_said_again(capsys: pytest.CaptureFixture[str]) -> None:
    with working("waiting", noted=False):
        pass
    assert capsys.readouterr().err == ""
