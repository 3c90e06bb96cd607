"""The command `assay`: its arguments, and how its errors end it."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from importlib import metadata

from services.cli.commands import COMMANDS, LazyParser
from services.cli.exits import MEANINGS, Exit, explain


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    statuses = "\n".join(f"  {status.value:>3}  {meaning}" for status, meaning in MEANINGS.items())
    root = argparse.ArgumentParser(
        prog="assay",
        description="Serve models and data sets, and measure what is claimed of them.",
        epilog=(
            "Commands that need a service use a running one where ASSAY_SEGMENT_ADDR,\n"
            "ASSAY_CORPUS_ADDR or ASSAY_RANKER_ADDR names it (host:port), and otherwise start a\n"
            "private one on loopback and stop it when they end. ASSAY_TLS, ASSAY_TLS_CA,\n"
            "ASSAY_TLS_CERT, ASSAY_TLS_KEY, ASSAY_TOKEN and ASSAY_TOKEN_FILE say how a running\n"
            "one is reached; ~/.config/assay/config.toml may hold all of these (docs/access.md).\n"
            "ASSAY_HOME (default ~/.local/share/assay) keeps models, evidence and logs.\n\n"
            f"exit status:\n{statuses}"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"assay {metadata.version('assay')}")
    commands = root.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=LazyParser
    )
    for name, (text, add_arguments) in COMMANDS.items():
        commands.add_parser(name, help=text, add_arguments=add_arguments)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status."""
    parsed = parser().parse_args(arguments)
    try:
        return int(asyncio.run(parsed.run(parsed)))
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has read enough. Nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        status, message = explained
        from services.cli.output.console import ERR  # noqa: PLC0415  help needs no console

        ERR.print(f"assay: {message}", style="red", markup=False, soft_wrap=True)
        return status


if __name__ == "__main__":
    sys.exit(main())
