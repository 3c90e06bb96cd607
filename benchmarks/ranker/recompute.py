"""Compares every measured verdict on real data with independent code.

    ASSAY_TEST_DATA=DIR python -m benchmarks.ranker.recompute [--skip ARTIFACT ...]

`peers/ranker_independent.py` computes the values with transformers, numpy and the tools zstd and
gzip, in a process that cannot import the services. A row agrees if the verdict also follows from
the independent value, and the two values are within the row's target of each other.

T1 must be NOT_TESTABLE_HERE: the served files are a part of The Pile that was not drawn at random,
and the model's tokenizer reproduces only 3.4 % of their text. The figure is compared nevertheless.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import HERE, write

B4, B0, PILE = (
    "segformer-b4-finetuned-ade-512-512",
    "segformer-b0-finetuned-ade-512-512",
    "the-pile",
)
TINY = """
kind: artifact
schema: 1
id: tinystories-656k
name: TinyStories 656K
type: LANGUAGE_MODEL
description: A small Llama that was trained on stories for children.
license: {id: unstated, name: not stated}
pricing: free
capabilities: []
digest: sha256:cee7efd42eadc00397596afef0052554e3fa6991c82a6de46c556acd7946bacc
claims:
  - id: T1
    statement: It needs at most 4 bits per byte on Pile-CC.
    bound: {range: {high: 4}, unit: bits per byte}
    dataset: the-pile
    subset: Pile-CC
    method: language_models.bits_per_byte@2
  - id: T2
    statement: It has a million parameters.
    bound: {equals: {value: 1000000, tolerance: 1000}, unit: parameters}
    method: language_models.parameter_count@1
"""
# Relative: counts must be equal; the likelihood comes from another engine; the ratios are of whole
# shards, while the product takes the first 2 MiB of each split.
_NEAR = {"T1": 1e-4, "S0.2": 1e-3, "P6.1": 1e-9, "P3.2": 0.05, "P4.1": 0.03}


def main() -> None:
    """Measure both sides, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skip", action="append", default=[], help="an artifact to leave out")
    skipped = parser.parse_args().skip
    data = Path(os.environ["ASSAY_TEST_DATA"])
    words = [sys.executable, "-I", str(HERE / "peers" / "ranker_independent.py"), str(data)]
    with (
        subprocess.Popen(words, stdout=subprocess.PIPE) as other,
        tempfile.TemporaryDirectory() as folder,
    ):
        found = product(data, Path(folder), skipped)
        independent = json.loads(other.communicate()[0])
    rows = [row(name, found[name], value) for name, value in independent.items() if name in found]
    agree = sum(one["what"].endswith(": agrees") for one in rows)
    print(
        f"{agree} of {len(rows)} agree; not measured here: {sorted(set(independent) - set(found))}"
    )
    write(
        "ranker/recompute",
        rows,
        packages=("transformers", "torch", "numpy", "zstandard", "openvino"),
        agree=f"{agree} of {len(rows)}",
    )
    sys.exit(agree != len(rows))


def product(data: Path, folder: Path, skipped: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """The command's output for the measured claims, by id, without the skipped artifacts."""
    manifest = folder / "tiny.yaml"
    manifest.write_text(TINY)
    supplies: list[str | Path] = [
        "--shards", f"{PILE}={data / 'pile'}", "--pictures", data / "ade20k",
        "--language-model", f"tinystories-656k={data / 'lm' / 'tinystories-656k'}",
        "--manifest", manifest,
    ]  # fmt: skip
    exports: Mapping[str, tuple[str | Path, ...]] = {
        B4: ("--architecture", "b4", "--random-weights", "0"),
        B0: ("--checkpoint", data / "segformer" / "b0-ade", "--name", B0),
    }
    for name, source in exports.items():
        if name not in skipped:
            assay("export", *source, "--out", folder / name, home=folder)
            supplies += ["--model", folder / name]
    wanted = {
        B4: ("B1.1", "B1.2", "B1.3", "B2.1", "B2.2", "B4.1", "B4.2", "B4.3", "B6.1", "B7.1"),
        B0: ("S0.1", "S0.2"),
        PILE: ("P3.1", "P3.2", "P4.1", "P5.2", "P6.1"),
        "tinystories-656k": ("T1", "T2"),
    }
    found: dict[str, Mapping[str, Any]] = {}
    for artifact, claims in wanted.items():
        if artifact in skipped:
            continue
        chosen = [word for claim in claims for word in ("--claim", claim)]
        said = assay("claims", artifact, *chosen, *supplies, "--json", home=folder)
        found |= {one["id"]: one for one in json.loads(said)["claims"]}
    return found


def assay(*words: str | Path, home: Path) -> str:
    """Run the command, with an empty home."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *map(str, words)],
        env=ours | {"ASSAY_HOME": str(home / "home")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def row(name: str, said: Mapping[str, Any], independent: float | str) -> dict[str, Any]:
    """One claim: both values, and whether the verdict follows from the independent one."""
    ours, sample = said["value"], said.get("sample") or {}
    if sample.get("value") is not None:
        ours = sample["value"]  # if other evidence decides, as for B0's accuracy
    near = _NEAR.get(name, 0.0)
    if isinstance(independent, str) or isinstance(ours, str | None):
        close = ours == independent
    else:
        close = abs(ours - independent) <= near * abs(independent)
    follows = _follows(said, independent)
    print(f"{name}: {said['verdict']}, {ours} against {independent}: {close and follows}")
    same = ours == independent
    numbers = isinstance(ours, float) and isinstance(independent, float) and independent
    return {
        "what": f"{name}, {said['verdict']}: {'agrees' if close and follows else 'DIFFERS'}",
        "peer": "transformers, numpy, zstd and gzip",
        "ours": ours,
        "theirs": independent,
        "unit": said["unit"] or "",
        "ratio": ours / independent if numbers else float(same),
        "target": 1.0,
    }


def _follows(said: Mapping[str, Any], independent: float | str) -> bool:
    """Whether CONFIRMED or REFUTED follows from the bound and the value; True for others."""
    bound, verdict = said["bound"] or {}, said["verdict"]
    if verdict not in {"CONFIRMED", "REFUTED"} or said["basis"] != "MEASURED":
        return True
    if "text" in bound:
        holds = bound["text"] == independent
    elif isinstance(independent, str):
        return False
    elif "equals" in bound:
        centre, half = bound["equals"].get("value", 0.0), bound["equals"].get("tolerance", 0.0)
        holds = abs(independent - centre) <= half
    else:
        ends = bound.get("range") or bound.get("ratio") or {}
        low, high = ends.get("low", -float("inf")), ends.get("high", float("inf"))
        holds = float(low) <= independent <= float(high)
    return bool(holds == (verdict == "CONFIRMED"))


if __name__ == "__main__":
    main()
