"""Recipes and small sources for the tests of builds."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
import zstandard

from services.corpus.build.job import Job, open_job
from services.corpus.build.recipe import Recipe
from services.corpus.build.recipe_file import recipe_of
from services.corpus.build.stages.sequence import Builder
from tests.corpus.shard_files import compress, line

WORDS = (
    *("time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world"),
    *("school", "state", "family", "student", "group", "country", "problem", "hand", "part"),
    *("place", "case", "week", "company", "system", "program", "question", "work", "number"),
)


def prose(seed: int, words: int = 120) -> str:
    """Words in sentences, the same for the same seed."""
    chance = random.Random(seed)
    found = [f"{chance.choice(WORDS)}{chance.randrange(40)}" for _ in range(words)]
    return " ".join(found).capitalize() + "."


def edited(text: str, seed: int, edits: int) -> str:
    """A text with some words replaced."""
    chance = random.Random(seed)
    words = text.split(" ")
    for _ in range(edits):
        words[chance.randrange(len(words))] = f"edit{chance.randrange(1000)}"
    return " ".join(words)


def write_shard(path: Path, texts: Iterable[str], subset: str | None = "Prose") -> Path:
    """A shard of The Pile's form."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(compress(b"".join(line(text, subset) for text in texts)))
    return path


def two_sources(root: Path, documents: int = 60) -> Path:
    """Two folders of shards, with exact and near duplicates between and within them."""
    first = [prose(number) for number in range(documents)]
    for shard in range(3):
        write_shard(root / "one" / f"train/{shard:02d}.jsonl.zst", first[shard::3])
    second = [prose(1000 + number) for number in range(documents // 2)]
    second += first[:5] + [edited(text, 3, 2) for text in first[5:10]]
    second += ["short", f"Write to jane.doe@example.com from 8.8.8.8. {prose(9999)}"]
    write_shard(root / "two" / "data.jsonl.zst", second, None)
    return root


def values(**changes: Any) -> dict[str, Any]:
    """A recipe of `two_sources` as YAML has it."""
    return {
        "name": "Small",
        "description": "For tests.",
        "sources": [
            {"name": "one", "path": "${SOURCES}/one", "license": "CC0-1.0"},
            {"name": "two", "path": "${SOURCES}/two", "license": "MIT", "subset": "Second"},
        ],
        "steps": [
            "exact_duplicates",
            {"filter": {"function": "length", "options": {"min_characters": 50}}},
            {"mask": {}},
            "near_duplicates",
        ],
        "output": {"shard_bytes": 65536, "splits": {"val": 0.1, "test": 0.1}},
    } | changes


def parsed(**changes: Any) -> Recipe:
    """That recipe, checked."""
    return recipe_of(values(**changes))


def write_recipe(folder: Path, **changes: Any) -> Path:
    """That recipe as a file; JSON is YAML."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "recipe.yaml"
    file.write_text(json.dumps(values(**changes)))
    return file


def opened(recipe: Path, sources: Path, out: Path, **variables: str) -> Job:
    """Open a build; `out` is made."""
    out.mkdir(parents=True, exist_ok=True)
    return open_job(recipe, out, {"SOURCES": str(sources), **variables})


def run_here(job: Job) -> dict[str, Any]:
    """Do what is left of a build in this process; return its card."""
    builder = Builder(job)
    for stage in builder.stages():
        for task in stage.left():
            builder.run(stage.name, task)
    card: dict[str, Any] = json.loads((job.out / "card.json").read_bytes())
    return card


def built(tmp_path: Path, name: str = "out", **changes: Any) -> tuple[Path, dict[str, Any]]:
    """Build the recipe of `two_sources`, with changes; return the folder and the card."""
    sources = tmp_path / "sources"
    if not sources.exists():
        two_sources(sources)
    out = tmp_path / name
    recipe = write_recipe(tmp_path / f"{name}-recipe", **changes)
    return out, run_here(opened(recipe, sources, out))


def documents_of(out: Path, split: str = "") -> list[dict[str, Any]]:
    """All documents with their notes: text, subset, shard, note."""
    found = []
    for shard in sorted(out.rglob("*.jsonl.zst")):
        name = shard.relative_to(out).as_posix()
        if name.startswith("_") or not name.startswith(split):
            continue
        lines, notes = (
            zstandard.ZstdDecompressor()
            .stream_reader(file.read_bytes(), read_across_frames=True)
            .read()
            .splitlines()
            for file in (shard, out / "_provenance" / name)
        )
        for one, note in zip(lines, notes, strict=True):
            record = orjson.loads(one)
            found.append(
                {
                    "text": record["text"],
                    "subset": record["meta"]["pile_set_name"],
                    "shard": name,
                    "note": orjson.loads(note),
                }
            )
    return found


def tree(out: Path, without: tuple[str, ...] = ("job.json", "lock")) -> Mapping[str, bytes]:
    """The bytes of all files, but for what says when the sources were written, and locks."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and not path.name.startswith(without)
    }
