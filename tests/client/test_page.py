"""The examples of the client's page run, against a small server."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.small_server import Small, serving

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "docs" / "client.md",
    ROOT / "docs" / "client-methods.md",
    ROOT / "protos" / "README.md",
]
EXAMPLES = [
    pytest.param(example, id=f"{page.name}-{number}")
    for page in PAGES
    for number, example in enumerate(
        re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    )
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs(
    example: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in ("street.jpg", "photos/a.jpg"):
        (tmp_path / name).write_bytes(b"bytes")
    seen: list[object] = []
    given = {
        "picture": b"bytes",
        "train": seen.append,
        "checkpoint": seen.append,
        "__name__": "example",
    }
    with serving(Small()) as address:
        text = re.sub(r"localhost:\d+", address, example)
        exec(compile(text, "example", "exec"), given)  # noqa: S102  # our own
    if "train(" in example:
        assert len(seen) > 1
    if "print" in example:
        assert capsys.readouterr().out


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 12


def test_the_page_of_methods_is_that_of_the_code() -> None:
    printed = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "client_methods.py")],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert (ROOT / "docs" / "client-methods.md").read_text("utf-8") == printed
