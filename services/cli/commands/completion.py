"""`assay completion`: a shell script that completes commands, options and their choices."""

from __future__ import annotations

import argparse
import sys

from services.cli.exits import Exit
from services.cli.parsing import completed

_SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Prints a script that makes the shell complete commands, options and their choices. Load "
        "it in the shell's startup file."
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "examples:\n"
        '  bash  eval "$(assay completion bash)"   in ~/.bashrc\n'
        "  zsh   assay completion zsh > ~/.zfunc/_assay   where ~/.zfunc is in fpath\n"
        "  fish  assay completion fish > ~/.config/fish/completions/assay.fish"
    )
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help="bash, zsh or fish")
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> Exit:
    """Prints the script."""
    import shtab  # noqa: PLC0415  only here

    from services.cli.__main__ import parser  # noqa: PLC0415  which imports this module lazily

    sys.stdout.write(shtab.complete(completed(parser(), skip_missing=True), arguments.shell) + "\n")
    return Exit.DONE
