"""A build in one process: what it gives, and what it refuses."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import zstandard

from services.corpus.build.job import open_job
from services.corpus.build.stages import scatter
from services.corpus.build.stages.sequence import Builder
from services.corpus.catalog.published import SUBSETS
from services.corpus.shards.index.format import open_index
from services.corpus.shards.layout import find_layout
from services.errors import PreconditionFailed, SourceChanged
from tests.corpus.build.recipes import (
    built,
    documents_of,
    opened,
    prose,
    run_here,
    tree,
    two_sources,
    values,
    write_recipe,
    write_shard,
)

pytest.importorskip("rensa", reason="needs the build extra")


def test_a_corpus_is_what_the_recipe_says(tmp_path: Path) -> None:
    out, card = built(tmp_path)
    documents = documents_of(out)
    texts = [document["text"] for document in documents]
    assert len(texts) == len(set(texts)) == 60 + 30 + 1
    assert sum("jane.doe" in text for text in texts) == 0
    removed = {step["step"]: step["documents_removed"] for step in card["steps"]}
    assert removed == {"exact_duplicates": 5, "filter": 1, "mask": 0, "near_duplicates": 5}
    assert Counter(document["subset"] for document in documents) == {"Prose": 60, "Second": 31}
    (masked,) = (one for one in documents if "|||EMAIL_ADDRESS|||" in one["text"])
    assert masked["note"] == {
        "source": "two",
        "file": "data.jsonl.zst",
        "record": 41,
        "done": ["mask: 1 e-mail addresses, 1 IP addresses"],
    }
    for document in documents:
        if document["note"]["source"] == "one":
            shard, record = int(document["note"]["file"][6:8]), document["note"]["record"]
            assert document["text"] == prose(shard + 3 * record)
    # The Pile's form: each document's meta has the subset alone, so texts are stored as well.
    for index in out.rglob("*.index"):
        assert open_index(index).frames["text_frame_bytes"].all()
    layout = find_layout(out)
    assert not layout.left_out
    assert {shard.split for shard in layout.shards} == {"train", "val", "test"}


def test_the_card_adds_up(tmp_path: Path) -> None:
    out, card = built(tmp_path)
    documents = documents_of(out)
    size = sum(len(document["text"].encode()) for document in documents)
    for part in ("splits", "licenses"):
        assert sum(counts["documents"] for counts in card[part].values()) == len(documents)
        assert sum(counts["bytes"] for counts in card[part].values()) == size
    assert set(card["licenses"]) == {"CC0-1.0", "MIT"}
    one, two = card["components"]
    assert one["component"] == "Prose"
    assert one["weight"] + two["weight"] == pytest.approx(1)
    assert one["raw_documents"] == one["effective_documents"] == 60
    assert one["mean_document_bytes"] == one["effective_bytes"] / 60
    assert {"weight", "epochs"} <= set(vars(next(iter(SUBSETS.values())))) & set(one)
    for step, following in zip(card["steps"], card["steps"][1:], strict=False):
        assert step["documents_out"] == following["documents_in"]
        assert step["bytes_out"] == following["bytes_in"]
    for name, fact in card["files"].items():
        assert (out / name).stat().st_size == fact["bytes"]
    text = (out / "card.md").read_text()
    assert (
        "| Component | Raw Size | Weight | Epochs | Effective Size | Mean Document Size |" in text
    )


def test_a_file_that_is_read_twice_is_told_and_on_the_card(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "sources" / "one" / "a.jsonl.zst", [prose(1), prose(2)])
    (shard.parent / "b.jsonl.zst").symlink_to(shard)
    write_shard(tmp_path / "sources" / "two" / "c.jsonl.zst", [prose(3)])
    sources = [
        {"name": "one", "path": "${SOURCES}/one", "license": "MIT"},
        {"name": "two", "path": "${SOURCES}/*", "license": "MIT"},
    ]
    out, card = built(tmp_path, sources=sources, steps=[])
    assert card["shared_files"] == [
        [
            {"source": "one", "path": "a.jsonl.zst"},
            {"source": "one", "path": "b.jsonl.zst"},
            {"source": "two", "path": "one/a.jsonl.zst"},
            {"source": "two", "path": "one/b.jsonl.zst"},
        ]
    ]
    assert sum(counts["documents"] for counts in card["splits"].values()) == 9
    assert "| one: a.jsonl.zst; one: b.jsonl.zst; two: one/a" in (out / "card.md").read_text()
    for steps, effect in (([], "taken each time"), (["exact_duplicates"], "keeps one of each")):
        told: list[str] = []
        recipe = write_recipe(tmp_path / f"told-{len(steps)}", sources=sources, steps=steps)
        given = {"SOURCES": str(tmp_path / "sources")}
        folder = tmp_path / f"told-{len(steps)}" / "out"
        folder.mkdir()
        open_job(recipe, folder, given, told.append)
        assert len(told) == 1
        assert "1 file read more than once, first a.jsonl.zst of source 'one' and b." in told[0]
        assert effect in told[0]
    _, alone = built(
        tmp_path, "alone", sources=[*sources[:1], sources[1] | {"path": "${SOURCES}/two"}]
    )
    assert [len(places) for places in alone["shared_files"]] == [2]


def test_epochs_repeat_what_is_trained_on(tmp_path: Path) -> None:
    sources = [source | {"epochs": epochs} for source, epochs in zip(
        values()["sources"], (2.5, 0.5), strict=True
    )]  # fmt: skip
    out, card = built(tmp_path, sources=sources, steps=["exact_duplicates"])
    times = Counter(
        (document["note"]["source"], document["text"]) for document in documents_of(out, "train")
    )
    first = [count for (source, _), count in times.items() if source == "one"]
    assert set(first) == {2, 3}
    assert 0.3 < first.count(3) / len(first) < 0.7
    assert {count for (source, _), count in times.items() if source == "two"} == {1}
    held_out = documents_of(out, "val") + documents_of(out, "test")
    assert len({one["text"] for one in held_out}) == len(held_out)
    assert {one["text"] for one in held_out}.isdisjoint(text for _, text in times)
    assert [row["epochs"] for row in card["components"]] == [2.5, 0.5]


def test_weights_are_shares_of_the_bytes(tmp_path: Path) -> None:
    for total in (None, 40_000):
        sources = [source | {"weight": weight} for source, weight in zip(
            values()["sources"], (1, 3), strict=True
        )]  # fmt: skip
        output: dict[str, Any] = {} if total is None else {"total_bytes": total}
        _, card = built(tmp_path, f"out-{total}", sources=sources, steps=[], output=output)
        one, two = card["components"]
        assert one["weight"] == pytest.approx(0.25, abs=0.08)
        if total is None:
            assert two["epochs"] == 1.0
        else:
            assert one["effective_bytes"] + two["effective_bytes"] == pytest.approx(total, rel=0.1)


def test_weights_that_want_too_many_passes_are_refused(tmp_path: Path) -> None:
    sources = [source | {"weight": 1} for source in values()["sources"]]
    wanted = (
        "source 'one' has .* its weight needs .* passes over them; at most 1,000 are allowed; lower"
    )
    with pytest.raises(PreconditionFailed, match=wanted):
        built(tmp_path, sources=sources, steps=[], output={"total_bytes": 10**12})


def test_copies_of_a_document_are_not_held_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are written as they come, however many there are; nothing else changes."""
    sources = [source | {"epochs": 20} for source in values()["sources"]]
    changes: dict[str, Any] = {"sources": sources, "output": {"shard_bytes": 1 << 24}}
    _, card = built(tmp_path, "whole", **changes)
    monkeypatch.setattr(scatter, "_HELD_BYTES", 1000)
    out, same = built(tmp_path, "parts", **changes)
    assert same["digest"] == card["digest"]
    units = [json.loads(file.read_bytes()) for file in out.glob("_build/scatter/*.json")]
    parts = sum(len(frames) for unit in units for frames in unit["frames"].values())
    assert parts > 5 * len(documents_of(out)) / 20


def test_a_seed_gives_an_order(tmp_path: Path) -> None:
    first = built(tmp_path, "first", seed=1)[0]
    same = built(tmp_path, "same", seed=1)[0]
    other = built(tmp_path, "other", seed=2)[0]
    assert tree(first) == tree(same)
    texts = [[one["text"] for one in documents_of(out, "train")] for out in (first, other)]
    assert texts[0] != sorted(texts[0]) != texts[1]
    assert len(set(texts[0]) & set(texts[1])) > 50


def test_tasks_that_are_done_are_left_alone_and_a_built_corpus_too(tmp_path: Path) -> None:
    whole = built(tmp_path, "whole")[0]
    out = tmp_path / "out"
    recipe = write_recipe(tmp_path / "recipe")
    job = opened(recipe, tmp_path / "sources", out)
    builder = Builder(job)
    for number, stage in enumerate(builder.stages()):
        if number == 3:
            break
        for task in stage.left():
            builder.run(stage.name, task)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("pass-*/*")}
    assert before
    run_here(opened(recipe, tmp_path / "sources", out))
    assert tree(out) == tree(whole)
    after = {path: path.stat().st_mtime_ns for path in out.rglob("pass-*/*.json")}
    assert after == {path: after[path] for path in after if before.get(path, after[path])}
    assert all(before[path] == after[path] for path in before if path in after)
    # The sources may go once a corpus is built.
    for file in (tmp_path / "sources").rglob("*.zst"):
        file.unlink()
    run_here(opened(recipe, tmp_path / "sources", out))


def test_another_recipe_or_other_sources_are_refused(tmp_path: Path) -> None:
    sources, out = two_sources(tmp_path / "sources"), tmp_path / "out"
    job = opened(write_recipe(tmp_path), sources, out)
    builder = Builder(job)
    builder.run(next(iter(builder.stages())).name, 0)
    with pytest.raises(PreconditionFailed, match="a build that differs in its recipe"):
        opened(write_recipe(tmp_path / "other", seed=3), sources, out)
    shard = sources / "two/data.jsonl.zst"
    state = shard.stat()
    write_shard(shard, ["another"])
    with pytest.raises(SourceChanged, match=r"source 'two': data.jsonl.zst has changed"):
        opened(write_recipe(tmp_path), sources, out)
    two_sources(tmp_path / "sources")
    os.utime(shard, ns=(state.st_atime_ns, state.st_mtime_ns))
    write_shard(sources / "two" / "more.jsonl.zst", ["more"])
    with pytest.raises(SourceChanged, match="since the build began"):
        opened(write_recipe(tmp_path), sources, out)


def test_a_source_that_vanishes_midway_is_told_and_gone_on_with(tmp_path: Path) -> None:
    whole = built(tmp_path, "whole")[0]
    sources, out = tmp_path / "sources", tmp_path / "out"
    recipe = write_recipe(tmp_path)
    job = opened(recipe, sources, out)
    shard = sources / "two/data.jsonl.zst"
    away = shard.rename(tmp_path / "away")
    builder = Builder(job)
    stage = next(iter(builder.stages()))
    builder.run(stage.name, 0)
    with pytest.raises(SourceChanged, match=r"'two'.*data.jsonl.zst existed.*put it back"):
        builder.run(stage.name, 1)
    assert stage.left() == [1]
    away.rename(shard)
    run_here(opened(recipe, sources, out))
    assert tree(out) == tree(whole)


def test_a_directory_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("")
    with pytest.raises(PreconditionFailed, match="holds something that is not a build"):
        opened(write_recipe(tmp_path), two_sources(tmp_path / "sources"), tmp_path / "out")


def test_nothing_left_is_told(tmp_path: Path) -> None:
    steps = [{"filter": {"function": "length", "options": {"min_words": 10_000}}}]
    with pytest.raises(PreconditionFailed, match="leave no document"):
        built(tmp_path, steps=steps)


def test_pieces_have_their_place(tmp_path: Path) -> None:
    needle = prose(77, 40)
    sources = tmp_path / "sources"
    dirty = f"{prose(1, 100)} {needle} {prose(2, 100)} {needle} {prose(3, 100)}"
    write_shard(sources / "one" / "data.jsonl.zst", [dirty, prose(4)])
    (tmp_path / "tests.jsonl").write_text(json.dumps({"text": needle}) + "\n")
    source = {"name": "one", "path": "${SOURCES}/one", "license": "MIT"}
    contamination = {"against": [str(tmp_path / "tests.jsonl")], "action": "cut"}
    steps = ["exact_duplicates", {"contamination": contamination}, "near_duplicates", {"mask": {}}]
    out, card = built(tmp_path, sources=[source], steps=steps, output={})
    notes = [one["note"] for one in documents_of(out) if "piece" in one["note"]]
    assert sorted(note["piece"] for note in notes) == [[0], [1], [2]]
    assert {tuple(note["done"]) for note in notes} == {("contamination: cut at 2 hits",)}
    step = card["steps"][1]
    assert (step["documents_in"], step["documents_out"], step["changed"]) == (2, 4, 3)


def test_odd_texts_and_metas_come_through(tmp_path: Path) -> None:
    sources = tmp_path / "sources" / "one"
    sources.mkdir(parents=True)
    lines: list[dict[str, Any]] = [
        {"text": "lone \ud800", "meta": {"pile_set_name": 'Odd "name"', "url": "http://a"}},
        {"text": "line\u2028break\r\nand \x00", "meta": {"big": 1 << 70}},
        {"text": ""},
    ]
    (sources / "data.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    source = {"name": "one", "path": "${SOURCES}/one", "license": "MIT"}
    out, _ = built(tmp_path, sources=[source], steps=[], output={})
    shard = out / "train/00.jsonl.zst"
    reader = zstandard.ZstdDecompressor().stream_reader(shard.read_bytes(), read_across_frames=True)
    found = [json.loads(line) for line in reader.read().split(b"\n")[:-1]]
    assert sorted(one["text"] for one in found) == sorted(str(one["text"]) for one in lines)
    assert {one["meta"]["pile_set_name"] for one in found} == {"one", 'Odd "name"'}
    notes = zstandard.ZstdDecompressor().decompress(
        (out / "_provenance/train/00.jsonl.zst").read_bytes()
    )
    metas = [json.loads(note).get("meta") for note in notes.split(b"\n")[:-1]]
    assert {"big": 1 << 70} in metas
