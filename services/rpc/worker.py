"""Work in a separate process, so that a benchmark and serving do not disturb each other."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import structlog

from services.errors import InternalError

_MAX_LINE_BYTES = 64 * 1024 * 1024
_KEPT_ERROR_LINES = 50
_PR_SET_PDEATHSIG = 1  # of Linux's prctl(2)
_log = structlog.get_logger(__name__)


def end_with_parent() -> None:
    """Ask the kernel to send this process SIGTERM when its parent dies. Linux only, else nothing.

    Call this early in a child: the death of a parent before the call goes unnoticed.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


async def run_worker(
    module: str, request: Mapping[str, Any], variables: Mapping[str, str] | None = None
) -> AsyncGenerator[dict[str, Any]]:
    """Runs `python -m module` with the request as JSON on its stdin; yields its stdout's lines.

    Each line of stdout is one JSON object. `variables` are added to the environment. Closing the
    iterator or cancelling its task kills the process and its children. Iterate under
    `contextlib.aclosing` if the loop may end early. Raises InternalError, with the last line of
    stderr, if the process fails or prints anything other than JSON objects; the rest of its stderr
    goes to the logs.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-m", module,
        stdin=PIPE, stdout=PIPE, stderr=PIPE,
        limit=_MAX_LINE_BYTES,
        env={**os.environ, **(variables or {})},
        start_new_session=True,  # its own group, so that its children end with it
    )  # fmt: skip
    assert process.stdin is not None  # noqa: S101 - for mypy
    assert process.stdout is not None  # noqa: S101
    assert process.stderr is not None  # noqa: S101
    tail: deque[str] = deque(maxlen=_KEPT_ERROR_LINES)
    reading = asyncio.create_task(_keep_tail(process.stderr, tail))
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(json.dumps(dict(request)).encode())
            await process.stdin.drain()
        process.stdin.close()
        async for line in process.stdout:
            yield _object(module, line)
        await reading
        code = await process.wait()
        if code != 0:
            _log.error("worker failed", module=module, exit_code=code, stderr=list(tail))
            raise InternalError(f"{module} ended with exit code {code}: the server's log says why")
    finally:
        await _end(process, reading)


def _object(module: str, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InternalError(f"{module} printed a line that is not a JSON object: {line[:80]!r}")
    return value


async def _keep_tail(stream: asyncio.StreamReader, tail: deque[str]) -> None:
    async for line in stream:
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            tail.append(text)


async def _end(process: Process, reading: asyncio.Task[None]) -> None:
    """Kills the rest of the process group and reads its pipes to their ends."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.stdout is not None:
        await process.stdout.read()
    await reading
    await process.wait()
