"""Prints the page of the commands from the parser of the command line.

    python docs/commands_page.py > docs/commands.md

A test compares the two.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from services.cli.__main__ import parser
from services.cli.exits import MEANINGS
from services.cli.parsing import completed

_HEAD = """# Commands

Every command with its options, as `--help` prints them. A command uses the running service that
`ASSAY_SEGMENT_ADDR`, `ASSAY_CORPUS_ADDR` or `ASSAY_RANKER_ADDR` names. If the variable is not set,
the command starts a private service and stops it at the end; options that name folders
(`--model DIR`, `--shards DIR`) are for private services. The ranker that `assay up` runs is used
without the variable. Every command also takes `--quiet`, which leaves out progress and notes.

`python docs/commands_page.py > docs/commands.md` writes this page.
"""
_OF_ALL = {"-h", "--quiet"}


def page() -> str:
    """The whole page."""
    root = completed(parser())
    parts = [_HEAD]
    for name, chosen in _actions(root):
        parts += _command(f"assay {name}", chosen, "##")
    return "\n".join([*parts, _statuses()])


def _actions(of: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from sorted(action.choices.items())


def _command(name: str, of: argparse.ArgumentParser, mark: str) -> Iterator[str]:
    yield f"{mark} {name}\n"
    if of.description:
        yield f"{_text(of.description)}\n"
    rows = [
        f"| {_flags(action)} | {_cell(_help(of, action))} |"
        for action in of._actions
        if not isinstance(action, argparse._SubParsersAction)
        if action.help != argparse.SUPPRESS and not _OF_ALL & set(action.option_strings)
    ]
    if rows:
        yield "\n".join(["| argument | meaning |", "|---|---|", *rows, ""])
    if of.epilog:
        yield f"{_text(of.epilog)}\n"
    for action, chosen in _actions(of):
        yield from _command(f"{name} {action}", chosen, f"{mark}#")


def _flags(action: argparse.Action) -> str:
    """An option with its value, or a positional argument."""
    name = action.metavar if isinstance(action.metavar, str) else None
    if not action.option_strings:
        return f"`{name or action.dest}`"
    value = ""
    if action.nargs != 0:
        value = name or ("{" + ",".join(map(str, action.choices)) + "}" if action.choices else "")
    return ", ".join(f"`{f'{flag} {value}'.rstrip()}`" for flag in action.option_strings).replace(
        "|", "\\|"
    )


def _help(of: argparse.ArgumentParser, action: argparse.Action) -> str:
    return of._get_formatter()._expand_help(action) if action.help else ""


def _text(text: str) -> str:
    return " ".join(text.split()).replace("<", "&lt;")


def _cell(text: str) -> str:
    return _text(text).replace("|", "\\|")


def _statuses() -> str:
    rows = [f"| {status.value} | {meaning} |" for status, meaning in MEANINGS.items()]
    return "\n".join(["## Exit status\n", "| status | meaning |", "|---|---|", *rows, ""])


if __name__ == "__main__":
    print(page(), end="")
