from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import pytest

from services.cli.__main__ import main
from services.cli.exits import Exit
from tests.corpus.shard_files import line, write_corpus

TEXTS = ["Grüße aus Köln", "plain words", "naïve 你好"]


def _record(folder: Path, count: str = "bytes") -> Path:
    documents = []
    for i, text in enumerate(TEXTS):
        size = len(text.encode() if count == "bytes" else text)
        documents.append({"id": str(i), "text": text, "bytes": size, "nats": 1.5 * size})
    record = {"bits_per_byte": round(1.5 / math.log(2), 6), "documents": documents}
    path = folder / "record.json"
    path.write_text(json.dumps(record))
    return path


def test_a_mistake_is_named_and_corrected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "bpb", str(_record(tmp_path, "characters"))]) == Exit.BAD_INPUT
    printed = capsys.readouterr().out
    assert "WRONG" in printed
    assert "characters: characters were counted, not bytes" in printed
    characters, size = sum(map(len, TEXTS)), sum(len(text.encode()) for text in TEXTS)
    assert f"corrected: {1.5 / math.log(2) * characters / size:.6g} bits per byte" in printed


def test_json_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "bpb", str(_record(tmp_path, "characters")), "--json"]) == Exit.BAD_INPUT
    printed = json.loads(capsys.readouterr().out)
    assert printed["status"] == "wrong"
    assert printed["findings"][0]["mistakes"] == ["characters"]


def test_digests_are_looked_up_in_shards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _record(tmp_path, "characters")
    record = json.loads(path.read_text())
    for document in record["documents"]:
        text = document.pop("text")
        document["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(record))
    root = write_corpus(tmp_path / "pile", {"test.jsonl.zst": [line(text) for text in TEXTS]})
    assert main(["audit", "bpb", str(path)]) == Exit.DONE
    assert "not checked" in capsys.readouterr().out
    assert main(["audit", "bpb", str(path), "--shards", str(root)]) == Exit.BAD_INPUT


def test_what_is_wrong_with_a_record_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r").write_text('{"window": -1, "speed": 2}')
    assert main(["audit", "bpb", str(tmp_path / "r")]) == Exit.BAD_INPUT
    printed = capsys.readouterr().err
    assert "3 problem(s)" in printed
    assert main(["audit", "bpb", str(tmp_path / "none")]) == Exit.NOT_FOUND
