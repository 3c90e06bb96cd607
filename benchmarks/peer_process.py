"""Other libraries in environments of their own: made once, and called over a pipe."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent / "peers"


def peer_python(venv: Path, requirements: str, *first: str) -> Path:
    """Return the interpreter of an environment with a list of `peers`; make it if it is missing.

    `first` holds requirements to install separately, before the list.
    """
    python = venv / "bin" / "python"
    if not python.exists():
        print(f"making {venv} (a minute or a few, once)")
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet"]
        if first:
            subprocess.run([*pip, *first], check=True)
        subprocess.run([*pip, "-r", _HERE / requirements], check=True)
    return python


class PeerProcess:
    """A script of `peers`: one JSON object a line in and out; its first line has its versions."""

    def __init__(self, python: Path, script: str, *arguments: Path) -> None:
        self._script = script
        self._process = subprocess.Popen(
            [python, _HERE / script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise SystemExit(f"{script} has no pipes")
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self.versions = self._answer()

    def ask(self, **request: Any) -> Any:
        """Send a request as the script describes it; return the answer."""
        print(json.dumps(request), file=self._requests, flush=True)
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self) -> Any:
        line = self._answers.readline()
        if not line:
            raise SystemExit(f"{self._script} ended early; its error is above")
        return json.loads(line)
