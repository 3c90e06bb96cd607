"""Marks in the place of e-mail addresses and of public IP addresses, as Dolma spells them."""

from __future__ import annotations

import ipaddress
import re

EMAIL_MARK = "|||EMAIL_ADDRESS|||"
IP_MARK = "|||IP_ADDRESS|||"

# Bounded in length on both sides, so that no text makes it slow. An address on both sides of "@" is
# found from the "@": few characters of a text are one.
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_%+-](?:[A-Za-z0-9._%+-]{0,63})"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])"
)
_IPV4 = re.compile(r"(?<![\w.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w]|\.[0-9])")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{1,4}(?![\w:]|\.[0-9])")


def mask(text: str, *, email: bool, ip: bool) -> tuple[str, int, int]:
    """Return a text with marks, and how many of e-mail and of IP addresses there are.

    Addresses that are not public (127.0.0.1, 192.168.0.1, fe80::1) stay.
    """
    emails = ips = 0
    if email and "@" in text:
        text, emails = _EMAIL.subn(EMAIL_MARK, text)
    if ip:

        def marked(match: re.Match[str]) -> str:
            nonlocal ips
            if not _is_public(match[0]):
                return match[0]
            ips += 1
            return IP_MARK

        text = _IPV4.sub(marked, text)
        if "::" in text or text.count(":") > 6:
            text = _IPV6.sub(marked, text)
    return text, emails, ips


def _is_public(found: str) -> bool:
    try:
        return ipaddress.ip_address(found).is_global
    except ValueError:
        return False
