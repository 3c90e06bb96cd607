"""Every command has arguments, and none needs the libraries of another."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from services.cli.__main__ import parser
from services.cli.commands import COMMANDS
from services.cli.parsing import completed


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


def children(of: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for one in of._actions:
        if isinstance(one, argparse._SubParsersAction):
            return dict(one.choices)
    return {}


def leaves(of: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers of the command's actions, or its own where it has none."""
    below = children(of)
    if not below:
        yield of
    for one in below.values():
        yield from leaves(one)


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
    chosen = children(completed(parser()))[name]
    runs = {one.get_default("run") or chosen.get_default("run") for one in leaves(chosen)}
    assert None not in runs


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_action_has_a_description(name: str) -> None:
    chosen = children(completed(parser()))[name]
    for one in (chosen, *leaves(chosen)):
        assert re.match(r"[A-Z`].*\.", one.description or "", re.DOTALL), one.prog


@pytest.mark.parametrize("name", COMMANDS)
def test_quiet_may_stand_after_every_command(name: str) -> None:
    for one in leaves(children(completed(parser()))[name]):
        assert "--quiet" in one._option_string_actions, one.prog
