"""The file that says what is wanted: strict, replaced whole, one writer after the other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import InvalidArgument, PreconditionFailed, StorageFull, Unavailable
from services.segment.serving.desired import (
    Desired,
    DesiredFile,
    decode,
    desired,
    encode,
)

ONE = desired([("b0", "1")])
TWO = desired([("b0", "2"), ("b1", "")])
MODELS = st.tuples(
    st.from_regex(r"[a-z0-9][a-z0-9._-]{0,9}", fullmatch=True),
    st.one_of(st.just(""), st.from_regex(r"[0-9][0-9.]{0,5}", fullmatch=True)),
)


@pytest.mark.slow
@given(st.lists(MODELS, unique=True, max_size=8), st.randoms())
def test_a_state_comes_back_as_it_was_in_any_order(
    models: list[tuple[str, str]], random: object
) -> None:
    state = desired(models)
    random.shuffle(models)  # type: ignore[attr-defined]
    assert decode(encode(state), "file") == state == desired(models)
    loose = json.dumps(json.loads(encode(state)), indent=7).encode()
    assert decode(loose, "file").revision == state.revision


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not valid JSON"),
        ("[]", "must be an object"),
        ('{"schema": 1}', "models: is missing"),
        ('{"schema": 2, "models": []}', "schema: is 2"),
        ('{"schema": 1, "models": [], "more": 1}', "more: is not a known key"),
        ('{"schema": 1, "models": [{"name": "../b0", "version": "1"}]}', "is not a name"),
        ('{"schema": 1, "models": [{"name": "b0", "version": "/1"}]}', "is not a version"),
        ('{"schema": 1, "models": [{"name": "b0", "version": 1}]}', "must be a string"),
        (
            '{"schema": 1, "models": [{"name": "b", "version": ""}, {"name": "b", "version": ""}]}',
            "b appears twice",
        ),
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    file = DesiredFile(tmp_path / "desired.json")
    file.path.write_text(text)
    with pytest.raises(InvalidArgument, match=says) as caught:
        file.read()
    assert caught.value.field == str(file.path)
    with pytest.raises(PreconditionFailed, match="damaged"):
        file.replace(ONE, TWO.revision)
    file.replace(ONE)
    assert file.read() == ONE


def test_no_file_is_nothing_said_and_no_folder_is_an_outage(tmp_path: Path) -> None:
    assert DesiredFile(tmp_path / "desired.json").read() is None
    with pytest.raises(Unavailable, match="mounted"):
        DesiredFile(tmp_path / "absent" / "desired.json").read()
    with pytest.raises(Unavailable, match="cannot be read or written"):
        DesiredFile(tmp_path / "absent" / "desired.json").replace(ONE)
    (tmp_path / "large.json").write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(InvalidArgument, match="larger than 1048576 bytes"):
        DesiredFile(tmp_path / "large.json").read()


def test_a_revision_is_compared(tmp_path: Path) -> None:
    file = DesiredFile(tmp_path / "desired.json")
    with pytest.raises(PreconditionFailed, match=Desired().revision):
        file.replace(ONE, TWO.revision)
    assert file.read() is None
    file.replace(ONE, Desired().revision)
    with pytest.raises(PreconditionFailed, match=ONE.revision):
        file.replace(TWO, Desired().revision)
    file.replace(ONE, Desired().revision)  # the same call again
    assert file.read() == ONE
    file.replace(Desired(), ONE.revision)
    assert file.read() == Desired()


def test_of_writers_that_saw_one_revision_one_wins(tmp_path: Path) -> None:
    file = DesiredFile(tmp_path / "desired.json")
    file.replace(ONE)
    states = [desired([("b0", str(version))]) for version in range(2, 18)]

    def write(state: Desired) -> Desired | None:
        try:
            DesiredFile(file.path).replace(state, ONE.revision)
        except PreconditionFailed:
            return None
        return state

    with ThreadPoolExecutor(8) as pool:
        written = [state for state in pool.map(write, states) if state is not None]
    assert len(written) == 1
    assert file.read() == written[0]


WRITER = """
import sys
from pathlib import Path
from services.segment.serving.desired import DesiredFile, desired
file = DesiredFile(Path(sys.argv[1]))
for number in range(1 << 30):
    file.replace(desired([("b0", f"{number}.{i}") for i in range(300)]))
    print(number, flush=True)
"""


@pytest.mark.parametrize("writes", [1, 2, 3, 5, 8, 13])
def test_a_writer_that_is_killed_leaves_a_whole_file(tmp_path: Path, writes: int) -> None:
    file = DesiredFile(tmp_path / "desired.json")
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(file.path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for _ in range(writes):
            done = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
    state = file.read()
    assert state is not None
    (number,) = {model.version.split(".")[0] for model in state.models}
    assert int(number) >= done
    assert len(state.models) == 300
    file.replace(ONE)  # its lock went with it, and so does what it left
    assert file.read() == ONE
    assert {path.name for path in tmp_path.iterdir()} == {"desired.json", "desired.json.lock"}


def test_a_full_disk_keeps_what_was_wanted(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"this machine lets nobody mount: {mounted.stderr.strip()}")
    try:
        file = DesiredFile(disk / "desired.json")
        file.replace(ONE)
        with pytest.raises(OSError, match="No space"):
            (disk / "filler").write_bytes(bytes(1 << 20))
        with pytest.raises(StorageFull, match=r"disk .* is full"):
            file.replace(TWO)
        assert file.read() == ONE
        (disk / "filler").unlink()
        file.replace(TWO)
        assert file.read() == TWO
        assert {path.name for path in disk.iterdir()} == {"desired.json", "desired.json.lock"}
    finally:
        subprocess.run(["umount", str(disk)], check=True)
