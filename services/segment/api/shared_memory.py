"""Regions of POSIX shared memory in which clients on the same machine put tensors.

Regions are read and written through file descriptors and never mapped: a client may shorten its
object at any time, and touching a page that is gone would end the process.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from services.errors import InvalidArgument, NotFound, TooLarge, Unsupported

_FOLDER = "/dev/shm"  # noqa: S108  # where shm_open keeps its objects on Linux
_KEY = re.compile(r"/?[A-Za-z0-9._-]{1,250}")
_MAX_NAME = 250
_MAX_REGIONS = 256


@dataclass(frozen=True)
class Region:
    """A part of a shared memory object, which is open as `descriptor`."""

    key: str
    offset: int
    size: int
    descriptor: int


@dataclass(frozen=True)
class Place:
    """Bytes from `offset` to `offset + size` of the region `name`."""

    name: str
    offset: int
    size: int
    field: str


class Regions:
    """The registered regions; there are none unless the settings allow them."""

    def __init__(self, *, allowed: bool, max_bytes: int) -> None:
        """Allow a request to read up to `max_bytes`."""
        self._allowed = allowed
        self._max_bytes = max_bytes
        self._regions: dict[str, Region] = {}

    def require_allowed(self) -> None:
        """Raise Unsupported unless clients may use shared memory."""
        if not self._allowed:
            raise Unsupported(
                "shared memory is not allowed here: anyone who reaches the port could have the "
                "server read and write objects of this machine; start it with "
                "ASSAY_SEGMENT_SHARED_MEMORY=true where all callers are local"
            )

    def register(self, name: str, key: str, offset: int, size: int) -> None:
        """Open a region. Raises InvalidArgument, TooLarge past the most regions, Unsupported."""
        self.require_allowed()
        if not 1 <= len(name) <= _MAX_NAME:
            raise InvalidArgument("name", f"{len(name)} characters; 1 to {_MAX_NAME} are taken")
        if _KEY.fullmatch(key) is None or key.strip("/.") == "":
            raise InvalidArgument("key", f"{key!r:.100} is not the name of a shared memory object")
        if size < 1:
            raise InvalidArgument("byte_size", "0; a region has at least one byte")
        known = self._regions.get(name)
        if known is not None:
            if (known.key, known.offset, known.size) == (key, offset, size):
                return
            raise InvalidArgument("name", f"{name!r} is registered for another region")
        if len(self._regions) >= _MAX_REGIONS:
            raise TooLarge(f"{_MAX_REGIONS} regions are registered; unregister some")
        try:
            flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(f"{_FOLDER}/{key.removeprefix('/')}", flags)
        except OSError as error:
            raise InvalidArgument(
                "key", f"the shared memory object {key!r} cannot be opened: {error.strerror}"
            ) from error
        there = os.fstat(descriptor).st_size
        if offset + size > there:
            os.close(descriptor)
            raise InvalidArgument(
                "byte_size", f"{offset} + {size}; the object {key!r} has {there} bytes"
            )
        self._regions[name] = Region(key, offset, size, descriptor)

    def unregister(self, name: str) -> None:
        """Unregister a region, or all for an empty name; an unknown name is no error."""
        self.require_allowed()
        for each in [name] if name else list(self._regions):
            region = self._regions.pop(each, None)
            if region is not None:
                os.close(region.descriptor)

    def listed(self, name: str) -> dict[str, Region]:
        """Return the region of that name, or every one. Raises NotFound, Unsupported."""
        self.require_allowed()
        if name and name not in self._regions:
            raise NotFound("shared memory region", name, self._regions)
        names = [name] if name else sorted(self._regions)
        return {each: self._regions[each] for each in names}

    def read(self, place: Place) -> bytes:
        """Return a place's bytes. Raises InvalidArgument, also if the object was shortened."""
        region = self._region(place)
        if place.size > self._max_bytes:
            raise TooLarge(f"{place.field}: {place.size} bytes; at most {self._max_bytes}")
        data = os.pread(region.descriptor, place.size, region.offset + place.offset)
        if len(data) != place.size:
            raise self._shortened(place)
        return data

    def write(self, place: Place, data: list[memoryview]) -> int:
        """Write the pieces to a place; return their size in bytes. Raises like `read`."""
        region = self._region(place)
        size = sum(piece.nbytes for piece in data)
        if size > place.size:
            raise InvalidArgument(
                place.field, f"{place.size} bytes are given for an output of {size}"
            )
        at = region.offset + place.offset
        # Writing past the end would make the object longer.
        if at + size > os.fstat(region.descriptor).st_size:
            raise self._shortened(place)
        for piece in data:
            view = piece.cast("B")
            while view.nbytes:
                done = os.pwrite(region.descriptor, view, at)
                at += done
                view = view[done:]
        return size

    def require(self, place: Place) -> None:
        """Raise InvalidArgument unless the place lies in a registered region; or Unsupported."""
        self._region(place)

    def _region(self, place: Place) -> Region:
        self.require_allowed()
        region = self._regions.get(place.name)
        if region is None:
            known = ", ".join(sorted(self._regions)) or "none"
            raise InvalidArgument(
                place.field, f"{place.name!r} is not a registered region; registered: {known}"
            )
        if place.offset < 0 or place.size < 0 or place.offset + place.size > region.size:
            raise InvalidArgument(
                place.field,
                f"bytes {place.offset} to {place.offset + place.size}; the region {place.name!r} "
                f"has {region.size}",
            )
        return region

    @staticmethod
    def _shortened(place: Place) -> InvalidArgument:
        return InvalidArgument(
            place.field, f"the object of the region {place.name!r} was shortened since"
        )
