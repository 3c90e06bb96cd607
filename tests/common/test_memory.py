"""Memory is the machine's, or less where a container allows less."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.common import memory


def test_free_memory_is_the_machines_or_the_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, limit, used = (tmp_path / name for name in ("meminfo", "max", "current"))
    machine.write_text("MemTotal: 99 kB\nMemAvailable: 50 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", machine)
    monkeypatch.setattr(memory, "_CONTAINERS", ((limit, used),))
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
