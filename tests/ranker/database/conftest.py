"""A real PostgreSQL server, one a worker; each test finds its database empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres import PostgresServer, programs


@pytest.fixture(scope="session")
def _server() -> Iterator[PostgresServer]:
    where = programs()
    if where is None:
        pytest.skip("no PostgreSQL server is installed (postgres and initdb)")
    server = PostgresServer(where)
    yield server
    server.close()


@pytest.fixture
def postgres(_server: PostgresServer) -> PostgresServer:
    """The server, its database empty."""
    _server.empty()
    return _server
