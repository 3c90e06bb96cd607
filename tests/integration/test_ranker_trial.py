"""The committed table of ten artifacts' claims is what the real services say of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ranker.trial import CARDS, is_wrong, settings, table
from benchmarks.report import HERE
from tests.conftest import ServiceStarter

pytestmark = [pytest.mark.process, pytest.mark.slow]

RESULT = json.loads((HERE / "results" / "ranker/trial.json").read_text("utf-8"))
SAID = ("claim", "verdict", "sourcing", "not_measured")


def said(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [tuple(row[key] for key in SAID) for row in rows]


def committed(setting: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = RESULT["tables"][setting]
    return rows


def again(setting: str, data: Path | None, start_service: ServiceStarter, folder: Path) -> None:
    corpus = start_service("corpus", settings(data)[setting])
    segment = start_service("segment")
    variables = {
        "ASSAY_RANKER_SEGMENT_ADDR": segment.address,
        "ASSAY_RANKER_CORPUS_ADDR": corpus.address,
        "ASSAY_RANKER_DATABASE": str(folder / "evidence.sqlite"),
    }
    with segment, corpus, start_service("ranker", variables) as ranker:
        found = table(ranker.address)
    assert said(found) == said(committed(setting))
    assert not any(map(is_wrong, found))


def test_as_installed(start_service: ServiceStarter, tmp_path: Path) -> None:
    again("as installed", None, start_service, tmp_path)


@pytest.mark.data
def test_with_data_under_the_names_of_the_cards(
    start_service: ServiceStarter, tmp_path: Path, data_dir: Path
) -> None:
    pytest.importorskip("torch")
    again("with data", data_dir, start_service, tmp_path)


def test_every_claim_of_ten_cards_is_in_each_table_and_none_is_false() -> None:
    assert len(list(CARDS.glob("*.yaml"))) == 10
    assert "as installed" in RESULT["tables"]
    for setting in RESULT["tables"]:
        rows = committed(setting)
        assert len({row["artifact"] for row in rows}) == 10
        assert len({row["claim"] for row in rows}) == len(rows) == 33
        assert not any(map(is_wrong, rows))
