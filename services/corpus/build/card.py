"""A data card for people, of what `describe` found. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from services.common.percent import percent

_COLUMNS = (
    "Raw size is what the steps left, before epochs; weight is the share of the effective size. "
    "The columns are those of Table 1 of Gao et al. 2020, The Pile."
)
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def card_text(card: Mapping[str, Any]) -> str:
    """Write a card as Markdown."""
    parts = [
        f"# {card['name']} {card['version']}",
        card["description"].strip(),
        (
            f"Digest of all files: `{card['digest']}`; of the recipe: `{card['recipe_digest']}`; "
            f"seed {card['seed']}."
        ),
        "## Components",
        _COLUMNS,
        _components(card["components"]),
        "## Splits",
        _table(
            ("Split", "Documents", "Size"),
            (
                (split, f"{counts['documents']:,}", size_text(counts["bytes"]))
                for split, counts in card["splits"].items()
            ),
        ),
        "## Licences",
        _table(
            ("Licence", "Documents", "Size"),
            (
                (name, f"{counts['documents']:,}", size_text(counts["bytes"]))
                for name, counts in card["licenses"].items()
            ),
        ),
        "## What each step removed",
        _steps(card["steps"]),
        "## Sources",
        _table(
            ("Source", "Licence", "Files", "Size", "Bad records", "Without text"),
            (
                (
                    source["name"],
                    source["license"],
                    f"{len(source['files']):,}",
                    size_text(sum(file["bytes"] for file in source["files"].values())),
                    f"{source['bad_records']:,}",
                    f"{sum(source['without_text'].values()):,}",
                )
                for source in card["sources"]
            ),
        ),
        *_shared(card["shared_files"]),
        "## Files",
        _table(
            ("File", "Size", "Digest"),
            (
                (path, size_text(fact["bytes"]), f"`{fact['digest']}`")
                for path, fact in card["files"].items()
            ),
        ),
    ]
    if card["citation"]:
        parts.append(f"## Citation\n\n{card['citation'].strip()}")
    return "\n\n".join(parts) + "\n"


def size_text(size: float) -> str:
    """Spell a size with a binary unit."""
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size /= 1024
        unit += 1
    return f"{size:,.0f} {_UNITS[unit]}" if unit == 0 else f"{size:,.2f} {_UNITS[unit]}"


def _components(rows: Iterable[Mapping[str, Any]]) -> str:
    return _table(
        ("Component", "Raw Size", "Weight", "Epochs", "Effective Size", "Mean Document Size"),
        (
            (
                row["component"],
                size_text(row["raw_bytes"]),
                f"{percent(row['weight'], 2)}",
                f"{row['epochs']:.2f}",
                size_text(row["effective_bytes"]),
                size_text(row["mean_document_bytes"]),
            )
            for row in rows
        ),
    )


def _steps(steps: Iterable[Mapping[str, Any]]) -> str:
    return _table(
        ("Step", "Documents in", "Removed", "Bytes removed", "Changed"),
        (
            (
                step["step"] + _function(step["options"]),
                f"{step['documents_in']:,}",
                f"{step['documents_removed']:,}",
                size_text(step["bytes_removed"]) if step["bytes_removed"] >= 0 else
                f"-{size_text(-step['bytes_removed'])}",
                f"{step['changed']:,}",
            )
            for step in steps
        ),
    )  # fmt: skip


def _shared(files: Iterable[Iterable[Mapping[str, Any]]]) -> Iterator[str]:
    rows = [
        ("; ".join(f"{place['source']}: {place['path']}" for place in places),) for places in files
    ]
    if rows:
        yield "## Files that were read more than once"
        yield _table(("Source and path of each time",), rows)


def _function(options: Mapping[str, Any]) -> str:
    return f" {options['function']}" if "function" in options else ""


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(map(_escaped, row))} |" for row in lines)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
