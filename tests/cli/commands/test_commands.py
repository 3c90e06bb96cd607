"""Every command has arguments, and none needs the libraries of another."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator

import pytest

from services.cli.__main__ import parser
from services.cli.commands import COMMANDS, LazyParser


def imported(*arguments: str) -> set[str]:
    """The modules that a command line has imported once its help is printed."""
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from services.cli.__main__ import main\n"
        "main(sys.argv[1:])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    )
    assert "usage: assay" in done.stdout or "usage: -c" in done.stdout
    return set(done.stderr.split())


def commands(modules: set[str]) -> set[str]:
    return {one for one in modules if one.startswith("services.cli.commands.")}


def parsers(of: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its actions, complete."""
    if isinstance(of, LazyParser):
        of.complete()
    yield of
    for one in of._actions:
        if isinstance(one, argparse._SubParsersAction):
            for chosen in one.choices.values():
                yield from parsers(chosen)


def test_help_imports_no_command() -> None:
    modules = imported("--help")
    assert not commands(modules)
    assert not modules & {"numpy", "PIL", "pydantic", "redis", "rich", "torch", "yaml"}


def test_a_command_imports_no_other() -> None:
    modules = imported("corpus", "verify", "--help")
    package = "services.cli.commands.corpus"
    assert commands(modules) == {package, f"{package}.index"}
    assert not modules & {"PIL", "redis", "torch", "yaml"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_what_runs_it(name: str) -> None:
    (chosen,) = (one for one in parser()._actions if isinstance(one, argparse._SubParsersAction))
    assert any(one.get_default("run") for one in parsers(chosen.choices[name]))
