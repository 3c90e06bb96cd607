"""Measures how well search finds what serves an intent, and returns nothing if nothing does.

    python -m benchmarks.ranker.search_quality [--split test|train]

The intents are those of benchmarks/ranker_intents; the capabilities are the registered ones. The
threshold (`floor`) was chosen on the training split (`chosen_floor`); published figures are of the
test split. Intervals are percentile bootstraps over intents, at 95 %. The peer is the same search
without a threshold.

Writes benchmarks/results/ranker/search_quality.json for the test split.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import sqlite3
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean

from benchmarks.report import HERE
from services.ranker.claims.registry import packaged
from services.ranker.measuring import methods
from services.ranker.searching.search import MIN_CONFIDENCE, SearchIndex
from services.rpc.environment import environment

MOST_STRANGERS = 0.15
"""Of the training intents that nothing serves, the largest share that may pass the floor."""
RESAMPLES = 10_000
TARGETS = {"precision at 1": 0.57, "recall at 3": None, "answers where nothing serves": None}
"""ranker's design notes measured 0.57 for this kind of search on another set of queries."""


@dataclass(frozen=True)
class Intent:
    """An intent, and the capabilities that serve it; empty if none does."""

    text: str
    serves: frozenset[str]


def read(split: str) -> list[Intent]:
    """The intents of a split."""
    lines = (HERE / "ranker_intents" / f"{split}.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [Intent(row["intent"], frozenset(row["serves"])) for row in rows]


def answers(index: SearchIndex, intents: Sequence[Intent], floor: float) -> list[list[str]]:
    """The capabilities found for each intent."""
    return [[match.capability for match in index.search(one.text, floor=floor)] for one in intents]


def chosen_floor(index: SearchIndex) -> float:
    """The smallest floor, in hundredths, that few enough unserved training intents pass."""
    strangers = [one for one in read("train") if not one.serves]
    for hundredths in range(101):
        found = answers(index, strangers, hundredths / 100)
        if fmean(bool(one) for one in found) <= MOST_STRANGERS:
            return hundredths / 100
    raise AssertionError("no floor is high enough")


def metrics(intents: Sequence[Intent], found: Sequence[Sequence[str]]) -> dict[str, list[float]]:
    """For each metric, its value for each intent that it applies to."""
    pairs = list(zip(intents, found, strict=True))
    served = [(one, each) for one, each in pairs if one.serves]
    return {
        "precision at 1": [float(bool(one.serves & set(each[:1]))) for one, each in served],
        "recall at 3": [
            len(one.serves & set(each[:3])) / min(3, len(one.serves)) for one, each in served
        ],
        "answers where nothing serves": [
            float(bool(each)) for one, each in pairs if not one.serves
        ],
    }


def interval(values: Sequence[float], draw: Callable[[], float]) -> tuple[float, float]:
    """Percentile bootstrap of the mean, at 95 %."""
    size = len(values)
    means = sorted(fmean(values[int(draw() * size)] for _ in range(size)) for _ in range(RESAMPLES))
    return means[round(0.025 * RESAMPLES)], means[round(0.975 * RESAMPLES) - 1]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--split", choices=("test", "train"), default="test")
    split = parser.parse_args().split
    index = SearchIndex(packaged(methods.known()).artifacts)
    intents = read(split)
    ours = metrics(intents, answers(index, intents, MIN_CONFIDENCE))
    theirs = metrics(intents, answers(index, intents, 0.0))
    generator = random.Random(0)
    rows, intervals = [], {}
    for name, values in ours.items():
        mean, other = fmean(values), fmean(theirs[name])
        low, high = interval(values, generator.random)
        less_is_better = name.startswith("answers")
        rows.append(
            {
                "what": f"{name}, {len(values)} intents",
                "peer": "the same without a floor",
                "ours": round(mean, 4),
                "theirs": round(other, 4),
                "unit": "share",
                "ratio": round(
                    (other / mean if mean else 1.0) if less_is_better else mean / other, 3
                ),
                "target": TARGETS[name],
            }
        )
        intervals[name] = [round(low, 4), round(high, 4)]
        print(f"{name}: {mean:.3f} [{low:.3f} .. {high:.3f}]; without a floor {other:.3f}")
    if split == "train":
        print(f"floor by the rule: {chosen_floor(index)}; in use: {MIN_CONFIDENCE}")
        return
    machine = environment()
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{machine.cpu}, {machine.cpu_count} processors; nothing here is timed",
        "versions": {"ours": {**machine.versions, "sqlite": sqlite3.sqlite_version}},
        "command": f"python -m benchmarks.ranker.search_quality {shlex.join(sys.argv[1:])}".strip(),
        "floor": MIN_CONFIDENCE,
        "intervals_95": intervals,
        "rows": rows,
    }
    file = HERE / "results" / "ranker" / "search_quality.json"
    file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"written to {file}")


if __name__ == "__main__":
    main()
