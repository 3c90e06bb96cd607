"""What a command is given for its private services, and what it refuses."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from services.cli.connections import supplies
from services.cli.output.verdicts import grouped
from services.errors import InvalidArgument
from tests.corpus.shard_files import line, write_corpus

DIGEST = "sha256:" + "ab" * 32


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    supplies.add_arguments(parser)
    return parser.parse_args(words)


def test_flags_become_what_services_serve(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "pile", {"test.jsonl.zst": [line("a")]})
    for name in ("lm", "pictures"):
        (tmp_path / name).mkdir()
    found = supplies.inventory(
        parsed(
            "--shards", f"the-pile={root}", "--language-model", f"tiny={tmp_path / 'lm'}",
            "--pictures", str(tmp_path / "pictures"), "--model", str(tmp_path / "lm"),
        )
    ).own()  # fmt: skip
    corpora = json.loads(found["ASSAY_CORPUS_CORPORA"])
    assert corpora["the-pile"]["path"] == str(root)
    assert corpora["the-pile"]["kind"] == "sample"
    assert json.loads(found["ASSAY_CORPUS_LANGUAGE_MODELS"]) == {"tiny": str(tmp_path / "lm")}
    assert json.loads(found["ASSAY_SEGMENT_MODELS"]) == [str(tmp_path / "lm")]
    assert found["ASSAY_RANKER_LABELLED_PICTURES"] == str(tmp_path / "pictures")
    assert supplies.inventory(parsed()).own() == {}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (
            ("--shards", "the-pile=DIR", "--expect", f"the-pile={DIGEST}"),
            f"DIR is not a folder; put that of the corpus the-pile with the digest {DIGEST}",
        ),
        (("--language-model", "t=DIR"), "put that of the language model t in its place"),
        (
            ("--model", "DIR", "--expect", f"m={DIGEST}"),
            f"put that of a model with the digest {DIGEST}",
        ),
    ],
)
def test_a_command_that_is_pasted_as_it_is_says_what_is_missing(
    words: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        supplies.inventory(parsed(*words))
    assert problem in str(caught.value)


@pytest.mark.parametrize("word", ["x", "=x", "x="])
def test_what_is_no_pair_is_wrong_usage(word: str) -> None:
    with pytest.raises(SystemExit):
        parsed("--shards", word)


def test_folders_are_not_given_to_a_running_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_RANKER_ADDR", "127.0.0.1:1")
    with pytest.raises(InvalidArgument, match="names a running service"):
        supplies.inventory(parsed("--language-model", f"t={tmp_path}"))
    assert supplies.inventory(parsed()).own() == {}


def test_commands_that_differ_in_the_claim_alone_are_one() -> None:
    commands = [
        "assay claims a --claim A1 --shards a=DIR",
        "assay claims a --claim A2",
        "assay claims a --claim A3 --shards a=DIR",
        "assay claims b --claim A1",
    ]
    assert grouped(commands) == [
        "assay claims a --claim A1 --claim A3 --shards a=DIR",
        "assay claims a --claim A2",
        "assay claims b --claim A1",
    ]
