"""A program that reads CSV finds the names of the columns, also where there is nothing to list."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from assay_rpc.ranker.v1 import artifact_pb2, rank_pb2, score_pb2, search_pb2
from assay_rpc.segment.v1 import models_pb2

from services.cli.commands.ranker import rank, search
from services.cli.commands.segment import segment_many
from services.cli.output.console import Format, printing

NOTHING: dict[str, Callable[[], None]] = {
    "rank": lambda: rank.show_ranks(rank_pb2.ListRanksResponse(), together=False, as_json=False),
    "search": lambda: search.show_matches(search_pb2.SearchCapabilitiesResponse(), as_json=False),
    "segment a folder": lambda: segment_many.show_tally(
        segment_many.Tally(rows={}), models_pb2.Model(), Path("out"), 1.0
    ),
}


@pytest.mark.parametrize("command", NOTHING)
def test_nothing_to_list_is_a_table_of_no_rows(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with printing(chosen=Format.CSV):
        NOTHING[command]()
    (heading,) = csv.reader(io.StringIO(capsys.readouterr().out))
    assert len(heading) > 1


def test_what_is_not_ranked_is_a_row_that_says_what_it_lacks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kind = artifact_pb2.ARTIFACT_TYPE_DATASET
    ranked = rank_pb2.Rank(
        artifact="first", type=kind, profile="core", best_place=1, worst_place=1, ranked_count=1
    )
    lacking = rank_pb2.Rank(
        artifact="second",
        type=kind,
        profile="core",
        score=score_pb2.Score(low=-50, high=150, lacks=["named-sources", "composition"]),
    )
    profiles = [rank_pb2.RankedProfile(type=kind, profile="core")]
    reply = rank_pb2.ListRanksResponse(ranks=[ranked, lacking], profiles=profiles)
    with printing(chosen=Format.CSV):
        rank.show_ranks(reply, together=False, as_json=False)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    with printing(chosen=Format.TABLE):
        rank.show_ranks(reply, together=False, as_json=False)
    said = capsys.readouterr().out
    assert "assay rank second" in said
    assert "assay claims second" not in said  # verified claims bring nothing more
    assert [(one["artifact"], one["profile"], one["best place"]) for one in rows] == [
        ("first", "core", "1"),
        ("second", "core", ""),
    ]
    assert rows[1]["lacks"] == "named-sources; composition"
    assert rows[1]["score"] == ""


def test_profiles_in_which_nothing_is_ranked_are_lines_without_blank_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Else the 24 profiles of language models fill two screens."""
    kind = artifact_pb2.ARTIFACT_TYPE_LANGUAGE_MODEL
    names = ("books3", "philpapers")
    ranks = [
        rank_pb2.Rank(artifact="m", type=kind, profile=name, score=score_pb2.Score(lacks=[name]))
        for name in names
    ]
    profiles = [rank_pb2.RankedProfile(type=kind, profile=name) for name in names]
    reply = rank_pb2.ListRanksResponse(ranks=ranks, profiles=profiles)
    rank.show_ranks(reply, together=False, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("Books3"))
    assert lines[first - 1] == ""
    assert lines[first + 1].startswith("PhilPapers")
