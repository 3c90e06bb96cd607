"""Times search over generated capabilities.

    python -m benchmarks.ranker.search_speed [--capabilities N] [--searches N]

Capabilities are made of words drawn by Zipf's law from a vocabulary, so that some words are in
thousands of them, as in a real registry; intents of three to eight words are drawn likewise.
Timed: one call of the index, on one thread, after a warm-up. Run it on an idle machine.

Writes benchmarks/results/ranker/search_speed.json.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import accumulate

from benchmarks.report import HERE
from services.ranker.claims.model import Artifact, ArtifactType, Capability, License
from services.ranker.searching.search import SearchIndex
from services.rpc.environment import environment

TARGET_MS = 5.0
_EACH = 10  # capabilities an artifact
_VOCABULARY = 20_000
_SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]


def words(generator: random.Random) -> Callable[[int], list[str]]:
    """A source of words by Zipf's law."""
    vocabulary = ["".join(generator.choices(_SYLLABLES, k=3)) for _ in range(_VOCABULARY)]
    weights = list(accumulate(1 / (rank + 5) for rank in range(_VOCABULARY)))

    def draw(count: int) -> list[str]:
        return generator.choices(vocabulary, cum_weights=weights, k=count)

    return draw


def artifacts(count: int, draw: Callable[[int], list[str]]) -> list[Artifact]:
    """Artifacts with `count` capabilities in all, each with its own id."""

    def capability(number: int) -> Capability:
        return Capability(
            id=f"capability-{number}",
            name=" ".join(draw(3)),
            description=" ".join(draw(15)),
            intents=tuple(" ".join(draw(6)) for _ in range(3)),
            tags=tuple(draw(4)),
        )

    return [
        Artifact(
            id=f"artifact-{first // _EACH}",
            name="generated",
            type=ArtifactType.DATASET,
            description="generated",
            license=License("MIT", "MIT License"),
            pricing="free",
            capabilities=tuple(
                capability(number) for number in range(first, min(first + _EACH, count))
            ),
            claims=(),
            published=None,
            digest=f"sha256:{first}",
        )
        for first in range(0, count, _EACH)
    ]


def timed(index: SearchIndex, intents: list[str]) -> list[float]:
    """Milliseconds of each search."""
    found = []
    for intent in intents:
        start = time.perf_counter()
        index.search(intent)
        found.append(1000 * (time.perf_counter() - start))
    return found


def main() -> None:
    """Generate, time, print and write."""
    parser = argparse.ArgumentParser(description="Times search over generated capabilities.")
    parser.add_argument("--capabilities", type=int, default=10_000)
    parser.add_argument("--searches", type=int, default=2_000)
    parser.add_argument("--no-result", action="store_true", help="write no result file")
    chosen = parser.parse_args()
    generator = random.Random(0)
    draw = words(generator)
    registered = artifacts(chosen.capabilities, draw)
    start = time.perf_counter()
    index = SearchIndex(registered)
    built = time.perf_counter() - start
    intents = [" ".join(draw(generator.randint(3, 8))) for _ in range(chosen.searches + 100)]
    milliseconds = sorted(timed(index, intents)[100:])
    p50 = statistics.median(milliseconds)
    p99 = milliseconds[int(0.99 * len(milliseconds))]
    print(f"index in {built:.2f} s; p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    if chosen.no_result:
        return
    machine = environment()

    def row(what: str, ours: float, target: float | None) -> dict[str, object]:
        return {
            "what": what,
            "peer": "none",
            "ours": round(ours, 3),
            "theirs": None,
            "unit": "ms",
            "ratio": None,
            "target": target,
        }

    size = f"{chosen.capabilities:,} capabilities"
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{machine.cpu}, one of {machine.cpu_count}, load {machine.load:.2f} each",
        "versions": {"ours": {**machine.versions, "sqlite": sqlite3.sqlite_version}},
        "command": f"python -m benchmarks.ranker.search_speed {shlex.join(sys.argv[1:])}".strip(),
        "index_seconds": round(built, 3),
        "rows": [
            row(f"search over {size}, p50", p50, TARGET_MS),
            row(f"search over {size}, p99", p99, None),
        ],
    }
    file = HERE / "results" / "ranker" / "search_speed.json"
    file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"written to {file}")


if __name__ == "__main__":
    main()
