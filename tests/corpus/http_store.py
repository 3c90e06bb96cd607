"""An object store over HTTP for tests: a folder, with ranges, versions, a log, and faults."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit


class Request(NamedTuple):
    """One request as it came; `range` is (first byte, byte after the last), None for a whole."""

    method: str
    path: str
    range: tuple[int, int] | None


@dataclass
class Store:
    """A running store. The faults are used up one a GET of an object."""

    root: Path
    url: str = ""
    log: list[Request] = field(default_factory=list)
    failing: int = 0  # answers with `status` so often
    status: int = 503
    cut: int = 0  # sends half of what it announced so often
    ranges: bool = True
    listings: bool = True
    held: threading.Event = field(default_factory=threading.Event)  # set: a GET has come to `gate`
    gate: threading.Event | None = None  # no GET of a range is answered before it is set

    def gets(self, ending: str) -> list[tuple[int, int]]:
        """The ranges that were asked for of objects whose path ends so."""
        return [
            r.range for r in self.log if r.method == "GET" and r.range and r.path.endswith(ending)
        ]


@contextmanager
def serve_store(root: Path) -> Iterator[Store]:
    """Serve `root` on loopback."""
    store, lock = Store(root), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            path = urlsplit(self.path).path
            file, wanted = root / path.lstrip("/"), self.headers.get("Range")
            span = None
            if wanted:
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                span = (int(first), int(last) + 1)
            with lock:
                store.log.append(Request(self.command, path, span))
                fails = store.failing > 0
                store.failing -= fails
                cuts = not fails and store.cut > 0 and self.command == "GET"
                store.cut -= cuts
            if span and store.gate is not None:
                store.held.set()
                store.gate.wait()
            if fails:
                self._send(store.status, b"")
            elif file.is_dir() and store.listings:
                links = "".join(
                    f'<a href="{one.name}{"/" * one.is_dir()}">x</a>' for one in file.iterdir()
                )
                self._send(200, links.encode(), {"Content-Type": "text/html"})
            elif not file.is_file():
                self._send(404, b"")
            else:
                data = file.read_bytes()
                headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()[:16]}"'}
                if span and store.ranges:
                    part = data[span[0] : span[1]]
                    headers["Content-Range"] = f"bytes {span[0]}-{span[1] - 1}/{len(data)}"
                    self._send(206, part, headers, cut=cuts)
                else:
                    self._send(200, data, headers, cut=cuts)

        def _send(
            self,
            status: int,
            body: bytes,
            headers: dict[str, str] | None = None,
            *,
            cut: bool = False,
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            self.wfile.write(body[: len(body) // 2] if cut else body)
            if cut:
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    store.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
