"""The end of a build: its data card and its Croissant metadata."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from services.corpus.build.card import card_text
from services.corpus.build.croissant import croissant
from services.corpus.build.job import CARD, Job, read_facts, recipe_digest
from services.corpus.build.mixture import Mixture
from services.corpus.build.shared_files import shared_files
from services.corpus.build.stages.gather import GATHER
from services.corpus.build.stages.passes import name_of
from services.corpus.build.tally import READ, Count, Tally
from services.corpus.build.workspace import read_json, remove_partial_files, whole_file, write_json
from services.corpus.shards.names import SPLITS, split_of

CARD_FORMAT = "assay-card/1"
CARD_TEXT, CROISSANT = "card.md", "croissant.json"
_DATA = ("lines.zst", "notes.zst", "rows.npy", "near.npy", "bin")


def describe(job: Job, mixture: Mixture) -> None:
    """Write card and metadata, then remove the stages' intermediate files.

    `card.json` is written last: with it the build is done.
    """
    card = card_of(job, mixture)
    with whole_file(job.out / CARD_TEXT) as file:
        file.write(card_text(card).encode())
    write_json(job.out / CROISSANT, croissant(card))
    write_json(job.out / CARD, card)
    for pattern in _DATA:
        for path in job.work.rglob(f"*.{pattern}"):
            path.unlink()
    remove_partial_files(job.out)


def card_of(job: Job, mixture: Mixture) -> dict[str, Any]:
    """Return the card: no time and no machine is in it, so the same build gives the same card."""
    recipe = job.recipe
    shards = [
        read_json(job.unit_files(GATHER, number).path("json"))
        for number in range(len(mixture.shards))
    ]
    tally, files, missed, bad = _of_units(job)
    listed = {path: fact for shard in shards for path, fact in sorted(shard["files"].items())}
    whole = hashlib.sha256()
    for path, fact in sorted(listed.items()):
        whole.update(f"{path} {fact['digest']}\n".encode())
    described = ("name", "description", "version", "license", "url", "creator", "date", "citation")
    return {
        "format": CARD_FORMAT,
        **{key: getattr(recipe, key) for key in described},
        "digest": f"sha256:{whole.hexdigest()}",
        "recipe_digest": recipe_digest(recipe),
        "seed": recipe.seed,
        "splits": _splits(shards),
        "components": _components(job, mixture, tally, shards),
        "licenses": _licenses(job, shards),
        "steps": _steps(job, tally),
        "sources": [
            {
                "name": source.name,
                "license": source.license,
                "epochs": mixture.epochs[number],
                "files": files[number],
                "bad_records": bad[number],
                "without_text": missed[number],
            }
            for number, source in enumerate(recipe.sources)
        ],
        "shared_files": shared_files(recipe, job.units),
        "files": listed,
    }


def _of_units(
    job: Job,
) -> tuple[Tally, list[dict[str, Any]], list[dict[str, int]], list[int]]:
    """Add up what the units of all passes say: counts, and by source files and what was missed."""
    tally = Tally()
    files: list[dict[str, Any]] = [{} for _ in job.recipe.sources]
    missed: list[dict[str, int]] = [{} for _ in job.recipe.sources]
    bad = [0] * len(job.recipe.sources)
    for number in range(len(job.passes)):
        for unit, facts in zip(job.units, read_facts(job, name_of(number)), strict=True):
            tally.add(Tally.of_rows(facts["tally"]))
            if number == 0:
                files[unit.source] |= facts["files"]
                bad[unit.source] += facts["bad"]
                for reason, count in sorted(facts["missed"].items()):
                    missed[unit.source][reason] = missed[unit.source].get(reason, 0) + count
    return tally, files, missed, bad


def _splits(shards: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Documents and bytes of text by split."""
    splits = {split: {"documents": 0, "bytes": 0} for split in SPLITS}
    for shard in shards:
        for row in shard["counts"]:
            for what in ("documents", "bytes"):
                splits[split_of(shard["shard"])][what] += row[what]
    return {split: counts for split, counts in splits.items() if counts["documents"]}


def _components(
    job: Job, mixture: Mixture, tally: Tally, shards: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The columns of the Pile's Table 1, by source and subset.

    `raw_bytes` is what stays behind all steps, before epochs; `effective_bytes` what is in the
    corpus, `weight` its share of it, and `mean_document_bytes` the mean of the documents in it.
    """
    names = {source.name: number for number, source in enumerate(job.recipe.sources)}
    effective: dict[tuple[int, str], list[int]] = {}
    for shard in shards:
        for row in shard["counts"]:
            counts = effective.setdefault((names[row["source"]], row["subset"]), [0, 0])
            counts[0] += row["documents"]
            counts[1] += row["bytes"]
    total = sum(size for _, size in effective.values())
    rows = []
    for source, subset in sorted(_subsets(tally)):
        left = _last(tally, source, subset)
        documents, size = effective.get((source, subset), [0, 0])
        rows.append(
            {
                "component": subset,
                "source": job.recipe.sources[source].name,
                "license": job.recipe.sources[source].license,
                "raw_bytes": left.bytes_out,
                "raw_documents": left.documents_out,
                "weight": size / total if total else 0.0,
                "epochs": mixture.epochs[source],
                "effective_bytes": size,
                "effective_documents": documents,
                "mean_document_bytes": size / documents if documents else 0.0,
            }
        )
    return rows


def _subsets(tally: Tally) -> set[tuple[int, str]]:
    return {(source, subset) for step, source, subset in tally.counts if step == READ}


def _last(tally: Tally, source: int, subset: str) -> Count:
    """Return the count of the last step that a subset came to.

    A step that was not come to, because nothing was left, has no count: then nothing comes out.
    """
    steps = [step for step, *rest in tally.counts if rest == [source, subset]]
    return tally.of(max(steps), source, subset)


def _licenses(job: Job, shards: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Documents and bytes of the corpus by licence."""
    of_source = {source.name: source.license for source in job.recipe.sources}
    licenses: dict[str, dict[str, int]] = {}
    for shard in shards:
        for row in shard["counts"]:
            name = of_source[row["source"]]
            counts = licenses.setdefault(name, {"documents": 0, "bytes": 0})
            counts["documents"] += row["documents"]
            counts["bytes"] += row["bytes"]
    return dict(sorted(licenses.items()))


def _steps(job: Job, tally: Tally) -> list[dict[str, Any]]:
    """What each step got, gave and changed, and that by source and subset."""
    steps = []
    for number, step in enumerate(job.recipe.steps):
        total, rows = Count(), []
        for (at, source, subset), count in sorted(tally.counts.items()):
            if at == number:
                total.add(count)
                name = job.recipe.sources[source].name
                rows.append({"source": name, "subset": subset, **_shown(count)})
        options: Mapping[str, Any] = step.options.model_dump(mode="json")
        steps.append({"step": step.kind, "options": options, **_shown(total), "subsets": rows})
    return steps


def _shown(count: Count) -> dict[str, int]:
    return {
        **asdict(count),
        "documents_removed": count.documents_in - count.documents_out,
        "bytes_removed": count.bytes_in - count.bytes_out,
    }
