"""The command `assay`: its arguments, and how it exits on errors."""

from __future__ import annotations

import argparse
import asyncio
import atexit
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NoReturn

from services.cli import commands
from services.cli.exits import MEANINGS, Exit, explain
from services.cli.interrupts import interruptible, leave_at_once
from services.cli.parsing import Parser, add_commands, add_quiet


class _Version(argparse.Action):
    """`--version`: this version, and the versions of its numerical libraries."""

    def __init__(self, **options: Any) -> None:
        super().__init__(nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        """Print and exit."""
        from services.cli.versions import summary  # noqa: PLC0415  only where it is wanted

        sys.stdout.write(summary() + "\n")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    statuses = "\n".join(f"  {status.value:>3}  {meaning}" for status, meaning in MEANINGS.items())
    root = Parser(
        prog="assay",
        description="Serve models and datasets, and check the claims about them by measurement.",
        epilog=(
            "A command that needs a service uses the running one that ASSAY_SEGMENT_ADDR,\n"
            "ASSAY_CORPUS_ADDR or ASSAY_RANKER_ADDR (host:port) names. If the variable is not\n"
            "set, the command starts a private service on loopback and stops it at the end.\n"
            "The ranker that `assay up` runs is used without the variable.\n"
            "ASSAY_TLS, ASSAY_TLS_CA, ASSAY_TLS_CERT, ASSAY_TLS_KEY, ASSAY_TOKEN and\n"
            "ASSAY_TOKEN_FILE configure the connection to a running service; the file\n"
            "~/.config/assay/config.toml can hold the same settings (docs/access.md).\n"
            "ASSAY_HOME (default: ~/.local/share/assay) holds models, evidence and logs.\n\n"
            f"exit status:\n{statuses}"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument(
        "--version", action=_Version, help="print the versions of assay and its engines, and exit"
    )
    add_quiet(root)
    add_commands(root, commands.COMMANDS, dest="command")
    return root


def _output(parsed: argparse.Namespace) -> AbstractContextManager[None]:
    """Apply `--quiet` and `--format` to everything that the command prints."""
    from services.cli.output import console  # noqa: PLC0415  help needs no console

    chosen = getattr(parsed, "format", None)
    if chosen == console.Format.JSON:
        parsed.json, chosen = True, None
    return console.printing(parsed.quiet, None if chosen is None else console.Format(chosen))


def _extra(given: Sequence[str]) -> str:
    """The extra that the command needs, named after the command's folder."""
    named = next(
        (commands.COMMANDS[word].module for word in given if word in commands.COMMANDS), ""
    )
    folder = named.removeprefix(f"{commands.__name__}.").partition(".")[0]
    return {"bpb": "corpus"}.get(folder, folder)


def _run(parsed: argparse.Namespace) -> int:
    """Run the chosen command; on Ctrl-C say what it has saved, if it can continue."""
    try:
        return int(asyncio.run(interruptible(parsed.run(parsed))))
    except KeyboardInterrupt:
        saved = getattr(parsed, "interrupted", "")
        if saved:
            from services.cli.output.console import note  # noqa: PLC0415  help needs no console

            note(f"interrupted; {saved}")
        raise


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if not given:
        parser().print_help(sys.stderr)
        return Exit.USAGE
    interrupted = threading.Event()
    if arguments is None:  # this process is the command's
        atexit.register(leave_at_once, interrupted, Exit.INTERRUPTED)
    try:
        parsed = parser().parse_args(given)
        with _output(parsed):
            return _run(parsed)
    except KeyboardInterrupt:
        interrupted.set()
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has closed the pipe. Nothing more may be written, even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except Exception as error:
        explained = explain(error, _extra(given))
        if explained is None:
            raise
        status, message = explained
        from services.cli.output.console import ERR  # noqa: PLC0415  help needs no console

        ERR.print(f"assay: {message}", style="red", markup=False, soft_wrap=True)
        return status


if __name__ == "__main__":
    sys.exit(main())
