"""Builds a corpus with repeated, edited texts: processes, kills, and rensa's example.

    python -m benchmarks.corpus.build [--megabytes N] [--only processes|near|kills] [--no-result]

Three questions:

* How much sooner do two processes finish than one?
* Is near-duplicate removal as fast as the library's own example ("Keep unique documents" of rensa's
  README) on the same files, and how much memory does each take? The example runs with runs of five
  words as tokens, which is the comparison, and unchanged, with single words.
* Does a build that is killed twice give the same digests?

Every fourth text is new; the others repeat one with a hundredth of its words replaced. Needs the
extras `corpus` and `build`. Writes benchmarks/results/corpus/build.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import zstandard

from benchmarks import report

_SHARDS = 16
_WORDS = 20_000
_TEXT_WORDS = (100, 900)
_RECIPE = {
    "name": "Repeated",
    "description": "Text made by repetition with edits.",
    "sources": [{"name": "made", "path": "${SOURCES}", "license": "CC0-1.0"}],
    "output": {"shard_bytes": 64 << 20},
}
_STEPS = ["exact_duplicates", {"filter": {"function": "length"}}, {"mask": {}}, "near_duplicates"]


def make_sources(folder: Path, megabytes: int) -> int:
    """Write shards, the same for the same size; return the documents."""
    chance = random.Random(megabytes)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 10))) for _ in range(_WORDS)]
    documents = 0
    for shard in range(_SHARDS):
        path = folder / "train" / f"{shard:02d}.jsonl.zst"
        path.parent.mkdir(parents=True, exist_ok=True)
        left = megabytes * 1_000_000 // _SHARDS
        originals: list[list[str]] = []
        with path.open("wb") as file, zstandard.ZstdCompressor(3).stream_writer(file) as writer:
            while left > 0:
                if documents % 4 == 0 or not originals:
                    text = chance.choices(words, k=chance.randint(*_TEXT_WORDS))
                    originals.append(text)
                else:
                    text = list(chance.choice(originals))
                    for _ in range(len(text) // 100):
                        text[chance.randrange(len(text))] = chance.choice(words)
                spelled = orjson.dumps(" ".join(text))
                line = b'{"text": %b, "meta": {"pile_set_name": "Made"}}\n' % spelled
                writer.write(line)
                left -= len(line)
                documents += 1
    return documents


def command(folder: Path, out: Path, jobs: int, steps: list[Any]) -> list[str]:
    """Return the command line of a build."""
    recipe = folder / f"recipe-{len(steps)}.yaml"
    recipe.write_text(json.dumps(_RECIPE | {"steps": steps}))
    words = [sys.executable, "-m", "services.cli", "corpus", "build", str(recipe)]
    return [*words, "--out", str(out), "--jobs", str(jobs), f"--set=SOURCES={folder / 'sources'}"]


def tell(progress: str) -> None:
    """Print the progress."""
    print(progress, file=sys.stderr, flush=True)


def built(folder: Path, out: Path, jobs: int) -> tuple[float, str]:
    """Build into an empty folder; return the seconds and the digest of the files."""
    begun = time.perf_counter()
    subprocess.run(command(folder, out, jobs, _STEPS), check=True, capture_output=True)
    seconds = time.perf_counter() - begun
    digest = str(json.loads((out / "card.json").read_bytes())["digest"])
    tell(f"built {out.name} with --jobs {jobs} in {seconds:.1f} s: {digest}")
    return seconds, digest


def killed(folder: Path, out: Path, after: list[float]) -> str:
    """Build, with SIGKILL after each of these seconds; return the digest of the files."""
    for seconds in after:
        process = subprocess.Popen(
            command(folder, out, 2, _STEPS), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(seconds)
        process.kill()
        process.wait()
        tell(f"killed after {seconds:.1f} s")
        if (out / "card.json").exists():
            raise SystemExit("was done before it could be killed; give more --megabytes")
    return built(folder, out, 2)[1]


def texts_of(sources: Path) -> Iterator[str]:
    """Read the texts of shards, as a script with zstandard and orjson does."""
    for path in sorted(sources.rglob("*.jsonl.zst")):
        with path.open("rb") as file:
            reader = zstandard.ZstdDecompressor().stream_reader(file)
            rest = b""
            while data := reader.read(1 << 20):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    yield orjson.loads(line)["text"]


def library(sources: Path, shingle_words: int) -> int:
    """Remove near duplicates as the library's README does; return how many texts stay."""
    from rensa import RMinHashDeduplicator  # noqa: PLC0415  the build extra

    dedup = RMinHashDeduplicator(threshold=0.8, num_perm=128, use_lsh=True)

    def tokens(text: str) -> list[str]:
        words = text.split()
        if shingle_words == 1:
            return words
        return [
            " ".join(words[start : start + shingle_words])
            for start in range(max(1, len(words) - shingle_words + 1))
        ]

    keep = dedup.add_pairs(
        (str(number), tokens(text)) for number, text in enumerate(texts_of(sources))
    )
    return sum(keep)


def ours(folder: Path) -> int:
    """Remove near duplicates with the stages of a build; return how many texts stay."""
    from services.corpus.build.job import open_job, read_facts  # noqa: PLC0415
    from services.corpus.build.stages.sequence import Builder  # noqa: PLC0415

    with tempfile.TemporaryDirectory(dir=folder) as out:
        command(folder, Path(out), 1, ["near_duplicates"])  # writes the recipe
        recipe = folder / "recipe-1.yaml"
        job = open_job(recipe, Path(out), {"SOURCES": str(folder / "sources")})
        builder = Builder(job)
        for stage in builder.stages():
            if stage.name == "scatter":
                break
            for task in stage.left():
                builder.run(stage.name, task)
        return sum(facts["documents"] for facts in read_facts(job, "pass-1"))


def apart(folder: Path, what: str) -> dict[str, float]:
    """Remove near duplicates in another process, on one processor."""
    line = [sys.executable, "-m", "benchmarks.corpus.build", "--inside", what, str(folder)]
    environment = {**os.environ, "RAYON_NUM_THREADS": "1"}
    done = subprocess.run(line, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def inside(what: str, folder: Path) -> None:
    """Be that process: print processor seconds, the texts that stay, and the peak memory."""
    begun = time.process_time()
    if what == "ours":
        kept = ours(folder)
    else:
        kept = library(folder / "sources", 5 if what == "runs" else 1)
    seconds = time.process_time() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "kept": kept, "mib": memory}))


def processes(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Compare two processes with one."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    digests = set[str]()
    for number in range(rounds):
        for jobs, found in seconds.items():
            took, digest = built(folder, folder / f"out-{number}-{jobs}", jobs)
            found.append(took)
            digests.add(digest)
    if len(digests) > 1:
        raise SystemExit(f"the digests differ: {digests}")
    one, two = (statistics.median(found) for found in seconds.values())
    what, peer = "a build, end to end, with two processes", "with one process"
    return [report.row(what, peer, two, one, "s", target=1.7, less_is_better=True)]


def near(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Compare near-duplicate removal with the library's example."""
    sides: dict[str, list[dict[str, float]]] = {"ours": [], "runs": [], "words": []}
    for _ in range(rounds):
        for side, found in sides.items():
            found.append(apart(folder, side))
            tell(f"near duplicates, {side}: {found[-1]}")
    median = {
        side: {key: statistics.median(one[key] for one in found) for key in found[0]}
        for side, found in sides.items()
    }
    rows = []
    peers = {"runs": "rensa's example, runs of five words", "words": "rensa's example as it stands"}
    for side, peer in peers.items():
        for what, key, unit in (
            ("removing near duplicates, from shards to what stays", "seconds", "CPU-s"),
            ("removing near duplicates, largest memory", "mib", "MiB"),
        ):
            values = (median["ours"][key], median[side][key])
            target = 1.0 if key == "seconds" else None
            rows.append(report.row(what, peer, *values, unit, target=target, less_is_better=True))
        kept = (median["ours"]["kept"], median[side]["kept"])
        rows.append(report.row("texts that stay", peer, *kept, "texts", target=None))
    return rows


def kills(folder: Path) -> list[dict[str, Any]]:
    """Compare a build with two kills with one without."""
    seconds, whole = built(folder, folder / "whole", 2)
    digest = killed(folder, folder / "killed", [seconds * 0.4, seconds * 0.3])
    same = float(digest == whole)
    return [report.row("a build killed twice, same digests", "none", same, 1.0, "", target=1.0)]


def main() -> None:
    """Answer the questions and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("processes", "near", "kills"))
    parser.add_argument("--no-result", action="store_true", help="print, and write nothing")
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        inside(options.inside[0], Path(options.inside[1]))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        documents = make_sources(folder / "sources", options.megabytes)
        tell(f"made {options.megabytes} MB, {documents:,} documents")
        rows: list[dict[str, Any]] = []
        if options.only in {None, "processes"}:
            rows += processes(folder, options.rounds)
        if options.only in {None, "near"}:
            rows += near(folder, options.rounds)
        if options.only in {None, "kills"}:
            rows += kills(folder)
    if not options.no_result:
        packages = ("rensa", "zstandard", "orjson", "xxhash")
        facts = {"megabytes": options.megabytes, "documents": documents}
        report.write("corpus/build", rows, packages=packages, **facts)


if __name__ == "__main__":
    main()
