"""Writes a benchmark's result, in the form that all of them have."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.rpc.environment import environment

HERE = Path(__file__).resolve().parent


def row(
    what: str,
    peer: str,
    ours: float,
    theirs: float,
    unit: str,
    *,
    target: float | None,
    less_is_better: bool = False,
) -> dict[str, Any]:
    """One row, with a ratio above 1 if ours is better; printed when it is made."""
    ratio = (theirs / ours if ours else 1.0) if less_is_better else ours / theirs
    print(
        f"{what}; {peer}: {ours:,.4g} against {theirs:,.4g} {unit}, {ratio:.3f} (to reach {target})"
    )
    return {
        "what": what,
        "peer": peer,
        "ours": round(ours, 4),
        "theirs": round(theirs, 4),
        "unit": unit,
        "ratio": round(ratio, 3),
        "target": target,
    }


def hardware() -> str:
    """Return the machine and its load, in the form of results."""
    machine = environment()
    return f"{machine.cpu}, {machine.cpu_count} processors, load {machine.load:.2f} each"


def write(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    packages: Sequence[str],
    peer_versions: Mapping[str, str] | None = None,
    **facts: Any,
) -> None:
    """Write results/NAME.json with the rows and `facts`; the command is this process's."""
    versions = environment(*packages).versions
    module = f"benchmarks.{name.replace('/', '.')}"
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": hardware(),
        "versions": {"ours": dict(versions), "peer": dict(peer_versions or {})},
        "command": f"python -m {module} {shlex.join(sys.argv[1:])}".strip(),
        **facts,
        "rows": list(rows),
    }
    file = HERE / "results" / f"{name}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"written to {file}")
