"""How often intervals of bits per byte contain the truth, with neural models' likelihoods.

Every document is scored once, by span, with the packaged byte model, which was trained on Python,
and with another model, in windows of 512 and of 128 tokens. That gives the truth. Then samples are
drawn with many seeds, by the code of the services, and the share of intervals that contain the
truth is counted: of levels and of the difference of the two windows; overall, as the mean of the
subsets and of single subsets; for spans and documents, allocated by bytes and equally. Single
subsets are counted all together, and the worst one that had an interval in half of the samples or
more; samples that are refused as too small are in no share. Documents that a tokenizer cannot
reproduce count here with their tokens. The peer is the earlier method, a bootstrap over documents
drawn with equal chances.

    python -m benchmarks.bpb.coverage --data DATA --kept FOLDER
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.coverage.documents import percentile
from services.common.statistics.interval import Interval
from services.common.statistics.samples.levels import differences
from services.common.statistics.samples.sampling import Drawn, Key
from services.common.statistics.samples.spans import span_ends
from services.corpus.bpb.definition import Definition
from services.corpus.bpb.document_scoring import score_document
from services.corpus.bpb.estimates import Quantity, Sampled, Scope
from services.corpus.bpb.models.registry import REFERENCE, Registry
from services.corpus.bpb.sampling import Allocation, Chooser, Sample, Unit
from services.corpus.shards.documents import Document
from services.corpus.shards.layout import find_shards
from services.corpus.stream import reader
from services.corpus.stream.selection import Selection

WINDOWS = (512, 128)
COUNTS = (20, 50, 100, 200, 500)
OTHER = "tinystories-656k"


@dataclass(frozen=True)
class Scored:
    """A document, and the nats of its spans in 65,536ths, with each of the two windows."""

    document: Document
    spans: tuple[tuple[int, ...], tuple[int, ...]]


def documents(root: Path, splits: tuple[str, ...]) -> Iterator[Document]:
    """Read the documents of the splits that have a text."""
    selection = Selection(splits)
    for document in reader.documents(find_shards(root), selection):
        if document.text:
            yield document


def score(everything: Iterable[Document], name: str, data: Path, kept: Path) -> list[Scored]:
    """Score every document, or read the stored scores of an earlier run."""
    file = kept / f"{name}.json"
    known: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    registry = Registry({OTHER: data / "lm" / OTHER})
    found = []
    for place, document in enumerate(everything):
        if document.id not in known:
            model, info = registry.load(name), registry.describe(name)
            numbers = frozenset(range(len(span_ends(document.text))))
            known[document.id] = [
                [
                    units
                    for _, units in score_document(
                        model, Definition(window).resolve(info), document, spans=numbers
                    ).spans
                ]
                for window in WINDOWS
            ]
            if place % 50 == 0:
                print(f"{name}: {place} documents are scored", flush=True)
                file.write_text(json.dumps(known))
        far, near = known[document.id]
        found.append(Scored(document, (tuple(far), tuple(near))))
    file.write_text(json.dumps(known))
    return found


def nats(drawn: Mapping[str, Drawn], scored: Mapping[str, Scored], unit: Unit, side: int) -> Any:
    """Return the nats of the drawn spans."""
    found: dict[Key, int | None] = {}
    for part in drawn.values():
        for span in part.spans:
            units = scored[span.document].spans[side]
            found[span.key] = units[span.number] if unit is Unit.SPANS else sum(units)
    return found


def estimates(everything: list[Scored], sample: Sample) -> dict[str, tuple[float, Interval | None]]:
    """Draw a sample, and return every figure with its interval."""
    chooser = Chooser(sample)
    for one in everything:
        chooser.see(one.document)
    chooser.choose()
    drawn = chooser.drawn or {}
    by_id = {one.document.id: one for one in everything}
    far, near = (nats(drawn, by_id, sample.unit, side) for side in (0, 1))
    found = {}
    for name, quantity, values in (
        ("level", Quantity.LEVEL, far),
        ("difference", Quantity.DIFFERENCE, differences(far, near)),
    ):
        made = Sampled(quantity, Scope.DOCUMENTS, sample.unit, drawn, values)
        for average, figure in (("", made.overall), (", mean of subsets", made.macro)):
            if figure is not None:
                found[name + average] = (figure.value, figure.interval)
        for subset, figure in made.subsets.items():
            if figure is not None:
                found[f"{name}, {subset}"] = (figure.value, figure.interval)
    return found


def before(everything: list[Scored], count: int, generator: np.random.Generator) -> Interval:
    """Return a level's interval by the earlier method: documents of equal chance, a bootstrap."""
    chosen = generator.choice(len(everything), min(count, len(everything)), replace=False)
    sizes = np.array([len(everything[one].document.text) for one in chosen], float)
    sums = np.array([sum(everything[one].spans[0]) for one in chosen], float)
    return percentile(sums / (1 << 16), sizes, 0.95, generator)


def simulate(
    name: str, everything: list[Scored], seeds: int
) -> Iterator[tuple[dict[str, Any], float]]:
    """Draw samples, and yield how often each interval held the truth, with its half-width."""
    whole = estimates(everything, Sample(spans=10_000_000))
    truth = {what: value for what, (value, _) in whole.items()}
    generator = np.random.default_rng(1)
    for count in COUNTS:
        times = [before(everything, count, generator).holds(truth["level"]) for _ in range(seeds)]
        peer = sum(times) / len(times)
        for unit, allocation in itertools.product(Unit, Allocation):
            held: dict[str, list[bool]] = {}
            widths: dict[str, list[float]] = {}
            for seed in range(seeds):
                spans, documents_ = (count, 0) if unit is Unit.SPANS else (0, count)
                sample = Sample(spans, documents_, seed, allocation)
                for what, (_, interval) in estimates(everything, sample).items():
                    if interval is not None:
                        held.setdefault(what, []).append(interval.holds(truth[what]))
                        half = ((interval.high or 0.0) - (interval.low or 0.0)) / 2
                        widths.setdefault(what, []).append(half)
            for what, found, width in summed(held, widths, seeds):
                level = what == "level"
                made = report.row(
                    f"{name}, {what}: {count} {unit.value}, by {allocation.value}",
                    "bootstrap over documents with equal chances" if level else "stated",
                    sum(found) / len(found),
                    peer if level else 0.95,
                    "share of intervals at 95 % that hold the truth",
                    target=None,
                )
                yield made, round(float(np.mean(width)), 5)


def summed(
    held: Mapping[str, list[bool]], widths: Mapping[str, list[float]], seeds: int
) -> Iterator[tuple[str, list[bool], list[float]]]:
    """Yield the averages unchanged, and for single subsets all together and the worst."""
    for quantity in ("level", "difference"):
        averages = (quantity, f"{quantity}, mean of subsets")
        for what in averages:
            if what in held:
                yield what, held[what], widths[what]
        subsets = [
            what for what in held if what.startswith(f"{quantity}, ") and what not in averages
        ]
        if subsets:
            yield (
                f"{quantity}, single subsets",
                list(itertools.chain.from_iterable(held[what] for what in subsets)),
                list(itertools.chain.from_iterable(widths[what] for what in subsets)),
            )
        often = [what for what in subsets if len(held[what]) >= seeds / 2]
        if often:
            worst = min(often, key=lambda what: sum(held[what]) / len(held[what]))
            subset = worst.removeprefix(f"{quantity}, ")
            yield f"{quantity}, worst subset ({subset})", held[worst], widths[worst]


def main() -> None:
    """Score, simulate, and write the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="folder with pile/ and lm/")
    parser.add_argument("--kept", type=Path, required=True, help="a folder for the scores")
    parser.add_argument("--seeds", type=int, default=400)
    arguments = parser.parse_args()
    texts = list(documents(arguments.data / "pile", ("test",)))
    rows: list[dict[str, Any]] = []
    truths, half_widths = {}, {}
    for name in (REFERENCE, OTHER):
        everything = score(texts, name, arguments.data, arguments.kept)
        figures = estimates(everything, Sample(spans=10_000_000))
        truths[name] = {
            what: round(value, 6)
            for what, (value, _) in figures.items()
            if what.endswith(("level", "difference", "subsets"))
        }
        for row, half_width in simulate(name, everything, arguments.seeds):
            rows.append(row)
            half_widths[row["what"]] = half_width
    sizes = [len(one.text) for one in texts]
    report.write(
        "bpb/coverage",
        rows,
        packages=("numpy", "openvino", "tokenizers"),
        documents=len(texts),
        text_bytes=sum(sizes),
        effective_documents=round(sum(sizes) ** 2 / sum(size**2 for size in sizes), 1),
        seeds=arguments.seeds,
        truth=truths,
        half_widths=half_widths,
    )


if __name__ == "__main__":
    main()
