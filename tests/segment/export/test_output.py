"""The output directory: there whole or not at all, refused early, errors said plainly."""

import errno
from pathlib import Path

import pytest

from services.errors import InternalError, InvalidArgument, TooLarge
from services.segment.export.output import atomic_directory, check_output, output_error


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_an_unfinished_directory_is_never_seen(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "model"
    with atomic_directory(out) as work:
        (work / "file").write_text("whole")
        assert not out.exists()
    assert (out / "file").read_text() == "whole"
    assert _names(out.parent) == ["model"]


def test_an_empty_directory_may_be_filled(tmp_path: Path) -> None:
    with atomic_directory(tmp_path / "model") as work:
        (tmp_path / "model").mkdir()
        (work / "file").write_text("whole")
    assert (tmp_path / "model" / "file").exists()


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:

    def fail() -> None:
        with atomic_directory(tmp_path / "model") as work:
            (work / "file").write_text("half")
            raise InternalError("the gate failed")

    with pytest.raises(InternalError):
        fail()
    assert _names(tmp_path) == []


def test_a_directory_filled_meanwhile_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "model"

    def fill() -> None:
        with atomic_directory(out):
            out.mkdir()
            (out / "theirs").write_text("kept")

    with pytest.raises(InvalidArgument, match="was filled meanwhile"):
        fill()
    assert _names(tmp_path) == ["model"]
    assert _names(out) == ["theirs"]


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "model"

    def write() -> None:
        # The kernel's own full device.
        with atomic_directory(out), Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"model")

    with pytest.raises(TooLarge, match="is full"):
        write()
    assert _names(tmp_path) == []


def test_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgument, match="is not empty"):
        check_output(tmp_path, 0)
    with pytest.raises(InvalidArgument, match="is a file"):
        check_output(tmp_path / "file", 0)
    with pytest.raises(InvalidArgument, match="is a file; a directory is needed"):
        check_output(tmp_path / "file" / "model", 0)
    with pytest.raises(TooLarge, match="MiB are needed"):
        check_output(tmp_path / "model", 1 << 60)
    check_output(tmp_path / "model", 1)


def test_other_errors_say_the_reason() -> None:
    error = output_error(Path("model"), OSError(errno.EROFS, "Read-only file system"))
    assert str(error) == "out: model cannot be written: Read-only file system"
