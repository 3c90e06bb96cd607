"""Facts about files that are slow to find, cached on disk as JSON. Losing one costs time."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


class FactCache:
    """Maps a key to a JSON object, one file a key, below `root`.

    An error of the disk makes a fact missing: with a read-only or full disk a server starts slowly,
    and answers the same.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def get(self, key: Mapping[str, object]) -> dict[str, object] | None:
        """Return what was put under `key`, None when nothing usable was."""
        try:
            stored = json.loads(self._file(key).read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        # The key is stored beside the value, so that a file of another key is not used.
        if not isinstance(stored, dict) or stored.get("key") != dict(key):
            return None
        value = stored.get("value")
        return value if isinstance(value, dict) else None

    def put(self, key: Mapping[str, object], value: Mapping[str, object]) -> None:
        """Keep `value` under `key`; the file appears completely or not at all."""
        scratch: Path | None = None
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._root, prefix=".")
            scratch = Path(name)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"key": dict(key), "value": dict(value)}, file)
            scratch.replace(self._file(key))
        except OSError:
            if scratch is not None:
                scratch.unlink(missing_ok=True)

    def _file(self, key: Mapping[str, object]) -> Path:
        spelled = json.dumps(dict(key), sort_keys=True)
        return self._root / f"{hashlib.sha256(spelled.encode()).hexdigest()}.json"
