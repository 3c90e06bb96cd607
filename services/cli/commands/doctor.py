"""`assay doctor`: whether this installation and everything that it would use are in order."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from itertools import chain

from services.cli.arguments import add_json
from services.cli.connections.inventory import Inventory
from services.cli.connections.processes import SERVICES
from services.cli.doctor import kept, machine, running, software
from services.cli.doctor.finding import Examination, Finding, Level, findings
from services.cli.exits import Exit
from services.cli.output.console import OUT, print_json
from services.common.counts import plural
from services.errors import PreconditionFailed
from services.rpc.settings import ServerSettings, read_settings

_MARKS = {
    Level.FINE: ("ok", "green"),
    Level.OFF: ("-", "dim"),
    Level.WARNING: ("warning", "yellow"),
    Level.WRONG: ("WRONG", "red"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Checks versions, extras, engines and devices, memory, disk, clock, ports, models, "
        "corpora, the database, Redis and running services. It changes nothing and starts "
        "nothing. With --quiet, lists only warnings and errors. The exit status is 1 if "
        "something is wrong, else 0."
    )
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> Exit:
    """Prints the findings, and returns the exit status."""
    with _as_commands_see_it():
        found = await asyncio.to_thread(lambda: list(examine()))
    wrong = sum(one.level is Level.WRONG for one in found)
    if arguments.json:
        print_json({"wrong": wrong, "findings": [asdict(one) for one in found]})
    else:
        show(found, everything=not arguments.quiet)
    return Exit.FAULT if wrong else Exit.DONE


def examine() -> Iterator[Finding]:
    """All findings, in the order in which they are shown."""
    examinations: list[tuple[str, Examination]] = [
        ("assay", software.versions),
        ("assay", software.libraries),
        ("engines", software.engines),
        ("machine", machine.hardware),
        ("disk", machine.disk),
        ("clock", machine.clock),
        *((name, partial(_ports, name)) for name in SERVICES),
        ("segment", kept.models),
        ("corpus", kept.corpora),
        ("ranker", kept.database),
        ("ranker", kept.cache),
        *((name, partial(running.service, name)) for name in SERVICES),
    ]
    return chain.from_iterable(findings(subject, one) for subject, one in examinations)


def _ports(name: str) -> Iterator[Finding]:
    """Findings about ports. First use of the service's settings, so also reports errors in them."""
    module = importlib.import_module(f"services.{name}.settings")
    kind: type[ServerSettings] = getattr(module, f"{name.capitalize()}Settings")
    settings, problems = read_settings(kind)
    for problem in problems:
        yield Finding(f"settings of {name}", Level.WRONG, problem)
    if settings is not None:
        yield from machine.ports(name, settings)


@contextmanager
def _as_commands_see_it() -> Iterator[None]:
    """Set what private services would get in the environment, then restore it.

    Sets nothing if the home cannot be used: the examination of the disk says why.
    """
    given: dict[str, str] = {}
    with suppress(PreconditionFailed):
        given = {k: v for k, v in Inventory().environment().items() if k not in os.environ}
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            del os.environ[name]


def show(found: list[Finding], *, everything: bool) -> None:
    """Print a line for each finding, and its remedy below."""
    for one in found:
        if not everything and one.level in (Level.FINE, Level.OFF):
            continue
        mark, style = _MARKS[one.level]
        OUT.print(f"{mark:8}", style=style, end="", markup=False)
        OUT.print(f"{one.subject}: {one.found}", markup=False, soft_wrap=True)
        if one.remedy and one.level is not Level.FINE:
            OUT.print(f"        {one.remedy}", style="bold", markup=False, soft_wrap=True)
    counts = {level: sum(one.level is level for one in found) for level in Level}
    OUT.print(
        f"{counts[Level.WRONG]} wrong, {plural(counts[Level.WARNING], 'warning')}, "
        f"{counts[Level.FINE]} fine, {counts[Level.OFF]} not set up",
        markup=False,
    )
