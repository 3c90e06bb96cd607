"""What the command says where a word is wrong, and what it leaves out when told to be quiet."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import pytest

from services.cli.__main__ import main, parser
from services.cli.commands import up
from services.cli.commands.ranker import claims
from services.cli.connections import processes
from services.cli.connections.processes import LacksLibrary
from services.cli.exits import Exit, explain
from services.cli.extras import extras, install, missing_library
from services.cli.output import console
from services.errors import NotFound


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["segmnt"], "did you mean segment?"),
        (["corpus", "strem"], "did you mean stream?"),
        (["score", "--definition", "lm_evl"], "did you mean lm_eval?"),
        (["token", "alice", "--jsn"], "did you mean --json?"),
        (["compare", "a", "b", "--budgets=quick"], "did you mean --budget?"),
        (["compare", "a", "b", "--budget", "Quik"], "did you mean quick?"),
    ],
)
def test_the_nearest_word_is_named(
    words: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(words)
    assert ended.value.code == Exit.USAGE
    assert capsys.readouterr().err.rstrip().endswith(meant)


def test_an_unknown_option_shows_the_usage_of_its_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["token", "alice", "--zzz"])
    said = capsys.readouterr().err
    assert said.startswith("usage: assay token")
    assert "did you mean" not in said


def test_an_unknown_name_brings_the_nearest_known_one() -> None:
    known = ("the-pile", "segformer-b0", "segformer-b4")
    assert str(NotFound("artifact", "The_Pile", known)).endswith("; did you mean the-pile?")
    assert "did you mean" not in str(NotFound("artifact", "unicorn", known))


def test_a_part_of_a_name_brings_that_name() -> None:
    known = ("segformer-b0-finetuned-ade-512-512", "segformer-b4-finetuned-ade-512-512", "gpt2")
    said = str(NotFound("artifact", "segformer-b4", known))
    assert said.endswith("; did you mean segformer-b4-finetuned-ade-512-512?")
    assert "did you mean" not in str(NotFound("artifact", "b4", known))


def test_without_a_command_the_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == Exit.USAGE
    assert "segment" in capsys.readouterr().err


def test_version_names_the_engines(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"assay {metadata.version('assay-services')}\n")
    assert f"onnxruntime {metadata.version('onnxruntime')}" in said


def test_quiet_leaves_out_notes_and_keeps_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    with console.printing(quiet=True):
        console.note("a note")
        console.progress_console().print("progress")
        console.warn("a warning")
    console.note("another note")
    assert capsys.readouterr().err == "a warning\nanother note\n"


def test_a_missing_library_names_its_extra() -> None:
    error = ModuleNotFoundError("No module named 'PIL'", name="PIL")
    explained = explain(error)
    assert explained is not None
    status, message = explained
    assert status is Exit.FAULT
    assert message.startswith("pillow is not installed: it comes with the extra segment, pip")
    assert "the extra ranker" in missing_library("redis.asyncio")
    assert "the extra corpus" in missing_library("numpy", "corpus")
    assert "install assay again" in missing_library("no_such_module")


@pytest.mark.parametrize(
    ("lacking", "added"),
    [
        ({"numpy"}, ["segment", "corpus", "ranker"]),
        ({"zstandard"}, ["segment", "corpus"]),
        ({"redis"}, []),  # of the ranker alone, which the error names
    ],
)
async def test_up_names_every_extra_that_lacks_a_library(
    monkeypatch: pytest.MonkeyPatch, lacking: set[str], added: list[str]
) -> None:
    """One command is enough, where three services named one missing extra after the other."""

    async def start(*_: object, **__: object) -> NoReturn:
        raise LacksLibrary("the segment service did not start")

    def there(*names: str) -> dict[str, str]:
        return dict.fromkeys(set(names) - lacking, "1")

    monkeypatch.setattr(processes, "start", start)
    monkeypatch.setattr("services.cli.extras.installed", there)
    monkeypatch.setattr(up, "_require_ports", lambda pages: None)  # others may have them
    with pytest.raises(LacksLibrary) as raised:
        await up.run(parser().parse_args(["up"]))
    with pytest.raises(LacksLibrary, match=re.escape(str(raised.value))):
        await claims.run(parser().parse_args(["claims", "gpt2"]))
    said = str(raised.value).removeprefix("the segment service did not start")
    together = f". {', '.join(added)} lack libraries; for all of them: {install(*added)}"
    assert said == (together if added else "")


def test_a_service_that_lacks_a_library_ends_with_the_extra_that_brings_it(tmp_path: Path) -> None:
    log = tmp_path / "segment.log"
    log.write_text("ModuleNotFoundError: No module named 'numpy'\n")
    why = processes._why(log, "segment")
    assert isinstance(why, LacksLibrary)
    assert "the extra segment" in str(why)
    log.write_text("port 50051 is in use\n")
    assert not isinstance(processes._why(log, "segment"), LacksLibrary)


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (["corpus", "plan"], "corpus"),
        (["-q", "units", "list"], "corpus"),
        (["evaluate"], "segment"),
        (["rank"], "ranker"),
    ],
)
def test_a_library_that_several_extras_have_is_of_the_commands_one(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    extra: str,
) -> None:
    def missing() -> NoReturn:
        raise ModuleNotFoundError("No module named 'numpy'", name="numpy")

    monkeypatch.setattr("services.cli.__main__.parser", missing)
    assert main(command) == 1
    assert f"the extra {extra}," in capsys.readouterr().err


def test_extras_are_those_of_the_package() -> None:
    assert {"segment", "corpus", "ranker", "page", "score"} <= set(extras())
    assert "redis" in extras()["ranker"]


def test_the_first_start_compiles_nothing_without_the_compiler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(Path, "rglob", lambda *_: iter(()))
    monkeypatch.setattr(processes, "find_spec", lambda _: object())
    assert "compiles code" in processes._first_time("segment")
    assert processes._first_time("corpus") == ""
    monkeypatch.setattr(processes, "find_spec", lambda _: None)
    assert processes._first_time("segment") == ""
