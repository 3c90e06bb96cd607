"""A real PostgreSQL server for tests, with a folder and a port of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psycopg

from tests.ports import free_port

_STARTS_SECONDS = 60


def programs() -> Path | None:
    """The folder of `postgres` and `initdb`: that of PATH, or the newest where Debian has them."""
    found = shutil.which("postgres")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((one for one in places if (one / "initdb").exists()), None)


class PostgresServer:
    """One server; `url` names a database of it that is empty at first."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="assay-postgres-"))
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        # It refuses to run as root, who must have somebody else run it.
        self._user = _somebody() if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(self._folder, self._user, -1)
        subprocess.run(
            [programs / "initdb", "-D", self._folder / "data", "-A", "trust", "-U", "assay"],
            check=True,
            capture_output=True,
            user=self._user,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        )
        self.start()

    @property
    def url(self) -> str:
        """Address of its database."""
        return f"postgresql://assay@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Start it; returns when it answers."""
        until = time.monotonic() + _STARTS_SECONDS
        while True:
            if self._process is None or self._process.poll() is not None:
                # It refuses while the last of the processes before it end.
                self._process = self._launched()
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
            except psycopg.OperationalError:
                if time.monotonic() >= until:
                    raise
                time.sleep(0.05)
            else:
                return

    def _launched(self) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [
                    self._programs / "postgres",
                    *("-D", self._folder / "data", "-p", str(self._port), "-k", self._folder),
                    *("-c", "fsync=off", "-c", "listen_addresses=127.0.0.1"),
                ],
                stderr=log,
                user=self._user,
            )

    def stop(self) -> None:
        """Stop it at once, as a failover does: connections break, what was committed stays."""
        if self._process is not None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None

    def signal(self, number: int) -> None:
        """Send a signal to the server and those of its processes that serve connections."""
        assert self._process is not None
        # Its children are in sessions of their own.
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        numbers = [self._process.pid, *map(int, children.read_text().split())]
        for one in numbers if number in (signal.SIGSTOP, signal.SIGCONT) else numbers[:1]:
            with suppress(ProcessLookupError):  # the server of a closed connection has ended
                os.kill(one, number)

    def empty(self) -> None:
        """Drop all that is in its database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")

    def close(self) -> None:
        """Stop it and remove its folder."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def _somebody() -> int:
    names = {one.pw_name: one.pw_uid for one in pwd.getpwall()}
    return names.get("postgres", names["nobody"])
