"""Memory is the machine's, or less where a container allows less."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.common import memory


def test_free_memory_is_the_machines_or_the_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = tmp_path / "meminfo"
    limit, used = (tmp_path / f"memory.{name}" for name in ("max", "current"))
    machine.write_text("MemTotal: 99 kB\nMemAvailable: 50 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", machine)
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "nothing")
    monkeypatch.setattr(memory, "_GROUPS", tmp_path)
    assert memory.available() == 50 << 10
    used.write_text("30000\n")
    for text, free in (("max\n", 50 << 10), ("40000\n", 10_000), ("90000\n", 50 << 10)):
        limit.write_text(text)
        assert memory.available() == free
        assert memory.total() == min(99 << 10, int(text) if text.strip().isdigit() else 99 << 10)
    machine.unlink()
    limit.unlink()
    assert memory.available() is None
    assert memory.total() is None


@pytest.mark.parametrize(
    ("line", "folder", "file"),
    [
        ("4:cpu,memory:/system.slice/assay.service", "memory", "memory.limit_in_bytes"),
        ("0::/system.slice/assay.service", "", "memory.max"),
    ],
)
def test_the_limit_of_our_own_group_and_of_those_above_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, folder: str, file: str
) -> None:
    """As systemd sets it; a container sees its own at the root."""
    machine, own = tmp_path / "meminfo", tmp_path / "own"
    machine.write_text("MemTotal: 99 kB\nMemAvailable: 50 kB\n")
    own.write_text(f"7:pids:/other\n{line}\n")
    monkeypatch.setattr(memory, "_MEMINFO", machine)
    monkeypatch.setattr(memory, "_OWN_GROUPS", own)
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "groups")
    service = tmp_path / "groups" / folder / "system.slice" / "assay.service"
    service.mkdir(parents=True)
    assert memory.total() == 99 << 10
    (service / file).write_text("4096\n")
    assert memory.total() == 4096
    (service.parent / file).write_text("2048\n")
    assert memory.total() == 2048
    (tmp_path / "groups" / folder / file).write_text("1024\n")
    assert memory.total() == 1024


def test_what_is_left_is_the_limit_without_pages_of_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cached and mapped files, which a control group counts as used, are given back when needed."""
    pages, group = tmp_path / "statm", tmp_path / "memory.max"
    pages.write_text("900 5 2 0 0 0 0\n")
    group.write_text("1000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    monkeypatch.setattr(memory, "_OWN_PAGES", pages)
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "nothing")
    monkeypatch.setattr(memory, "_GROUPS", tmp_path)
    assert memory.left() == 1_000_000 - 3 * os.sysconf("SC_PAGE_SIZE")
    pages.unlink()
    assert memory.left() is None
