"""Messages about a path that does not exist."""

from __future__ import annotations

from pathlib import Path

from services.errors import suggestion


def absent(given: str | Path) -> str:
    """`GIVEN does not exist`, with the nearest name to the first missing part."""
    path = Path(given)
    return f"{given} does not exist{beside(path)}"


def beside(path: Path) -> str:
    """`; did you mean PATH?` if a folder has something of nearly that name; else empty."""
    try:
        for part in (*reversed(path.parents), path):
            if not part.exists():
                known = [str(part.parent / one.name) for one in part.parent.iterdir()]
                return suggestion(str(part), known)
    except (OSError, ValueError):  # out of reach, or an impossible name
        pass
    return ""


def refuse_absent(flag: str, paths: list[Path]) -> None:
    """Raises FileNotFoundError for the first path that does not exist, naming the flag."""
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{flag}: {absent(path)}")
