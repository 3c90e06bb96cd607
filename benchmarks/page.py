"""Prints benchmarks/README.md from the committed results.

    python -m benchmarks.page > benchmarks/README.md

A test compares the two. The frame (`page.md`), the order of the questions and a line for each
missed goal (`missed.yaml`) are written by hand.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
Row = dict[str, Any]

QUESTIONS = {
    "Are the labels right?": ["segment/fuzz_images"],
    "How fast is a picture labelled?": [
        "segment/pipeline",
        "segment/servers",
        "segment/folder",
        "segment/engine",
        "segment/postprocess",
    ],
    "What happens under overload, attack and faults?": [
        "segment/overload",
        "faults",
        "faults/balance",
        "faults/fuzz_rpcs",
        "faults/soak",
    ],
    "What is in an image?": ["images"],
    "Does a Kubernetes API server accept the manifests?": ["manifests"],
    "What do access and traces cost?": ["access_cost", "tracing_cost"],
    "Are bits per byte right?": [
        "bpb/lm_eval",
        "bpb/families",
        "bpb/double",
        "bpb/double_further",
        "bpb/paper_windows",
        "bpb/smollm2",
        "bpb/proof",
        "bpb/audit",
        "bpb/kill",
    ],
    "How fast are bits per byte computed, and in how much memory?": [
        "bpb/speed",
        "bpb/smollm2_speed",
        "bpb/overhead",
        "bpb/checks",
        "bpb/memory",
    ],
    "Does every document arrive once, and unchanged?": [
        "corpus/kill",
        "corpus/plans",
        "corpus/other_readers",
        "corpus/object_store",
    ],
    "How fast is text read, streamed and searched?": [
        "corpus/local_read",
        "corpus/stream_flight",
        "corpus/messages",
        "corpus/documents",
        "corpus/random_access",
        "corpus/tokens",
        "corpus/index",
        "corpus/memory",
        "corpus/crowd",
        "corpus/contamination",
        "corpus/build",
    ],
    "Do intervals contain the truth as often as they state?": ["bpb/coverage", "interval_coverage"],
    "Are verdicts right?": ["ranker/recompute", "ranker/trial", "ranker/operators"],
    "How good and how fast is search, and how fast a cached comparison?": [
        "ranker/search_quality",
        "ranker/search_speed",
        "ranker/cache",
    ],
    "How many files does one call pass?": ["walks"],
}

# The script itself judges these: the goal is that two values agree, not their ratio.
_NO_RATIO = {"ranker/recompute"}
_MOST_ROWS = 12
_NO_RESULT = (
    "segment/gpu",
    "segment/scaling",
)


def page() -> str:
    """The whole page."""
    lines = [
        f"* {one['why'].strip()} (`{script(one['file']).relative_to(HERE)}`)" for one in missed()
    ]
    results = [
        "\n".join([f"## {question}\n", *map(_section, names)])
        for question, names in QUESTIONS.items()
    ]
    others = [
        f"* `python -m benchmarks.{one.replace('/', '.')}`: {_about(one)}" for one in _NO_RESULT
    ]
    frame = (HERE / "page.md").read_text("utf-8")
    return frame.format(
        missed="\n".join(lines), results="\n".join(results), others="\n".join(others)
    )


def missed() -> list[dict[str, str]]:
    """Return a line for each missed goal: a file, a pattern of its rows, and the reason."""
    found: list[dict[str, str]] = yaml.safe_load((HERE / "missed.yaml").read_text("utf-8"))
    return found


def result(name: str) -> dict[str, Any]:
    """A committed result."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return found


def met(name: str, row: Row) -> bool | None:
    """Whether a row reached its goal, if it has one. Without a ratio the goal is a maximum."""
    if row["target"] is None or name in _NO_RATIO:
        return None
    if row["ratio"] is None:
        return bool(row["ours"] <= row["target"])
    return bool(row["ratio"] >= row["target"])


def speaks_of(one: dict[str, str], name: str, row: Row) -> bool:
    """Whether a line about missed goals is about this row."""
    return one["file"] == name and bool(re.search(one["row"], f"{row['what']}; {row['peer']}"))


def _section(name: str) -> str:
    found = result(name)
    lines = [
        f"**{_about(name)}** {found['date']}; {found['hardware']}.",
        "",
        f"    {found['command']}",
        "",
        "| what | against | ours | theirs | unit | ratio | goal |",
        "|---|---|--:|--:|---|--:|---|",
        *(_line(name, row, of) for row, of in _shown(name, found["rows"])),
        "",
    ]
    if name == "faults":
        lines += ["[All rows](../docs/faults.md).", ""]
    return "\n".join(lines)


def _shown(name: str, rows: list[Row]) -> Iterator[tuple[Row, int]]:
    """Yield each row; of many, the worst by peer and unit, with their number, and the missed."""
    if len(rows) <= _MOST_ROWS:
        yield from ((row, 1) for row in rows)
        return
    for _, group in groupby(sorted(rows, key=_alike), key=_alike):
        worst, *others = each = sorted(group, key=_worst_first)
        yield worst, len(each)
        yield from ((row, 1) for row in others if met(name, row) is False)


def _alike(row: Row) -> tuple[str, str]:
    return row["peer"], row["unit"]


def _worst_first(row: Row) -> float:
    return float(-row["ours"] if row["ratio"] is None else row["ratio"])


def _line(name: str, row: Row, of: int) -> str:
    reached = met(name, row)
    goal = ""
    if reached is not None:
        at = f"at most {_number(row['target'])}"
        if row["ratio"] is not None:
            at = f"{_number(row['target'])}x"
        goal = f"{at}: {'met' if reached else '**missed**'}"
    cells = [
        row["what"] + (f" (worst of {of})" if of > 1 else ""),
        row["peer"],
        _number(row["ours"]),
        _number(row["theirs"]),
        "" if row["unit"] == "1" else row["unit"],
        "" if row["ratio"] is None else f"{_number(row['ratio'])}x",
        goal,
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _number(value: float | str | None) -> str:
    """Four significant digits, thousands separated; text is unchanged."""
    if value is None or isinstance(value, str):
        return value or ""
    if value == int(value) or abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:,.4g}" if abs(value) >= 0.001 else f"{value:.2g}"


def script(name: str) -> Path:
    """The script that writes a result."""
    file = HERE / f"{name}.py"
    return file if file.exists() else HERE / name / "__main__.py"


def _about(name: str) -> str:
    """The first sentence of the docstring of a result's script."""
    text = ast.get_docstring(ast.parse(script(name).read_text("utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split())


if __name__ == "__main__":
    print(page(), end="")
