"""`assay corpus`: read a corpus, say what it is, make it quick to read, measure its storage."""
# ruff: noqa: PLC0415  an action's module is imported when it is chosen, as a command's is

from __future__ import annotations

import argparse

from services.cli.commands import AddArguments, LazyParser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments: its actions."""
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="ACTION", parser_class=LazyParser
    )
    for name, (text, add_action_arguments) in ACTIONS.items():
        actions.add_parser(name, help=text, add_arguments=add_action_arguments)


def _stream(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands.corpus import stream

    stream.add_arguments(parser)


def _stats(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands.corpus import stats

    stats.add_arguments(parser)


def _audit(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands.corpus import audit

    audit.add_arguments(parser)


def _benchmark(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands.corpus import benchmark

    benchmark.add_arguments(parser)


def _index(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands.corpus import index

    index.add_index_arguments(parser)


def _plan(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands.corpus import plan

    plan.add_arguments(parser)


def _build(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands.corpus import build

    build.add_arguments(parser)


def _verify(parser: argparse.ArgumentParser) -> None:
    from services.cli.commands.corpus import index

    index.add_verify_arguments(parser)


ACTIONS: dict[str, tuple[str, AddArguments]] = {
    "stream": ("print documents as JSON lines", _stream),
    "stats": (
        "what a corpus holds by subset, beside what was published of it",
        _stats,
    ),
    "audit": ("what a corpus is made of, and which test sets it repeats", _audit),
    "benchmark": (
        "compression ratios, decompression speeds and memory on a corpus's own shards",
        _benchmark,
    ),
    "index": (
        "re-frame shards, so that they stream shuffled, by rank and from any place",
        _index,
    ),
    "build": ("build a corpus from sources, as a recipe says", _build),
    "plan": ("what a selection has, and what each rank of a run would get of it", _plan),
    "verify": ("prove that an indexed corpus holds every byte of its source", _verify),
}
"""Each action: a line of help, and what adds its arguments."""
