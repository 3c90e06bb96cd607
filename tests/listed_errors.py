"""Every call that fails in a server of this process does so for a reason that its rpc lists.

The `Errors:` lines of the protos are promises. The interceptor of our servers is watched, so that
each test that provokes an error tests its rpc's line too.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

_PROTOS = Path(__file__).parents[1] / "protos" / "assay"
_INTERCEPTOR = "services.rpc.serving.interceptor"
_unlisted: list[str] = []
_watched: list[str] = []


def _names(text: str) -> set[str]:
    return set(re.findall(r"[A-Z_]{4,}", text))


@cache
def listed() -> tuple[set[str], dict[str, set[str]]]:
    """The reasons of any call, and those of each method, by "/package.Service/Method"."""
    head = (_PROTOS / "common" / "v1" / "common.proto").read_text("utf-8")
    anywhere = re.search(r"Any call may also fail with (.*?)\.", head, re.DOTALL)
    assert anywhere
    methods = {}
    for path in _PROTOS.glob("*/v*/*.proto"):
        text = path.read_text("utf-8")
        package = re.findall(r"^package (.*);", text, re.MULTILINE)[0]
        if not package.startswith("assay."):  # a standard's, whose errors are not ours to list
            continue
        for service, body in re.findall(r"^service (\w+) {(.*?)^}", text, re.DOTALL | re.MULTILINE):
            for comment, method in re.findall(r"((?:^ *//.*\n)+) *rpc (\w+)", body, re.MULTILINE):
                errors = comment.partition("Errors: ")[2]
                methods[f"/{package}.{service}/{method}"] = _names(errors)
    return _names(anywhere[1]), methods


def check(method: str, reason: str) -> None:
    """Note a reason that neither the method nor the head of common.proto lists."""
    anywhere, methods = listed()
    if method in methods and reason not in anywhere | methods[method]:
        _unlisted.append(f"{method} failed with {reason}, which its `Errors:` line does not list")


def _watch(interceptor: Any) -> None:
    from assay_rpc.common.v1 import common_pb2  # noqa: PLC0415  # only tests that serve need it

    from services.errors import AssayError, InternalError  # noqa: PLC0415
    from services.rpc import status  # noqa: PLC0415

    call = interceptor._Call
    fail = call.fail

    async def watched(self: Any, error: BaseException) -> None:
        if isinstance(error, Exception):
            known = error if isinstance(error, AssayError) else InternalError("")
            name = common_pb2.ErrorReason.Name(status.entry_of(known).reason)
            check(self._method, name.removeprefix("ERROR_REASON_"))
        await fail(self, error)

    call.fail = watched


def pytest_runtest_setup() -> None:
    """Watch the interceptor as soon as something has imported it."""
    interceptor = sys.modules.get(_INTERCEPTOR)
    if interceptor is not None and not _watched:
        _watched.append(_INTERCEPTOR)
        _watch(interceptor)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Fail the test whose call broke its rpc's promise."""
    told, _unlisted[:] = list(_unlisted), []
    assert not told, "; ".join(told)
