"""The suite of `make faults`: what its parts say, and one of its attacks on a real server."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import grpc
import pytest

from benchmarks.faults.attacks import limit_of
from benchmarks.faults.http2 import half_open_streams
from benchmarks.faults.load import Load, WrongAnswer
from benchmarks.faults.matrix import TESTS
from benchmarks.faults.soak import Watched, in_turn
from benchmarks.faults.table import PAGE, RESULT, merged, page, row
from services.rpc.serving.server import build_server
from services.rpc.settings import ServerSettings
from tests.rpc.echo_server import ECHO, Echo, echo_service, method

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_that_of_the_result() -> None:
    assert PAGE.read_text("utf-8") == page(json.loads(RESULT.read_text("utf-8")))


def test_a_bound_that_is_not_held_is_said() -> None:
    rows = [row("a fault", "seconds", value, 1.0, "s") for value in (0.5, 2.0)]
    result = {"date": "today", "hardware": "here", "rows": rows, "tests": [], "not_run": []}
    shown = [line for line in page(result).splitlines() if line.startswith("| a fault")]
    assert [line.split(" | ")[-1] for line in shown] == ["yes |", "**no** |"]
    assert [one["ratio"] for one in rows] == [2.0, 0.5]


def test_faults_that_are_run_again_replace_what_was_found_before() -> None:
    first = [row(fault, "seconds", 1.0, 1.0, "s") for fault in ("one", "two")]
    again = [row("two", "seconds", 3.0, 1.0, "s"), row("two", "calls", 0.0, 1.0, "")]
    assert merged(first, again, "what") == [first[0], *again]


@pytest.mark.parametrize("fault", TESTS)
def test_the_tests_of_the_matrix_exist(fault: str) -> None:
    for path in TESTS[fault]:
        file, _, name = path.partition("::")
        assert (ROOT / file).exists(), path
        assert not name or f"def {name}(" in (ROOT / file).read_text("utf-8"), path


def test_limits_are_those_of_the_manifests() -> None:
    assert limit_of("ranker") == 512 << 20
    assert limit_of("segment") == 2 << 30


def test_each_fault_of_a_soak_comes_before_one_comes_again() -> None:
    names = in_turn("abcde", random.Random(1))
    rounds = [[next(names) for _ in "abcde"] for _ in range(3)]
    assert all(sorted(one) == list("abcde") for one in rounds)
    assert rounds[0] != rounds[1]


def test_load_counts_what_became_of_calls() -> None:
    async def call(number: int) -> None:
        await asyncio.sleep(0)
        if number % 3 == 1:
            raise OSError("gone")
        if number % 3 == 2:
            raise WrongAnswer("another")

    with Load(call, clients=2) as load:
        load.answered(5)
    calls = load.calls
    assert len(calls.seconds) >= 5
    assert set(calls.failed) == {"gone"}
    assert set(calls.wrong) == {"another"}
    assert 0 < calls.failed_share < 1


def test_memory_that_grows_is_seen() -> None:
    class Service:
        name = "x"

    held = Watched(Service())  # type: ignore[arg-type]
    held.megabytes, held.descriptors = [100.0] * 50 + [200.0] * 50, [10] * 100
    memory, descriptors = held.rows()
    assert memory["ours"] > memory["theirs"]
    assert descriptors["ours"] <= descriptors["theirs"]


async def test_requests_without_an_end_are_bounded_and_others_are_answered() -> None:
    echo = Echo()
    server = build_server(ServerSettings(max_streams=5), echo_service(echo))
    await server.start()
    address = f"127.0.0.1:{server.port}"
    sent = await asyncio.to_thread(half_open_streams, address, f"/{ECHO}/UnaryUnary", 500)
    assert sent > 5
    async with grpc.aio.insecure_channel(address) as channel:
        assert await method(channel, "UnaryUnary")(b"x") == b"x"
    assert echo.calls == 1
    await server.stop(0)
