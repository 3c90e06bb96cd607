"""Which tests are quick: `make quick` runs them, `make test` runs them and all others.

A test is quick when everything that it does happens in this process and takes moments. Not quick is

* what starts a process: the code of the test, of its fixtures or of the helpers that these call
  uses `subprocess` or `multiprocessing`. Where the product starts the process, nothing of that is
  seen: such a test is marked `process` by hand;
* what such code of the tests skips where torch is not installed;
* what is marked `data`, `torch`, `process`, `slow` or `peers`, or has the fixture `data_dir`.

A quick test that starts a process or imports torch nevertheless fails, and is told which mark it
lacks.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

_MARKS = ("data", "torch", "process", "slow", "peers")
_MODULES = {"subprocess", "multiprocessing"}
_TORCH = {"torch", "transformers"}  # which loads torch
_EVENTS = {"subprocess.Popen", "os.fork", "os.posix_spawn", "os.system"}
_LOADS_TORCH = re.compile(r"^(\w+ = )?pytest\.importorskip\(\"torch", re.MULTILINE)
_TESTS = str(Path(__file__).parent)

_started: list[str] = []
_had_torch = pytest.StashKey[bool]()


def pytest_configure() -> None:
    """Note every process that this one starts. An audit hook cannot be taken off again."""
    sys.addaudithook(_note)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    # What a measurement says of its machine is asked of nvidia-smi, where there is one.
    if event in _EVENTS and not str(arguments[:1]).rstrip("',)").endswith("nvidia-smi"):
        _started.append(f"{event}{arguments[:2]}"[:200])


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """For the quick tests alone, leave out files that load torch: reading them takes seconds."""
    if config.getoption("markexpr") != "quick" or collection_path.suffix != ".py":
        return None
    return True if _LOADS_TORCH.search(collection_path.read_text("utf-8")) else None


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is quick."""
    for item in items:
        if isinstance(item, pytest.Function) and _is_quick(item):
            item.add_marker("quick")


def _is_quick(item: pytest.Function) -> bool:
    if any(item.get_closest_marker(mark) for mark in _MARKS) or "data_dir" in item.fixturenames:
        return False
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    given = getattr(item.function, "hypothesis", None)
    test = given.inner_test if given else item.function
    return not _is_heavy([test, *(one.func for several in fixtures for one in several)])


def _is_heavy(functions: Iterable[object]) -> bool:
    """Whether one of them starts a process or wants torch.

    Or a function or a class of the tests that it names.
    """
    seen: set[int] = set()
    ahead: list[Any] = list(functions)
    while ahead:
        what = inspect.unwrap(ahead.pop())  # a context manager is a function, wrapped
        if isinstance(what, ModuleType) and what.__name__.partition(".")[0] in _MODULES:
            return True
        if id(what) in seen:
            continue
        seen.add(id(what))
        if isinstance(what, type) and what.__module__.startswith("tests."):
            ahead += vars(what).values()
        elif isinstance(what, FunctionType) and what.__code__.co_filename.startswith(_TESTS):
            if _wants_torch(what):
                return True
            ahead += _used(what)
    return False


def _wants_torch(function: FunctionType) -> bool:
    code = function.__code__
    return "importorskip" in code.co_names and not _TORCH.isdisjoint(code.co_consts)


@cache
def _used(function: FunctionType) -> Sequence[object]:
    """What the names in a function's code stand for, those after a module of the tests too."""
    names = set(_names(function.__code__))
    found = [function.__globals__.get(name) for name in names]
    modules = [one for one in found if isinstance(one, ModuleType) and "tests." in one.__name__]
    return [*found, *(vars(one).get(name) for one in modules for name in names)]


def _names(code: CodeType) -> Iterator[str]:
    """The names that the code and the functions in it use."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Forget what earlier tests started."""
    _started.clear()
    item.stash[_had_torch] = sys.modules.get("torch") is not None
    yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a quick test that is not."""
    yield
    if item.get_closest_marker("quick") is None:
        return
    if _started:
        pytest.fail(f"a quick test started a process: mark it `process` ({_started[0]})", False)
    if sys.modules.get("torch") is not None and not item.stash[_had_torch]:
        pytest.fail("a quick test imported torch: mark it `torch`", False)
