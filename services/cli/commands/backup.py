"""`assay backup` and `assay restore`: copies of what the ranker knows."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from services.cli.arguments import add_json, output_file
from services.cli.exits import Exit
from services.cli.inventory import home
from services.cli.output.console import OUT, print_json
from services.errors import PreconditionFailed
from services.ranker.database import backup
from services.ranker.database.database import StoreError
from services.ranker.settings import RankerSettings


def add_backup_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `backup`."""
    _add_arguments(
        parser,
        "backup",
        "Copies evidence, manifests, matches and outcomes to FILE, of one moment, also while a "
        "ranker writes. The copy is read back and every digest checked.",
    )


def add_restore_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `restore`."""
    _add_arguments(
        parser,
        "restore",
        "Checks every digest in FILE and puts it in the database's place, all or nothing. "
        "Refused while a ranker uses the database.",
    )


def _add_arguments(parser: argparse.ArgumentParser, name: str, description: str) -> None:
    parser.description = (
        f"{description} The database is ASSAY_RANKER_DATABASE, or the one under ASSAY_HOME."
    )
    parser.epilog = f"example: assay {name} evidence-2026-11.sqlite"
    parser.add_argument("file", metavar="FILE")
    add_json(parser)
    parser.set_defaults(run=run, action=name)


async def run(arguments: argparse.Namespace) -> Exit:
    """Copies, or puts a copy back."""
    database = RankerSettings(ASSAY_HOME=home()).database_file  # type: ignore[call-arg]  # by alias
    try:
        if arguments.action == "backup":
            target = output_file("FILE", arguments.file)
            contents = await asyncio.to_thread(backup.back_up, database, target)
        else:
            contents = await asyncio.to_thread(backup.restore, Path(arguments.file), database)
    except StoreError as error:
        raise PreconditionFailed(str(error)) from error
    if arguments.json:
        print_json({"file": arguments.file, **vars(contents)})
        return Exit.DONE
    done = "copied and checked" if arguments.action == "backup" else "checked and restored"
    OUT.print(
        f"{done}: {contents.evidence} pieces of evidence, {contents.manifests} manifests, "
        f"{contents.matches} matches, {contents.outcomes} outcomes",
        markup=False,
    )
    return Exit.DONE
