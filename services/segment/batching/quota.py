"""How many items and bytes are held at once, and which client may add an item. Pure."""

from __future__ import annotations

# A client may hold this many times as much as remains for others.
_MAX_HELD_PER_LEFT = 4


class Quota:
    """Limits items and bytes, and shares them fairly.

    Before a client takes another item, it may hold at most four times what then remains: one client
    alone gets four fifths of a large queue, two get four ninths each, and the rest is for later
    clients. A client that holds nothing may take all that remains. So no client gets everything,
    unless there is room for only one item.

    A large item would never find room if small ones took each byte that is returned, so bytes can
    be kept free for it.
    """

    def __init__(self, items: int, size: int) -> None:
        """Allow `items` items of `size` bytes in all."""
        self._items_left = items
        self._bytes_left = size
        self._kept_free = 0
        self._held: dict[str, tuple[int, int]] = {}  # by client: items, bytes
        self.held_bytes = 0
        """Bytes of all held items."""

    def keep_free(self, size: int) -> None:
        """Refuse an item that would leave fewer free bytes; 0 ends this."""
        self._kept_free = size

    def refusal(self, client: str, size: int) -> str | None:
        """Return why the client cannot add an item of `size` bytes now; None if it can."""
        items_left, bytes_left = self._items_left - 1, self._bytes_left - size
        if items_left < 0 or bytes_left < self._kept_free:
            return "the queue is full"
        items, held = self._held.get(client, (0, 0))
        if items > _MAX_HELD_PER_LEFT * items_left or held > _MAX_HELD_PER_LEFT * bytes_left:
            return "the queue is full for this client: what is left is for others"
        return None

    def take(self, client: str, size: int) -> None:
        """Count an item that `refusal` allows."""
        self._change(client, 1, size)

    def give_back(self, client: str, size: int) -> None:
        """Stop counting an item that was taken with the same arguments."""
        self._change(client, -1, -size)

    def _change(self, client: str, items: int, size: int) -> None:
        held_items, held_bytes = self._held.get(client, (0, 0))
        self._held[client] = held_items + items, held_bytes + size
        if held_items + items == 0:
            del self._held[client]
        self._items_left -= items
        self._bytes_left -= size
        self.held_bytes += size
