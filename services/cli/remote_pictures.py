"""Pictures in object storage and on web servers, read in the same way as corpora."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from services.corpus.storage.objects import Objects
from services.errors import InvalidArgument

# How many objects to read at once, ahead of the one being sent.
_AHEAD = 16


class RemotePictures:
    """Objects by URL, from every store that a corpus may be in. Raises `Objects`' errors."""

    def __init__(self) -> None:
        self._objects = Objects()

    def below(self, folder: str) -> list[str]:
        """Return the names, relative to a folder, of all objects in and below it."""
        return self._objects.below(folder)

    def read(self, url: str, max_bytes: int) -> bytes:
        """Read an object. Raises InvalidArgument if it has more than `max_bytes`."""
        size = self._objects.state(url).bytes
        if size > max_bytes:
            raise InvalidArgument(
                "picture", f"{size} bytes; a request holds {max_bytes}: make the picture smaller"
            )
        return self._objects.read(url, 0, size, of=size)


def read_ahead(
    reads: Sequence[Callable[[], bytes]],
) -> Iterator[Future[bytes]]:
    """Yield the result of each read, in order, while the next few are in progress."""
    pool = ThreadPoolExecutor(_AHEAD, thread_name_prefix="read")
    waiting: deque[Future[bytes]] = deque()
    try:
        for read in reads:
            waiting.append(pool.submit(read))
            if len(waiting) == _AHEAD:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
