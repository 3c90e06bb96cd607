"""`assay corpus`: read a corpus, describe it, speed up reading, measure its storage."""

from __future__ import annotations

import argparse

from services.cli.parsing import Command, add_commands

_HERE = __name__

ACTIONS: dict[str, Command] = {
    "stream": Command("print documents as JSON lines", f"{_HERE}.stream"),
    "stats": Command(
        "count documents and bytes by subset, beside published figures", f"{_HERE}.stats"
    ),
    "audit": Command(
        "examine a corpus: duplicates, personal data, rights, and test sets that it contains",
        f"{_HERE}.audit",
    ),
    "benchmark": Command(
        "measure compression ratios, decompression speed and memory on a corpus's own shards",
        f"{_HERE}.benchmark",
    ),
    "index": Command(
        "rewrite shards with an index, for shuffling, ranks and resuming at any position",
        f"{_HERE}.index",
        "add_index_arguments",
    ),
    "build": Command("build a corpus from the sources that a recipe lists", f"{_HERE}.build"),
    "plan": Command(
        "count what a selection holds, and what each rank of a training run would get",
        f"{_HERE}.plan",
    ),
    "verify": Command(
        "check that an indexed corpus holds every byte of its source",
        f"{_HERE}.index",
        "add_verify_arguments",
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments: its actions."""
    add_commands(parser, ACTIONS, dest="action")
