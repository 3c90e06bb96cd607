"""What is not read of a corpus is told with `--quiet` as well: the result is another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.cli.__main__ import main
from tests.corpus.shard_files import line, write_corpus


@pytest.mark.process
def test_bad_lines_and_files_that_are_not_read_are_no_notes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_corpus(
        tmp_path / "source",
        {"train/00.jsonl.zst": [line("a"), b"no record\n"], "more.jsonl": line("b")},
    )
    words = ["corpus", "index", str(source), "--out", str(tmp_path / "out"), "--jobs", "1"]
    assert main([*words, "--quiet", "--skip-bad-lines"]) == 0
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert told[0].startswith("left out 1 file that looks like a shard: more.jsonl")
    assert told[1].startswith("skipped train/00.jsonl.zst, line 1: is not JSON")
    assert told[1].endswith(f", at byte {len(line('a'))} of its lines")
