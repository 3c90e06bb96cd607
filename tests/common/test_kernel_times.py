from __future__ import annotations

from pathlib import Path

import pytest

from services.common.calibration import kernel_seconds
from services.common.kernel_times import KernelTimes
from services.common.statistics.speed.restarts import KernelReference


def test_the_least_time_is_kept_with_how_many_there_were_on_how_many_days(tmp_path: Path) -> None:
    times = KernelTimes(tmp_path / "machine", "m", 2)
    assert not times.reference().settled
    assert times.add([3.0, 2.0], "2026-01-01") == KernelReference(2.0, 2, 1)
    assert times.add([4.0] * 18, "2026-01-01") == KernelReference(2.0, 20, 1)
    found = KernelTimes(tmp_path / "machine", "m", 2).add([1.5], "2026-01-02")
    assert found == KernelReference(1.5, 21, 2)
    assert found.settled
    assert times.add([9.0], "2026-01-05") == KernelReference(1.5, 22, 2)


def test_machines_and_numbers_of_threads_are_apart(tmp_path: Path) -> None:
    KernelTimes(tmp_path, "m", 2).add([1.0], "2026-01-01")
    assert KernelTimes(tmp_path, "m", 1).reference().timings == 0
    assert KernelTimes(tmp_path, "another", 2).reference().timings == 0


@pytest.mark.parametrize("damage", ["", "[]", '{"seconds": "x"}', '{"seconds": 0, "timings": 5}'])
def test_a_damaged_file_is_one_without_timings(tmp_path: Path, damage: str) -> None:
    times = KernelTimes(tmp_path, "m", 1)
    times.add([1.0], "2026-01-01")
    (kept,) = tmp_path.iterdir()
    kept.write_text(damage)
    assert times.reference().timings == 0
    assert times.add([2.0], "2026-01-02") == KernelReference(2.0, 1, 1)


def test_a_folder_that_cannot_be_written_is_one_without_timings(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    times = KernelTimes(tmp_path / "file" / "below", "m", 1)
    assert times.add([1.0], "2026-01-01") == KernelReference(1.0, 1, 1)
    assert times.reference().timings == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_the_kernel_is_timed_in_parts(threads: int) -> None:
    assert 0 < kernel_seconds(threads, seconds=0.0) < 5
