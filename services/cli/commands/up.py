"""`assay up`: all three services on loopback."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from contextlib import AsyncExitStack
from importlib.util import find_spec

from services.cli.connections import processes
from services.cli.connections.inventory import Inventory, existing_folder, licenses_of, logs
from services.cli.connections.running import announced
from services.cli.exits import Exit
from services.cli.output.console import OUT, note
from services.cli.shards import LOCAL_CORPUS, add_reading, named, shards_inventory
from services.errors import Unavailable

_PAGES_VARIABLE = "ASSAY_RANKER_HTTP_PORT"
_PAGES_PORT = 50083


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Starts segment, corpus and ranker on their ports (50051, 50052, 50053, or what "
        "ASSAY_SEGMENT_PORT, ASSAY_CORPUS_PORT and ASSAY_RANKER_PORT say), and drains them on "
        "Ctrl-C: calls in flight are finished. With the extra `page` the ranker's pages are on "
        f"port {_PAGES_PORT}, or what {_PAGES_VARIABLE} says."
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="DIR",
        help="serve this exported model; repeatable; default: the reference model",
    )
    parser.add_argument(
        "--shards",
        action="append",
        metavar="[NAME=]DIR|FILE|URL",
        help=f'serve this corpus under NAME (default: "{LOCAL_CORPUS}"); repeatable for other '
        "names, and for URLs of single shards; default: the reference corpus",
    )
    add_reading(parser)
    parser.add_argument(
        "--language-model",
        action="append",
        default=[],
        metavar="[NAME=]DIR",
        help="score this model under NAME; default: the folder's name; repeatable",
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
    variables = inventory.environment() | _pages()
    async with AsyncExitStack() as stack:
        running = []
        addresses: dict[str, str] = {}
        for name in processes.SERVICES:
            started = await processes.start(name, variables, logs(), ports_from_environment=True)
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
            raise Unavailable(f"the {ended.name} service ended by itself; see {ended.log}")
        note("finishing the calls in flight")
    return Exit.DONE


def _pages() -> dict[str, str]:
    """What turns the ranker's pages on, where they can be and the environment says nothing."""
    if _PAGES_VARIABLE in os.environ or not all(map(find_spec, ("uvicorn", "starlette", "jinja2"))):
        return {}
    return {_PAGES_VARIABLE: str(_PAGES_PORT)}


async def _first_of(
    stop: asyncio.Event, running: list[processes.ServiceProcess]
) -> processes.ServiceProcess | None:
    """Waits for the signal (None) or for a service that ends before it (that service)."""
    waits = {asyncio.create_task(each.process.wait()): each for each in running}
    stopping = asyncio.create_task(stop.wait())
    done, pending = await asyncio.wait([stopping, *waits], return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return None if stopping in done else waits[done.pop()]
