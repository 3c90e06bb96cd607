"""The services of `assay up` with this `ASSAY_HOME`: it writes their addresses, others read them.

The file is locked while they run, so a file left by a killed command is not mistaken for a running
one.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from services.cli.connections.inventory import home
from services.errors import PreconditionFailed

_FILE = "running.json"


@contextmanager
def announced(addresses: Mapping[str, str]) -> Iterator[None]:
    """Let other commands find the services, host:port by name, until the block ends."""
    path = home() / _FILE
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another `assay up`, with other ports and database, came first
            yield
            return
        file.truncate(0)
        file.write(json.dumps(dict(addresses)))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def announced_address(service: str) -> str | None:
    """The host:port of a service that `assay up` runs here, or None."""
    try:
        with (home() / _FILE).open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found = json.loads(file.read()).get(service)
                return str(found) if found else None
    except (OSError, ValueError, PreconditionFailed):
        pass
    return None
