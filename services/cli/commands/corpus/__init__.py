"""`assay corpus`: read a corpus, say what it is, make it quick to read, measure its storage."""

from __future__ import annotations

import argparse

from services.cli.parsing import Command, add_commands

_HERE = __name__

ACTIONS: dict[str, Command] = {
    "stream": Command("print documents as JSON lines", f"{_HERE}.stream"),
    "stats": Command(
        "what a corpus holds by subset, beside its published figures", f"{_HERE}.stats"
    ),
    "audit": Command("what a corpus is made of, and which test sets it repeats", f"{_HERE}.audit"),
    "benchmark": Command(
        "compression ratios, decompression speeds and memory on a corpus's own shards",
        f"{_HERE}.benchmark",
    ),
    "index": Command(
        "re-frame shards, so that they stream shuffled, by rank and from any place",
        f"{_HERE}.index",
        "add_index_arguments",
    ),
    "build": Command("build a corpus from sources, as a recipe says", f"{_HERE}.build"),
    "plan": Command(
        "what a selection has, and what each rank of a run would get of it", f"{_HERE}.plan"
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
