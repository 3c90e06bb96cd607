"""`assay audit bpb`: whether a published figure can be right, and which mistake explains it."""

from __future__ import annotations

import argparse

from services.cli.arguments import add_json
from services.cli.exits import Exit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    bpb: argparse.ArgumentParser = actions.add_parser(
        "bpb",
        help="bits per byte: by which mistake is it wrong, and what would be right",
        description=(
            "Checks a published bits-per-byte figure against the numbers published with it "
            "(sums, counts, texts or their digests, as far as there are any), and names known "
            "counting mistakes that would explain the figure. docs/bpb-audit.md describes the "
            "record's format. The exit status is 4 if the figure is wrong."
        ),
        epilog="example: assay audit bpb record.json --tokenizer tokenizer.json --shards pile",
    )
    bpb.add_argument("record", metavar="FILE", help="the record, as JSON or JSON lines")
    bpb.add_argument(
        "--tokenizer",
        metavar="FILE",
        help='the model\'s tokenizer.json, or "bytes"; default: the one that the record names',
    )
    bpb.add_argument(
        "--shards",
        metavar="DIR",
        help="folder in The Pile's layout with the texts that the record gives by digest only",
    )
    add_json(bpb)
    bpb.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> Exit:
    """Checks a record."""
    from services.cli import auditing  # noqa: PLC0415  it loads numerical libraries

    return await auditing.run(arguments)
