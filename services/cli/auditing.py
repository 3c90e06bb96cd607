"""Checks records of published figures for the command line.

Separate from the command, which is loaded with every other one: this loads numerical libraries.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import asdict, replace
from pathlib import Path

from services.cli.connections.inventory import existing_folder
from services.cli.exits import Exit
from services.cli.output.console import OUT, print_json
from services.corpus.audit.court import judge
from services.corpus.audit.record import Record, parse, texts_by_digest
from services.corpus.audit.tokenizer import open_cutter
from services.corpus.audit.verdict import MEANINGS, Status, Verdict
from services.corpus.shards.layout import find_shards
from services.corpus.stream import reader
from services.corpus.stream.selection import Selection

_HEADLINES = {
    Status.SOUND: "sound: every part was checked against the texts",
    Status.CONSISTENT: "nothing contradicts it, and not everything could be checked",
    Status.WRONG: "WRONG",
    Status.IMPOSSIBLE: "IMPOSSIBLE: no evaluation gives these numbers",
    Status.UNEXPLAINED: "CONTRADICTORY, by none of the known mistakes",
}


async def run(arguments: argparse.Namespace) -> Exit:
    """Checks a record."""
    file = Path(arguments.record)
    record = await asyncio.to_thread(lambda: parse(file.read_bytes()))
    if arguments.tokenizer:
        record = replace(record, tokenizer=arguments.tokenizer)
    elif record.tokenizer not in {"", "bytes"}:
        # A path in a record is relative to the record's folder.
        record = replace(record, tokenizer=str(file.parent / record.tokenizer))
    verdict = await asyncio.to_thread(_try, record, arguments.shards)
    if arguments.json:
        findings = [
            {**asdict(one), "meanings": [MEANINGS[mistake] for mistake in one.mistakes]}
            for one in verdict.findings
        ]
        print_json({"name": record.name, **asdict(verdict), "findings": findings})
    else:
        _show(record, verdict)
    right = verdict.status in {Status.SOUND, Status.CONSISTENT}
    return Exit.DONE if right else Exit.BAD_INPUT


def _try(record: Record, shards: str | None) -> Verdict:
    return judge(record, open_cutter(record.tokenizer), _texts(record, shards))


def _texts(record: Record, shards: str | None) -> dict[str, bytes]:
    """Finds texts that a record gives only by digest."""
    if shards is None:
        return {}
    layout = find_shards(existing_folder("--shards", shards))
    splits = tuple(dict.fromkeys(shard.split for shard in layout))
    return texts_by_digest(record, reader.documents(layout, Selection(splits)))


def _show(record: Record, verdict: Verdict) -> None:
    lines = [f"{record.name}, {verdict.claimed} bits per byte: {_HEADLINES[verdict.status]}"]
    lines += [f"  impossible: {one}" for one in verdict.impossible]
    for finding in verdict.findings:
        named = [f"{one.value}: {MEANINGS[one]}" for one in finding.mistakes]
        what = "; or ".join(named) or "no known mistake explains it"
        lines.append(f"  {what}\n    seen in {finding.detail}")
    if verdict.corrected is not None and verdict.findings:
        lines.append(
            f"  corrected: {verdict.corrected:.6g} bits per byte of {verdict.corrected_of}"
        )
    lines += [f"  checked: {one}" for one in verdict.checked]
    lines += [f"  not checked: {one}" for one in verdict.unchecked]
    OUT.print("\n".join(lines), markup=False, soft_wrap=True)
