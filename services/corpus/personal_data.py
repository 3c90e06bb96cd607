"""Finds and counts e-mail addresses, public IPv4 addresses and telephone numbers by pattern.

An audit counts what a build masks. A count is of matches: whether a match belongs to a person is
unknown, and a person who is only mentioned by name is not found. The patterns:

    e-mail   up to 64 of A-Z a-z 0-9 . _ % + - before "@"; a domain of up to 8 labels and a last one
             of 2 to 24 letters
    IPv4     four numbers of 0 to 255 joined by dots, with no letter, digit or number beside them:
             v1.2.3.4 is a version; addresses that are not public (127.0.0.1, 10.0.0.1) do not count
    phone    "+" and 8 to 15 digits in two to six groups, or North America's (212) 555-0100, with
             blanks, dots or hyphens between the groups
"""

from __future__ import annotations

import ipaddress
import re
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass

_LOCAL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._%+-"
_LOCAL_MOST = 64
_DOMAIN = re.compile(
    rb"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])"
)
# What every address has. It begins with one character, which the library finds many times as fast
# as the set that the whole begins with; most texts have none.
_IN_IPV4 = re.compile(rb"\.[0-9]{1,3}\.[0-9]")
_IPV4 = re.compile(rb"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9A-Za-z_]|\.[0-9])")
_NORTH_AMERICA = re.compile(
    rb"[(2-9](?:(?<=\()[2-9][0-9]{2}\) ?|(?<!\()[0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}(?![0-9])"
)
_INTERNATIONAL = re.compile(rb"\+[1-9][0-9]{0,2}(?:[ .-]?\(?[0-9]{1,4}\)?){1,5}(?![0-9])", re.ASCII)
_BEFORE_NUMBER = frozenset(b"0123456789.+-")
_BEFORE_ADDRESS = _BEFORE_NUMBER | frozenset(_LOCAL)
_LEAST_DIGITS, _MOST_DIGITS = 8, 15


@dataclass(frozen=True, slots=True)
class PersonalData:
    """How many of each were found, in how many documents any of them."""

    emails: int = 0
    ip_addresses: int = 0
    phone_numbers: int = 0
    documents: int = 0

    def __add__(self, other: PersonalData) -> PersonalData:
        return PersonalData(
            self.emails + other.emails,
            self.ip_addresses + other.ip_addresses,
            self.phone_numbers + other.phone_numbers,
            self.documents + other.documents,
        )


NONE = PersonalData()

Span = tuple[int, int]
"""First byte, and the one behind the last."""


def count(text: bytes) -> PersonalData:
    """Count what a document's text, as UTF-8, has of each; 8.8.8.8.x@example.org is one e-mail."""
    mail = list(emails(text))
    starts = [start for start, _ in mail]
    addresses = sum(
        not (place := bisect(starts, start)) or start >= mail[place - 1][1]
        for start, _ in ip_addresses(text)
    )
    found = (len(mail), addresses, _phone_numbers(text))
    return PersonalData(*found, documents=1) if any(found) else NONE


def emails(text: bytes) -> Iterator[Span]:
    """Where e-mail addresses are spelled, in order; none overlaps another."""
    last, at = 0, text.find(b"@")
    while at >= 0:
        before = text[max(last, at - _LOCAL_MOST) : at]
        # At least a letter or digit, and not a dot beside the "@".
        local = before[len(before.rstrip(_LOCAL)) :].lstrip(b".-")
        domain = None
        if local and not local.endswith(b"."):
            domain = _DOMAIN.match(text, at + 1)
        if domain:
            last = domain.end()
            yield at - len(local), last
        at = text.find(b"@", max(last, at + 1))


def ip_addresses(text: bytes) -> Iterator[Span]:
    """Where public IPv4 addresses are spelled, in order."""
    if not _IN_IPV4.search(text):
        return
    for match in _IPV4.finditer(text):
        start = match.start()
        if (not start or text[start - 1] not in _BEFORE_ADDRESS) and _is_public(match[0]):
            yield match.span()


def _is_public(spelled: bytes) -> bool:
    try:
        return ipaddress.IPv4Address(spelled.decode()).is_global
    except ValueError:  # a number over 255, or one that begins with 0
        return False


def _phone_numbers(text: bytes) -> int:
    here = sum(
        _stands_alone(text, match.start())
        and text[max(0, match.start() - 3) : match.start()][:2] != b"+1"  # found below
        for match in _NORTH_AMERICA.finditer(text)
    )
    if b"+" not in text:
        return here
    return here + sum(
        _LEAST_DIGITS <= sum(48 <= byte <= 57 for byte in match[0]) <= _MOST_DIGITS
        and _stands_alone(text, match.start())
        and not match[0].endswith(b"(")
        for match in _INTERNATIONAL.finditer(text)
    )


def _stands_alone(text: bytes, start: int) -> bool:
    """Whether no digit, and nothing that continues a number, is before a spelling."""
    return not start or text[start - 1] not in _BEFORE_NUMBER
