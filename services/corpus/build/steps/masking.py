"""Marks in the place of e-mail addresses and of public IP addresses, as Dolma spells them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from services.corpus.personal_data import Span, emails, ip_addresses

EMAIL_MARK = "|||EMAIL_ADDRESS|||"
IP_MARK = "|||IP_ADDRESS|||"

_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{1,4}(?![\w:]|\.[0-9])")


def mask(text: str, *, email: bool, ip: bool) -> tuple[str, int, int]:
    """Return a text with marks, and how many of e-mail and of IP addresses there are.

    Addresses that are not public (127.0.0.1, 192.168.0.1, fe80::1) stay. An audit then counts no
    e-mail and no IPv4 address.
    """
    found = others = 0
    if email:
        text, found = _marked(text, EMAIL_MARK, tuple(emails(_bytes(text))))
    if ip:
        text, others = _marked(text, IP_MARK, tuple(ip_addresses(_bytes(text))))
        if "::" in text or text.count(":") > 6:
            text, more = _without_ipv6(text)
            others += more
    return text, found, others


def _marked(text: str, mark: str, spans: Sequence[Span]) -> tuple[str, int]:
    if not spans:
        return text, 0
    content, parts, last = _bytes(text), [], 0
    for start, end in spans:
        parts += [content[last:start], mark.encode()]
        last = end
    return b"".join((*parts, content[last:])).decode("utf-8", "surrogatepass"), len(spans)


def _without_ipv6(text: str) -> tuple[str, int]:
    count = 0

    def marked(match: re.Match[str]) -> str:
        nonlocal count
        if not _is_public(match[0]):
            return match[0]
        count += 1
        return IP_MARK

    return _IPV6.sub(marked, text), count


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _is_public(found: str) -> bool:
    try:
        return ipaddress.ip_address(found).is_global
    except ValueError:
        return False
