"""`assay backup` and `assay restore`: copies of the ranker's data."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from services.cli.arguments import add_json, output_file
from services.cli.connections.inventory import home
from services.cli.exits import Exit
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
        "Copies evidence, manifests, matches and outcomes to FILE, as a consistent snapshot, "
        "even while a ranker is writing. Then reads the backup file back and checks every digest.",
    )


def add_restore_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `restore`."""
    _add_arguments(
        parser,
        "restore",
        "Checks every digest in FILE, then replaces the database with it, completely or not at "
        "all. Refused while a ranker uses the database.",
    )


def _add_arguments(parser: argparse.ArgumentParser, name: str, description: str) -> None:
    parser.description = (
        f"{description} The database is that of ASSAY_RANKER_DATABASE_URL (PostgreSQL), else the "
        "file ASSAY_RANKER_DATABASE, else the one under ASSAY_HOME."
    )
    parser.epilog = f"example: assay {name} evidence-2026-11.sqlite"
    parser.add_argument("file", metavar="FILE", help="the backup file")
    add_json(parser)
    parser.set_defaults(run=run, action=name)


def _back_up(settings: RankerSettings, target: Path) -> backup.Contents:
    if settings.database_url is None:
        return backup.back_up(settings.database_file, target)
    from services.ranker.database import postgres_backup  # noqa: PLC0415  of an extra

    return postgres_backup.back_up(settings.database_url.get_secret_value(), target)


def _restore(settings: RankerSettings, file: Path) -> backup.Contents:
    if settings.database_url is None:
        return backup.restore(file, settings.database_file)
    from services.ranker.database import postgres_backup  # noqa: PLC0415  of an extra

    return postgres_backup.restore(file, settings.database_url.get_secret_value())


async def run(arguments: argparse.Namespace) -> Exit:
    """Makes a copy, or restores one."""
    settings = RankerSettings(ASSAY_HOME=home())  # type: ignore[call-arg]  # by alias
    try:
        if arguments.action == "backup":
            target = output_file("FILE", arguments.file)
            contents = await asyncio.to_thread(_back_up, settings, target)
        else:
            contents = await asyncio.to_thread(_restore, settings, Path(arguments.file))
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
