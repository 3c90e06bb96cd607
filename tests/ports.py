"""Ports for servers that cannot be told to choose one themselves, or that come back at theirs."""

import itertools
import os
import socket

# Below those that systems choose from for port 0 and for connections (Linux from 32768, others from
# 49152): none of these is taken between its choice and its use. Test processes begin apart.
_FIRST, _COUNT = 20_000, 12_000
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
