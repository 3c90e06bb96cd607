"""The lines of the documents that call the ranker with curl do what they say."""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
from pathlib import Path

import pytest

from tests.ranker.conftest import Ranker

for _module in ("starlette", "uvicorn", "connectrpc", "jinja2"):
    pytest.importorskip(_module, reason="the extra `page` is not installed")

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on PATH"),
]

PAGE = Path(__file__).resolve().parents[3] / "docs" / "pages.md"
LINES = [one for one in PAGE.read_text("utf-8").splitlines() if one.startswith("curl ")]


async def curl(line: str, address: str) -> dict[str, object]:
    words = shlex.split(line.replace("localhost:50083", address))
    started = await asyncio.create_subprocess_exec(
        *words, "--silent", "--show-error", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await started.communicate()
    assert started.returncode == 0
    found: dict[str, object] = json.loads(output)
    return found


async def test_every_line_is_answered(ranker: Ranker) -> None:
    assert len(LINES) >= 5
    await ranker.start(http_port=0)
    assert ranker.server is not None
    answers = [await curl(line, f"127.0.0.1:{ranker.server.http_port}") for line in LINES]
    assert all("code" not in one for one in answers), answers
    assert [next(iter(one)) for one in answers] == [
        "rank",
        "ranks",
        "claims",
        "left",
        "artifacts",
    ]
