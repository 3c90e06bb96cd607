"""Commands that run at once have logs of their own: one's reason is not another's last line."""

from __future__ import annotations

from pathlib import Path

from services.cli.connections.processes import _own_log


def test_a_log_in_use_is_left_to_its_service(tmp_path: Path) -> None:
    with _own_log(tmp_path, "corpus") as first:
        first.write(b"of the first\n")
        first.flush()
        with _own_log(tmp_path, "corpus") as second, _own_log(tmp_path, "ranker") as other:
            names = [Path(log.name).name for log in (first, second, other)]
            assert names == ["corpus.log", "corpus-2.log", "ranker.log"]
            assert (tmp_path / "corpus.log").read_text() == "of the first\n"
    with _own_log(tmp_path, "corpus") as again:
        assert Path(again.name).name == "corpus.log"
        assert (tmp_path / "corpus.log").read_text() == ""
