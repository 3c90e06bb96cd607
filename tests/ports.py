"""Addresses of tests: ports for servers that cannot choose one or come back at theirs, and IPv6."""

import itertools
import os
import socket

import pytest

# Below those that systems choose from for port 0 and for connections (Linux from 32768, others from
# 49152): none of these is taken between its choice and its use. Test processes begin apart. Nodes
# of a Redis Cluster have 19,000 to 19,999 and 10,000 more (benchmarks/faults/redis_cluster.py).
_FIRST, _COUNT = 20_000, 9_000
_offsets = itertools.count(os.getpid() * 67 % _COUNT)


def free_port() -> int:
    """A port of loopback that nobody has, another one at each call."""
    for offset in itertools.islice(_offsets, _COUNT):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", _FIRST + offset % _COUNT))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RuntimeError(f"no port of {_FIRST} to {_FIRST + _COUNT - 1} is free")


def require_ipv6() -> None:
    """Skip the test where this machine has no IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"no IPv6 on this machine: {error}")
