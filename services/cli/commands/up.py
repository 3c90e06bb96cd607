"""`assay up`: all three services on loopback."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import signal
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from importlib.util import find_spec
from typing import Any

from services.cli.connections import processes
from services.cli.connections.inventory import Inventory, existing_folder, licenses_of, logs
from services.cli.connections.running import announced, announced_address
from services.cli.exits import Exit
from services.cli.output.console import OUT, note
from services.cli.ports import unavailable
from services.cli.shards import LOCAL_CORPUS, add_reading, named, shards_inventory
from services.errors import PreconditionFailed, Unavailable
from services.rpc.settings import read_settings

_PAGES_VARIABLE = "ASSAY_RANKER_HTTP_PORT"
_PAGES_PORT = 50083


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Starts the segment, corpus and ranker services on ports 50051, 50052 and 50053, or on "
        "ASSAY_SEGMENT_PORT, ASSAY_CORPUS_PORT and ASSAY_RANKER_PORT. Ctrl-C finishes the calls in "
        "flight, then stops them. If the extra `page` is installed, the ranker's pages are on port "
        f"{_PAGES_PORT}, or on {_PAGES_VARIABLE}."
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="DIR",
        help="serve the model in this folder, which `assay export` wrote; repeatable; default: "
        "the reference model",
    )
    parser.add_argument(
        "--shards",
        action="append",
        metavar="[NAME=]DIR|FILE|URL",
        help=f'serve this corpus under NAME (default: "{LOCAL_CORPUS}"); repeatable, for several '
        "corpora and for the URLs of single shards; default: the reference corpus",
    )
    add_reading(parser)
    parser.add_argument(
        "--language-model",
        action="append",
        default=[],
        metavar="[NAME=]DIR",
        help="serve the language model in DIR under NAME, for scoring; repeatable; default NAME: "
        "the folder's name",
    )
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> Exit:
    """Runs the services until a signal comes or one of them ends."""
    models = [existing_folder("--model", model) for model in arguments.model]
    language_models = {}
    for given in arguments.language_model:
        name, place = named(given)
        folder = existing_folder("--language-model", place)
        language_models[name or folder.name] = folder
    inventory = Inventory(
        models=models,
        corpora=shards_inventory(arguments).corpora,
        language_models=language_models,
        accepted_licenses=licenses_of(models),
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    pages = _pages()
    _require_ports(pages)
    variables = inventory.environment() | pages
    async with AsyncExitStack() as stack:
        running = []
        addresses: dict[str, str] = {}
        for name in processes.SERVICES:
            try:
                started = await _unless(
                    stop, processes.start(name, variables, logs(), ports_from_environment=True)
                )
            except processes.LacksLibrary as error:
                raise processes.all_lacking(error) from error
            if started is None:
                return Exit.INTERRUPTED
            stack.push_async_callback(started.stop)
            running.append(started)
            addresses[name] = started.address
            OUT.print(f"{name:8} {started.address}   log {started.log}", markup=False)
            variables[f"ASSAY_RANKER_{name.upper()}_ADDR"] = started.address
            OUT.print(f"         export ASSAY_{name.upper()}_ADDR={started.address}", style="dim")
            if started.http_port:
                OUT.print(f"pages    http://127.0.0.1:{started.http_port}/", markup=False)
        if not any(name.endswith("_TLS_CERT") for name in os.environ):
            stack.enter_context(announced(addresses))
        note("ready; Ctrl-C finishes the calls in flight and stops")
        ended = await _first_of(stop, running)
        if ended:
            raise Unavailable(f"the {ended.name} service ended unexpectedly; see {ended.log}")
        note("finishing the calls in flight")
    return Exit.DONE


def _pages() -> dict[str, str]:
    """Variables that turn the ranker's pages on, if possible and not set in the environment."""
    if _PAGES_VARIABLE in os.environ or not all(map(find_spec, ("uvicorn", "starlette", "jinja2"))):
        return {}
    return {_PAGES_VARIABLE: str(_PAGES_PORT)}


def _require_ports(pages: Mapping[str, str]) -> None:
    """Raise PreconditionFailed listing all unavailable ports, before anything is started.

    Errors in a service's settings or libraries are left to the service itself to report.
    """
    taken = []
    for name in processes.SERVICES:
        with suppress(ModuleNotFoundError):
            module = importlib.import_module(f"services.{name}.settings")
            settings, _ = read_settings(getattr(module, f"{name.capitalize()}Settings"))
            if settings is not None:
                http_port = int(pages.get(_PAGES_VARIABLE, 0)) if name == "ranker" else 0
                taken += unavailable(settings, {"http_port": http_port})
    if not taken:
        return
    said = f"cannot listen: {'; '.join(map(str, taken))}"
    if running := announced_address("ranker"):
        raise PreconditionFailed(
            f"{said}. `assay up` already runs with this ASSAY_HOME (ranker at {running}): use that "
            "one, or stop it first"
        )
    remedy = (
        "Stop the program that has them, or set the variables to other ports"
        if all(one.in_use for one in taken)
        else "Set the variables to ports that you may listen on, and ASSAY_SEGMENT_HOST, "
        "ASSAY_CORPUS_HOST and ASSAY_RANKER_HOST to an address of this machine"
    )
    raise PreconditionFailed(f"{said}. {remedy}")


async def _unless(
    stop: asyncio.Event, starting: Coroutine[Any, Any, processes.ServiceProcess]
) -> processes.ServiceProcess | None:
    """The service once it is ready; None if the signal comes first and ends it."""
    start, stopping = asyncio.create_task(starting), asyncio.create_task(stop.wait())
    await asyncio.wait([start, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if start.done():
        return start.result()
    start.cancel()
    await asyncio.wait([start])
    return None


async def _first_of(
    stop: asyncio.Event, running: list[processes.ServiceProcess]
) -> processes.ServiceProcess | None:
    """Wait for the signal (return None) or for a service that ends first (return it)."""
    waits = {asyncio.create_task(each.process.wait()): each for each in running}
    stopping = asyncio.create_task(stop.wait())
    done, pending = await asyncio.wait([stopping, *waits], return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return None if stopping in done else waits[done.pop()]
