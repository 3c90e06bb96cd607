"""Processes that work for another end at once when they are done, with all that they wrote."""

from __future__ import annotations

import atexit
import os
from pathlib import Path

from services.corpus.worker_processes import without_interrupts, worker_processes


class Loaded:
    """Stands for what a process loads first: its interpreter's ordinary end would touch a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __setstate__(self, state: dict[str, Path]) -> None:
        self.folder = state["folder"]
        atexit.register((self.folder / f"{os.getpid()}.taken-apart").touch)


def begin(loaded: Loaded) -> None:
    """What a process does before its tasks."""
    (loaded.folder / f"{os.getpid()}.begun").touch()


def write(file: Path) -> int:
    """A task."""
    with file.open("w", encoding="ascii") as opened:
        opened.write("x" * 100_000)
    return os.getpid()


def test_processes_end_without_being_taken_apart(tmp_path: Path) -> None:
    with without_interrupts(), worker_processes(2, begin, (Loaded(tmp_path),)) as pool:
        tasks = [pool.submit(write, tmp_path / f"{number}.written") for number in range(8)]
        pids = {one.result() for one in tasks}
        processes = dict(pool._processes)
    assert {process.exitcode for process in processes.values()} == {0}
    assert {int(file.stem) for file in tmp_path.glob("*.begun")} >= pids
    assert not list(tmp_path.glob("*.taken-apart"))
    assert [file.stat().st_size for file in tmp_path.glob("*.written")] == [100_000] * 8
