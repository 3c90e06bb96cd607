"""`assay score --prove` and `assay prove verify`: figures that prove themselves."""

from __future__ import annotations

import argparse

from services.cli.arguments import add_json, add_selection
from services.cli.exits import Exit
from services.cli.shards import add_shards
from services.errors import InvalidArgument


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--prove` and related options to `assay score`."""
    parser.add_argument(
        "--prove",
        metavar="FILE",
        help="also compress the documents with the model into FILE, as a proof that `assay prove "
        "verify` checks",
    )
    parser.add_argument(
        "--leave-out-lossy",
        action="store_true",
        help="with --prove: leave out documents that the tokenizer cannot reproduce, and list "
        "them in the proof; default: refuse them",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check: argparse.ArgumentParser = actions.add_parser(
        "verify",
        help="decode a proof and compare every document with its digest",
        description=(
            "Decodes every document of a proof with the model, and checks its SHA-256, its nats "
            "and the length of its code. With --shards or --corpus, also checks that the "
            "documents are those of the selection. The exit status is 4 if the proof does not "
            "hold."
        ),
        epilog="example: assay prove verify gpt2.proof --model gpt2 --shards pile --split test",
    )
    check.add_argument("proof", metavar="FILE", help="a proof that `assay score --prove` wrote")
    check.add_argument(
        "--model", metavar="DIR", help="the model's folder; default: the reference model"
    )
    check.add_argument(
        "--texts",
        metavar="FILE",
        help="write the decoded documents to FILE, as JSON lines with id and text",
    )
    check.add_argument(
        "--elsewhere",
        action="store_true",
        help="decode even if the machine or a software version differs from the proof's",
    )
    add_shards(check)
    add_selection(check)
    add_json(check)
    check.set_defaults(run=run_verify)


def check_options(arguments: argparse.Namespace) -> None:
    """Refuses options that rule out a proof, before hours of scoring."""
    if arguments.prove:
        from services.cli import proving  # noqa: PLC0415  it loads numerical libraries

        proving.check_options(arguments)
    elif arguments.leave_out_lossy:
        raise InvalidArgument("--leave-out-lossy", "belongs to --prove, which is not given")


async def write(arguments: argparse.Namespace, digest: str) -> None:
    """Writes the proof of a selection for the model of that digest, if requested."""
    if arguments.prove:
        from services.cli import proving  # noqa: PLC0415

        await proving.write(arguments, digest)


async def run_verify(arguments: argparse.Namespace) -> Exit:
    """Verifies a proof."""
    from services.cli import proving  # noqa: PLC0415

    return await proving.run_verify(arguments)
