"""A service as a process: `run` serves until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
from typing import NoReturn

import structlog

from services.common import left_behind
from services.errors import AssayError
from services.rpc.exits import Exit
from services.rpc.serving import logs
from services.rpc.serving.listening import StartError
from services.rpc.serving.server import build_server
from services.rpc.serving.service import Service
from services.rpc.settings import ServerSettings
from services.rpc.worker import end_with_parent

# Time to close whatever closes at once, if a signal stops a service during its start.
_GIVE_UP_SECONDS = 0.5
_log = structlog.get_logger(__name__)


def run(settings: ServerSettings, service: Service) -> int:
    """Serves until SIGTERM or SIGINT; returns the process's exit code (`services.rpc.exits`).

    A second signal ends the drain at once. A signal during the start ends the process: nothing is
    served yet, and a thread that is loading a model cannot be stopped otherwise. After a drain, the
    process ends without waiting for abandoned work.
    """
    logs.configure(settings.log_level, service.tracing.log_processors())
    if settings.end_with_parent:
        end_with_parent()
    try:
        code = asyncio.run(_serve(settings, service))
    except (StartError, AssayError) as error:
        print(f"{service.name}: cannot start: {error}", file=sys.stderr)
    except Exception as error:  # noqa: BLE001 - the last line of a process that ends
        _log.exception("service failed", service=service.name, error=repr(error))
    else:
        if left_behind.any_runs():
            _end(code)
        return code
    return Exit.CANNOT_START


async def _serve(settings: ServerSettings, service: Service) -> int:
    server = build_server(settings, service)
    signalled = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled.set)
    asked = asyncio.create_task(signalled.wait())
    starting = asyncio.create_task(server.start())
    await asyncio.wait({asked, starting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait({starting}, timeout=_GIVE_UP_SECONDS)
        _log.info("stopped", service=service.name, during="start")
        _end(Exit.DRAINED)
    await starting
    # Objects made during the start live as long as the process. Scanning them in every full
    # collection would stop every call for tens of milliseconds.
    gc.collect()
    gc.freeze()
    ports = {
        "port": server.port,
        "health_port": server.health_port,
        "metrics_port": server.metrics_port,
    }
    if server.admin_port:
        ports["admin_port"] = server.admin_port
    if server.http_port:
        ports["http_port"] = server.http_port
    try:
        _write_ready_file(settings, ports)
    except StartError:
        await server.stop(grace=0)
        raise
    _log.info("serving", service=service.name, host=settings.host, **ports)
    failed = asyncio.create_task(service.failure.wait())
    await asyncio.wait({asked, failed}, return_when=asyncio.FIRST_COMPLETED)
    if failed.done():
        _log.error("the service has failed", service=service.name, error=failed.result())
    failed.cancel()
    _log.info("draining", service=service.name, seconds=settings.drain_seconds)
    if settings.ready_file is not None:
        settings.ready_file.unlink(missing_ok=True)
    signalled.clear()
    stopping = asyncio.create_task(server.stop())
    again = asyncio.create_task(signalled.wait())
    await asyncio.wait({stopping, again}, return_when=asyncio.FIRST_COMPLETED)
    if not stopping.done():
        await server.stop(grace=0)
    again.cancel()
    await stopping
    asked.cancel()
    _log.info("stopped", service=service.name)
    return Exit.FAILED if service.failure.reason else Exit.DRAINED


def _end(code: int) -> NoReturn:
    """End the process without waiting for its threads, for which Python's own exit waits."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _write_ready_file(settings: ServerSettings, ports: dict[str, int]) -> None:
    if settings.ready_file is None:
        return
    partial = settings.ready_file.with_name(f"{settings.ready_file.name}.{os.getpid()}")
    try:
        partial.write_text(json.dumps(ports), "utf-8")
        partial.replace(settings.ready_file)
    except OSError as error:
        raise StartError(
            f"{settings.variable('ready_file')}: cannot write {settings.ready_file}: "
            f"{error.strerror}"
        ) from error
