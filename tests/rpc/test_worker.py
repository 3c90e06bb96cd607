import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.errors import InternalError
from services.rpc.worker import run_worker

pytestmark = pytest.mark.process
Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a module whose body is the given text."""

    def start(body: str, request: dict[str, Any] | None = None) -> Any:
        (tmp_path / "a_worker.py").write_text(body)
        return run_worker("a_worker", request or {}, {"PYTHONPATH": str(tmp_path)})

    return start


async def test_the_request_goes_in_and_the_lines_come_out(run: Run) -> None:
    body = (
        "import json, sys\nfor i in range(json.load(sys.stdin)['n']): print(json.dumps({'i': i}))"
    )
    assert [line async for line in run(body, {"n": 3})] == [{"i": 0}, {"i": 1}, {"i": 2}]


async def test_a_line_arrives_before_the_process_ends(run: Run) -> None:
    body = "print('{}')\nimport sys, time\ntime.sleep(3600)"
    async with contextlib.aclosing(run(body)) as lines:
        assert await anext(lines) == {}


async def test_a_long_line_arrives_whole(run: Run) -> None:
    (line,) = [line async for line in run("import json; print(json.dumps({'a': 'x' * 5_000_000}))")]
    assert len(line["a"]) == 5_000_000


async def test_a_large_request_need_not_be_read(run: Run) -> None:
    assert [line async for line in run("print('{}')", {"a": "x" * 5_000_000})] == [{}]


async def test_a_failure_is_logged_and_callers_are_told_where_to_look(run: Run) -> None:
    with capture_logs() as logged, pytest.raises(InternalError, match=r"code 1.*log") as caught:
        [line async for line in run("raise ValueError('/models/secret')")]
    assert "secret" not in str(caught.value)
    assert any("Traceback" in line for line in logged[0]["stderr"])
    assert "ValueError: /models/secret" in logged[0]["stderr"][-1]


async def test_a_worker_that_is_killed_fails(run: Run) -> None:
    with capture_logs(), pytest.raises(InternalError, match="exit code -9"):
        [line async for line in run("import os; os.kill(os.getpid(), 9)")]


async def test_a_missing_module_fails() -> None:
    with capture_logs() as logged, pytest.raises(InternalError, match="exit code 1"):
        [line async for line in run_worker("no_such_module", {})]
    assert "No module named" in logged[0]["stderr"][-1]


@pytest.mark.parametrize("printed", ["hello", "[1]", "3"])
async def test_a_line_that_is_not_an_object_fails(run: Run, printed: str) -> None:
    with pytest.raises(InternalError, match="not a JSON object"):
        [line async for line in run(f"print({printed!r})")]


async def test_much_on_stderr_does_not_block(run: Run) -> None:
    body = "import sys\nsys.stderr.write('noise\\n' * 1_000_000)\nprint('{}')"
    assert [line async for line in run(body)] == [{}]


# The worker starts a child and prints both process ids; the child outlives any test.
PARENT = """
import json, os, subprocess, sys
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3600)'])
print(json.dumps({'pids': [os.getpid(), child.pid]}))
child.wait()
"""


def gone(pid: int) -> bool:
    """Whether the process has ended; one that nobody waited for yet counts as ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


async def wait_until_gone(pid: int) -> None:
    """Returns once the process has ended; a pidfd becomes readable then."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def test_closing_kills_the_worker_and_its_children(run: Run) -> None:
    lines = run(PARENT)
    first = await anext(lines)
    await lines.aclose()
    for pid in first["pids"]:
        await wait_until_gone(pid)
        assert gone(pid)


async def test_cancelling_kills_the_worker_and_its_children(run: Run) -> None:
    pids: list[int] = []
    started = asyncio.Event()

    async def consume() -> None:
        async with contextlib.aclosing(run(PARENT)) as lines:
            async for line in lines:
                pids.extend(line["pids"])
                started.set()

    task = asyncio.create_task(consume())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for pid in pids:
        await wait_until_gone(pid)
        assert gone(pid)
