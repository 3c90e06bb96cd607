"""Parsers of the command line: completed on first use, and helpful when a word is wrong."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from services.errors import suggestion

AddArguments = Callable[[argparse.ArgumentParser], None]

_INVALID_CHOICE = re.compile(r"invalid choice: '(?P<given>[^']*)' \(choose from (?P<rest>.*)\)$")


@dataclass(frozen=True)
class Command:
    """A command, or an action of one: its line of help, and the module that adds its arguments.

    The module is imported when the command is chosen, so help is quick and a command needs only its
    own libraries.
    """

    help: str
    module: str
    function: str = "add_arguments"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Import the module and let it add the arguments."""
        add: AddArguments = getattr(importlib.import_module(self.module), self.function)
        add(parser)


class Parser(argparse.ArgumentParser):
    """A parser that names the nearest known word for an unknown one."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, and exit with status 2."""
        super().error(message + self._suggestion(message))

    def _suggestion(self, message: str) -> str:
        if found := _INVALID_CHOICE.search(message):
            return suggestion(found["given"], re.findall(r"[^\s,']+", found["rest"]))
        if message.startswith("unrecognized arguments: "):
            given = message.removeprefix("unrecognized arguments: ").split()[0]
            if given.startswith("-"):
                return suggestion(given.partition("=")[0], self._option_string_actions)
        return ""


class LazyParser(Parser):
    """A parser that gets its arguments when it is first used."""

    def __init__(self, *, add_arguments: AddArguments | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._add_arguments = add_arguments
        self._is_complete = False

    def complete(self) -> None:
        """Add the arguments, once; also `--quiet` if no action follows."""
        if not self._is_complete:
            self._is_complete = True
            if self._add_arguments is not None:
                self._add_arguments(self)
            _describe_actions(self)
            if not any(isinstance(one, argparse._SubParsersAction) for one in self._actions):
                add_quiet(self, default=argparse.SUPPRESS)

    def parse_known_args(self, *arguments: Any, **options: Any) -> Any:
        """Parse, as argparse does for a chosen command and for its `--help`.

        Unknown arguments are errors here rather than in the root, whose usage lacks the command's
        options.
        """
        self.complete()
        parsed, unknown = super().parse_known_args(*arguments, **options)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed, unknown


def add_quiet(parser: argparse.ArgumentParser, default: object = False) -> None:
    """`--quiet`, before the command or after it."""
    parser.add_argument(
        "--quiet",
        "-q",
        action="store_true",
        default=default,
        help="print no progress and no notes; results, warnings and errors are still printed",
    )


def add_commands(
    parser: argparse.ArgumentParser, commands: Mapping[str, Command], *, dest: str
) -> None:
    """Add the commands; the chosen one's name is `dest` of the parsed arguments."""
    chosen = parser.add_subparsers(
        dest=dest, required=True, metavar=dest.upper(), parser_class=LazyParser
    )
    for name, command in commands.items():
        chosen.add_parser(name, help=command.help, add_arguments=command.add_arguments)
    _describe_actions(parser)


def _describe_actions(parser: argparse.ArgumentParser) -> None:
    """Give every action without a description its line of help as one."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for line in action._choices_actions:
                chosen = action.choices[line.dest]
                if not chosen.description and line.help:
                    chosen.description = f"{line.help[:1].upper()}{line.help[1:]}."


def completed(
    parser: argparse.ArgumentParser, *, skip_missing: bool = False
) -> argparse.ArgumentParser:
    """The parser with the arguments of all its commands, which imports all of their modules.

    With `skip_missing`, a command whose libraries are not installed has no arguments.
    """
    if isinstance(parser, LazyParser):
        try:
            parser.complete()
        except ModuleNotFoundError:
            if not skip_missing:
                raise
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for chosen in action.choices.values():
                completed(chosen, skip_missing=skip_missing)
    return parser
