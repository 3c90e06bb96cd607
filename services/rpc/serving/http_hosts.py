"""By which names an HTTP port may be reached.

The page of another site can give a name of its own this machine's address (DNS rebinding), and its
browser would then let it read what this port serves. Such a request has that name as its `Host`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.common.safe_text import shown
from services.errors import InvalidArgument
from services.rpc.serving.listening import is_loopback

_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_PORT = re.compile(r":[0-9]*\Z")
_SHOWN_CHARACTERS = 100


class Hosts:
    """The names of one port: this machine's and those that a setting lists.

    Where it lists none, a port that other machines reach too has any.
    """

    def __init__(self, address: str, listed: Sequence[str] = (), setting: str = "") -> None:
        """`address` is listened on; `setting` is the variable that lists names, if one does."""
        self._setting = setting
        self._open = not listed and not is_loopback(address)
        own = f"[{address}]" if ":" in address else address
        self._names = frozenset(name.lower() for name in (*_LOCAL, own, *listed))

    def require(self, host: str) -> None:
        """Raises InvalidArgument for a `Host` that is none of them; its port may be any."""
        if not self._open and _PORT.sub("", host).lower() not in self._names:
            more = f", or list the name in {self._setting}" if self._setting else ""
            raise InvalidArgument(
                "Host",
                f'"{shown(host)[:_SHOWN_CHARACTERS]}" is not a name of this server; use localhost'
                f"{more}",
            )
