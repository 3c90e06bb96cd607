"""A command on a real terminal, as wide as people have them, and in a pipe."""

from __future__ import annotations

import csv
import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from services.cli.exits import Exit

pytestmark = pytest.mark.slow

STATS = (sys.executable, "-m", "services.cli", "corpus", "stats")


def environment(home: Path) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}
    return ours | {"ASSAY_HOME": str(home), "TERM": "dumb"}


def on_terminal(width: int, home: Path) -> str:
    """What a terminal of so many columns is sent."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    process = subprocess.Popen(
        STATS,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env=environment(home),
    )
    os.close(theirs)
    sent = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        sent += part
    os.close(ours)
    assert process.wait() == Exit.DONE
    return sent.decode()


@pytest.mark.parametrize("width", [80, 100, 120])
def test_tables_fit_the_terminal_and_nothing_is_cut(width: int, tmp_path: Path) -> None:
    text = on_terminal(width, tmp_path)
    table = [line for line in text.splitlines() if line[:1] in "┃│"]
    assert len(table) > 3
    assert max(map(len, table)) <= width
    assert "…" not in text
    assert "Python" in text


def test_a_pipe_gets_tabs_and_csv_has_every_column(tmp_path: Path) -> None:
    for arguments, separator in (((), "\t"), (("--format", "csv"), ",")):
        done = subprocess.run(
            [*STATS, *arguments],
            check=True,
            capture_output=True,
            text=True,
            env=environment(tmp_path),
        )
        lines = done.stdout.splitlines()
        first = next(n for n, line in enumerate(lines) if line.startswith(f"subset{separator}"))
        rows = list(csv.reader(io.StringIO("\n".join(lines[first:])), delimiter=separator))
        assert rows[0][:4] == ["subset", "documents", "bytes", "share"]
        assert len(rows[1]) == len(rows[0]) == 9
        if separator == ",":
            assert first == 0
            assert {len(row) for row in rows} == {9}
