"""The ranker's commands against a ranker that runs in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.cli.__main__ import main
from services.cli.commands.ranker.claims import about
from services.cli.exits import Exit
from tests.ranker.conftest import Ranker
from tests.ranker.test_registration import manifest

PILE, B4 = "the-pile", "segformer-b4-finetuned-ade-512-512"
B0 = "segformer-b0-finetuned-ade-512-512"
Run = Callable[..., Any]


@pytest.fixture
async def assay(
    ranker: Ranker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs a command and returns its exit status and what it printed."""
    await ranker.connect()
    assert ranker.server is not None
    monkeypatch.setenv("ASSAY_HOME", str(ranker.folder / "home"))
    monkeypatch.setenv("ASSAY_RANKER_DATABASE", str(ranker.folder / "evidence.sqlite"))
    monkeypatch.setenv("ASSAY_RANKER_ADDR", f"127.0.0.1:{ranker.server.port}")
    monkeypatch.setenv("ASSAY_SEGMENT_ADDR", ranker.segment_addr)

    async def run(*words: str) -> tuple[int, str]:
        with capture_logs():  # the server is in this process, and logs to where commands print
            status = await asyncio.to_thread(main, words)
        captured = capsys.readouterr()
        return status, captured.out or captured.err

    return run


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.5, "within seconds"),
        (1, "probably 1 s to 3 s"),
        (65, "probably 20 s to 3 min"),
        (135, "probably 40 s to 7 min"),
        (3600, "probably 20 min to 3 h"),
    ],
)
def test_an_estimate_is_a_range(seconds: float, said: str) -> None:
    assert about(seconds) == said


async def test_from_a_search_to_an_outcome(assay: Run) -> None:
    status, text = await assay("search", "label every pixel of a photo", "--json")
    first = json.loads(text)["matches"][0]
    assert (status, first["capability"]) == (0, "semantic-segmentation")
    uri = first["providers"][4]["capability"]["uri"]
    _, text = await assay("search", "label every pixel", "--chose", uri, "--json")
    name = json.loads(text)["match_id"]
    _, text = await assay("search", "--match", name, "--outcome", "success")
    assert "1 recorded with this capability, 1 reported, 1 went well" in text
    _, text = await assay("search", "label every pixel of a photo")
    assert "1, 1 of 1" in text
    _, text = await assay("search", "reserve a table for two")
    assert "no registered capability matches" in text
    with pytest.raises(SystemExit):
        await assay("search", "--outcome", "success")


async def test_ranks_and_what_they_are_made_of(assay: Run) -> None:
    await assay("claims", B4, "--claim", "B1.4", "--claim", "B4.1")
    _, text = await assay("rank", "--type", "segmentation-model", "--json")
    listed = json.loads(text)
    assert listed["methodology"]["digest"].startswith("sha256:")
    assert listed["evidence_digest"]
    assert [one["profile"] for one in listed["profiles"]] == [
        "core",
        "accuracy-and-size",
        "ade20k-miou",
        "latency",
        "size",
    ]
    assert len(listed["ranks"]) == 6 * len(listed["profiles"])
    _, text = await assay("rank", "--type", "segmentation-model", "--profile", "core")
    assert "core, of segmentation models: no artifact has all of its evidence" in text
    assert f"not ranked yet, no evidence of latency:\n    {B4}" in text
    _, text = await assay("rank", B4, "--as-of", "2026-01-15", "--profile", "accuracy-and-size")
    assert "B4.1:" in text
    assert "rank 1 of 1; too close to call with: none" in text
    _, text = await assay("rank", B4)
    assert "not ranked in core: it lacks latency" in text
    assert "no score: no evidence for latency" in text
    _, text = await assay("rank", B4, "--json", "--profile", "accuracy-and-size")
    document = json.loads(text)
    points = sum(one["point"] for one in document["explanation"]["contributions"] if one["metric"])
    assert points == pytest.approx(document["rank"]["score"]["point"])
    _, text = await assay("rank", "--intent", "train a language model on books")
    assert PILE in text
    _, text = await assay("search", "label", "every", "pixel")
    assert "semantic-segmentation" in text
    _, text = await assay("rank", "--methodology")
    assert text.startswith("# Methodology v2")
    status, text = await assay("rank", "the-heap")
    assert (status, "no artifact named 'the-heap'" in text) == (Exit.NOT_FOUND, True)
    with pytest.raises(SystemExit):
        await assay("rank")


async def test_a_list_that_is_named_is_ranked_together(assay: Run) -> None:
    for name in (B0, B4):
        await assay("claims", name)
    _, text = await assay("rank", B0, B4)
    assert "accuracy and size (--profile accuracy-and-size), of segmentation models" in text
    assert "1 of 2" in text
    assert "2 of 2" in text
    assert "no sampling error, of these 2 together" in text
    _, text = await assay("rank", B0, B4, "--profile", "ade20k-miou", "--json")
    ranks = json.loads(text)["ranks"]
    assert [(one["artifact"], one["beats"]) for one in ranks] == [(B4, [B0]), (B0, [])]
    status, text = await assay("rank", B0, PILE)
    assert (status, "only one type can be ranked" in text) == (Exit.BAD_INPUT, True)


async def test_an_outcome_is_withdrawn(assay: Run) -> None:
    uri = f"capability://{B4}/semantic-segmentation"
    _, text = await assay("search", "x", "--chose", uri, "--json")
    name = json.loads(text)["match_id"]
    await assay("search", "--match", name, "--outcome", "success")
    _, text = await assay("search", "--match", name, "--withdraw")
    assert "0 reported, 0 went well; 0 known reporters, 0 anonymous" in text.replace("\n", " ")
    with pytest.raises(SystemExit):
        await assay("search", "--withdraw")


async def test_a_manifest_is_checked_and_registered(assay: Run, tmp_path: Path) -> None:
    file = tmp_path / "thing.yaml"
    file.write_bytes(manifest())
    status, text = await assay("register", str(file), "--check")
    assert (status, text.splitlines()[-1] == "valid", "warning:" in text) == (0, True, True)
    _, text = await assay("register", str(file), "--json")
    assert json.loads(text)["registered"] == {"id": "thing", "version": 1}
    file.write_bytes(manifest(claims=[{"id": "X"}]))
    status, text = await assay("register", str(file))
    assert (status, "error: manifest.claims[X].statement" in text) == (Exit.BAD_INPUT, True)


async def test_jobs_of_a_running_ranker(assay: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _, text = await assay("jobs", "submit", PILE, "--dry-run")
    assert text.startswith("29 claims, probably ")
    _, text = await assay("jobs", "submit", PILE, "--claim", "P1.2", "--json")
    name = json.loads(text)["id"]
    _, text = await assay("jobs", "watch", name, "--json")
    watched = json.loads(text)
    assert watched["job"]["state"] == "SUCCEEDED"
    assert [one["id"] for one in watched["claims"]] == ["P1.2"]
    _, text = await assay("jobs", "list")
    assert "succeeded" in text
    _, text = await assay("jobs", "cancel", name, "--json")
    assert json.loads(text)["jobs"][0]["state"] == "SUCCEEDED"
    monkeypatch.delenv("ASSAY_RANKER_ADDR")
    status, text = await assay("jobs", "list")
    assert (status, "start one with `assay up`" in text) == (Exit.BAD_INPUT, True)


async def test_a_copy_is_made_beside_a_ranker_and_put_back_without_one(
    assay: Run, ranker: Ranker, tmp_path: Path
) -> None:
    await assay("claims", PILE, "--claim", "P1.2")
    copy = str(tmp_path / "copy.sqlite")
    _, text = await assay("backup", copy)
    assert "copied and checked: 1 pieces of evidence" in text
    status, text = await assay("backup", copy)
    assert (status, "already exists" in text) == (Exit.BAD_INPUT, True)
    status, text = await assay("restore", copy)
    assert (status, "in use by another ranker" in text.replace("\n", " ")) == (Exit.BAD_INPUT, True)
    await ranker.stop()
    _, text = await assay("restore", copy, "--json")
    assert json.loads(text)["evidence"] == 1


@pytest.mark.slow
async def test_a_comparison_as_a_page(assay: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    status, _ = await assay("compare", B4, PILE, "--no-verify", "--html", str(page))
    assert status == 0
    text = await asyncio.to_thread(page.read_text, "utf-8")
    assert "Where the page contradicts itself" in text
    assert "Changes since the last run" not in text
    await assay("claims", B4, "--claim", "B4.1")
    status, _ = await assay("compare", B4, PILE, "--verify", "--html", str(page))
    text = await asyncio.to_thread(page.read_text, "utf-8")
    assert (status, "Changes since the last run" in text) == (0, True)
    assert "1 of 1 claim: same verdict and measurement" in text
    status, text = await assay("compare", B4, PILE, "--picture", "x.jpg")
    assert (status, "give --html FILE too" in text) == (Exit.BAD_INPUT, True)
