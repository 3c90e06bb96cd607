"""The shells' own syntax checks take the scripts, and bash completes with its own."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from services.cli.__main__ import main

pytest.importorskip("shtab", reason="shtab is not installed")


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_knows_commands_options_and_choices(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = script(shell, capsys)
    for word in ("import-onnx", "definition", "pile_paper"):
        assert word in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_takes_the_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    checked = subprocess.run(
        [shell, "-n"], input=script(shell, capsys), text=True, check=False, capture_output=True
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["assay", "seg"], "segment"),
        (["assay", "corpus", "st"], "stream stats"),
        (["assay", "compare", "--bud"], "--budget"),
        (["assay", "compare", "--budget", "q"], "quick"),
    ],
)
def test_bash_completes(line: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = " ".join(line)
    program = (
        f"{script('bash', capsys)}\n"
        f'COMP_WORDS=({words}); COMP_CWORD={len(line) - 1}; COMP_LINE="{words}"\n'
        '_shtab_assay; echo "${COMPREPLY[@]}"\n'
    )
    ran = subprocess.run(
        ["bash", "--norc"], input=program, text=True, check=True, capture_output=True
    )
    assert ran.stdout.split() == expected.split(), ran.stderr
