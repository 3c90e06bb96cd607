"""Host names that may reach an HTTP port.

A page of another site can point its own name at this machine's address (DNS rebinding); its browser
would then let the page read what this port serves. Such a request has that name as its `Host`.
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
    """The host names of one port: this machine's and those that a setting lists.

    If the setting lists none and other machines reach the port, every name is allowed.
    """

    def __init__(self, address: str, listed: Sequence[str] = (), setting: str = "") -> None:
        """`address` is the one listened on; `setting` is the variable that lists names, if any."""
        self._setting = setting
        self._open = not listed and not is_loopback(address)
        own = f"[{address}]" if ":" in address else address
        self._names = frozenset(name.lower() for name in (*_LOCAL, own, *listed))

    def require(self, host: str) -> None:
        """Raises InvalidArgument for a `Host` with another name; its port may be any."""
        if not self._open and _PORT.sub("", host).lower() not in self._names:
            more = f", or list the name in {self._setting}" if self._setting else ""
            raise InvalidArgument(
                "Host",
                f'"{shown(host)[:_SHOWN_CHARACTERS]}" is not a name of this server; use localhost'
                f"{more}",
            )
