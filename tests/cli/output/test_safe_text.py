"""What others wrote cannot steer the terminal that it is shown on."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from services.cli.output.safe_text import SafeText, escaped
from services.common.safe_text import shown

ATTACKS = (
    "\x1b]0;PWNED\x07",  # sets the window's title
    "\x1b[8m",  # hides what follows
    "\x9b2J",  # clears the screen, in one byte
    "\r\x08\x7f",  # overwrites what was printed
    "\u202egnp.exe",  # turns what follows round
    "\udce9",  # a byte of a name that is no UTF-8: cannot be written
)


def printed(text: str) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, highlight=False, width=200)
    console.push_render_hook(SafeText())
    console.print(text, markup=False)
    console.print(text, style="bold", markup=False, soft_wrap=True)
    table = Table(text)
    table.add_row(text)
    console.print(table)
    return file.getvalue()


def test_attacks_reach_no_terminal_and_our_own_styles_do() -> None:
    for attack in ATTACKS:
        found = printed(f"before{attack}after")
        assert attack not in found
        assert "before" in found
        assert "\x1b[1m" in found
        rest = found.replace("\x1b[1m", "").replace("\x1b[0m", "")
        assert shown(rest) == rest


@pytest.mark.slow
@given(st.text())
def test_whatever_is_printed_is_safe(text: str) -> None:
    rest = printed(text.replace("\x1b", "")).replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert shown(rest) == rest


def test_tabs_lines_and_every_script_stay() -> None:
    text = "a\tb\nc é 漢字 العربية 👩‍👩‍👧"
    assert shown(text) == text


@pytest.mark.slow
@given(st.text())
def test_escaped_json_is_the_same_document(text: str) -> None:
    whole = json.dumps({text: [text]}, ensure_ascii=False)
    assert json.loads(escaped(whole)) == {text: [text]}
    assert shown(escaped(whole)) == escaped(whole)
