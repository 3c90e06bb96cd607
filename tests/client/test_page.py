"""The examples of the client's page run, against a small server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.client.small_server import Small, serving

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / "client.md", ROOT / "protos" / "README.md"]
EXAMPLES = [
    pytest.param(example, id=f"{page.name}-{number}")
    for page in PAGES
    for number, example in enumerate(
        re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    )
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Small()) as address:
        text = re.sub(r"localhost:\d+", address, example)
        exec(compile(text, "example", "exec"), {"picture": b"bytes", "__name__": "example"})  # noqa: S102  # our own
    if "print" in example:
        assert capsys.readouterr().out


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 8
