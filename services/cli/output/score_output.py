"""Bits per byte on the terminal, and as JSON."""

from __future__ import annotations

import math
from typing import Any

from assay.common.v1 import common_pb2
from assay.corpus.v1 import corpus_pb2
from rich.table import Table

from services.cli.output.console import OUT, note
from services.cli.output.messages import plain
from services.cli.output.score_plot import Row, plot

_NO_NAME = "(none named)"


def running_table(running: corpus_pb2.RunningScore) -> Table:
    """Figures so far."""
    left = running.time_left.ToTimedelta().total_seconds()
    of = f" of {running.documents_total:,}" if running.documents_total else ""
    restored = f", {running.documents_restored:,} of an earlier run"
    table = _table(
        f"{running.model}: {running.overall.documents:,}{of} documents"
        + (restored if running.documents_restored else "")
    )
    table.caption = f"{running.tokens_per_second:,.0f} tokens/s, about {left:,.0f} s left"
    for subset in running.subsets:
        _add_row(table, subset.subset or _NO_NAME, subset.score)
    _add_row(table, "overall", running.overall)
    return table


def show_score(final: corpus_pb2.FinalScore) -> None:
    """Prints the final figures by subset, then draws them."""
    earlier = ", scored earlier" if final.cached else ""
    table = _table(f"{final.model.name} on {final.corpus.name}, {final.engine}{earlier}")
    for subset in final.subsets:
        _add_row(table, subset.subset or _NO_NAME, subset.score)
    table.add_section()
    _add_row(table, "overall (micro)", final.overall)
    if final.overall.text_bytes:
        macro = final.macro_interval if final.HasField("macro_interval") else None
        table.add_row(
            "mean of subsets (macro)", f"{final.macro_bits_per_byte:.4f}", _interval(macro)
        )
    if final.HasField("pile_weighted"):
        average = final.pile_weighted
        table.add_row(
            f"Pile-weighted ({average.weight:.0%} of the weight)",
            f"{average.bits_per_byte:.4f}",
            _interval(average.interval if average.HasField("interval") else None),
        )
    OUT.print(table)
    rows = [
        Row(
            subset.subset or _NO_NAME,
            subset.score,
            published=(
                subset.published_bits_per_byte
                if subset.HasField("published_bits_per_byte")
                else None
            ),
        )
        for subset in final.subsets
        if subset.score.text_bytes
    ]
    printed = final.published if final.HasField("published") else None
    rows.append(Row("overall", final.overall, published=printed and printed.bits_per_byte))
    OUT.print(plot(rows, final.model.name, published=printed.source if printed else ""))
    _note_lost(final)


def show_comparison(final: corpus_pb2.BPBComparison) -> None:
    """Prints two models' figures by subset, and how they differ."""
    names = [final.model.model.name, final.against.model.name]
    table = Table(
        title=f"{names[0]} against {names[1]} on {final.model.corpus.name}, paired by document",
        title_justify="left",
        caption="a difference below 0: the first predicts better",
    )
    table.add_column("subset")
    for heading in (*names, "difference", "95 % interval", "documents"):
        table.add_column(heading, justify="right")
    rows = [(one.subset or _NO_NAME, one.difference) for one in final.subsets]
    for name, one in [*rows, ("overall", final.overall)]:
        table.add_row(
            name,
            f"{one.model.bits_per_byte:.4f}",
            f"{one.against.bits_per_byte:.4f}",
            f"{one.bits_per_byte:+.4f}",
            _interval(one.interval if one.HasField("interval") else None, signed=True),
            f"{one.model.documents:,}",
        )
    OUT.print(table)
    drawn = [
        Row(name, one.model, against=one.against)
        for name, one in [*rows, ("overall", final.overall)]
        if one.model.text_bytes
    ]
    OUT.print(plot(drawn, names[0], against=names[1]))
    if final.documents_left_out:
        note(
            f"{final.documents_left_out:,} documents are left out: a tokenizer does not reproduce "
            "them"
        )


def score_json(final: corpus_pb2.FinalScore) -> dict[str, Any]:
    """The final figures as the JSON that `--json` prints."""
    return {
        "overall": _score_json(final.overall),
        "macro_bits_per_byte": final.macro_bits_per_byte if final.overall.text_bytes else None,
        "macro_interval": plain(final.macro_interval) if final.HasField("macro_interval") else None,
        "pile_weighted": plain(final.pile_weighted) if final.HasField("pile_weighted") else None,
        "subsets": {
            subset.subset: _score_json(subset.score)
            | (
                {"published_bits_per_byte": subset.published_bits_per_byte}
                if subset.HasField("published_bits_per_byte")
                else {}
            )
            for subset in final.subsets
        },
        "not_round_tripping": {
            **_score_json(final.not_round_tripping),
            "ids": list(final.not_round_tripping_ids),
        },
        "including_not_round_tripping": _merged(final),
        "published": plain(final.published) if final.HasField("published") else None,
        "model": plain(final.model),
        "corpus": plain(final.corpus),
        "definition": plain(final.definition) if final.HasField("definition") else None,
        "engine": final.engine,
        "compute": plain(final.compute),
        "environment": plain(final.environment),
        "cached": final.cached,
    }


def comparison_json(final: corpus_pb2.BPBComparison) -> dict[str, Any]:
    """A comparison as the JSON that `--json` prints."""
    return {
        "model": score_json(final.model),
        "against": score_json(final.against),
        "overall": _difference_json(final.overall),
        "subsets": {one.subset: _difference_json(one.difference) for one in final.subsets},
        "documents_left_out": final.documents_left_out,
    }


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("subset")
    for heading in (
        *("bits per byte", "95 % interval", "nats/token", "bytes/token"),
        *("documents", "bytes", "tokens"),
    ):
        table.add_column(heading, justify="right")
    return table


def _add_row(table: Table, name: str, score: corpus_pb2.Score) -> None:
    table.add_row(
        name,
        f"{score.bits_per_byte:.4f}" if score.text_bytes else "",
        _interval(score.interval if score.HasField("interval") else None),
        f"{score.nats_per_token:.3f}" if score.tokens else "",
        f"{score.bytes_per_token:.2f}" if score.tokens else "",
        f"{score.documents:,}",
        f"{score.text_bytes:,}",
        f"{score.tokens:,}",
    )


def _interval(interval: common_pb2.Interval | None, *, signed: bool = False) -> str:
    if interval is None:
        return ""
    form = "+.4f" if signed else ".4f"
    return f"{interval.low:{form}} .. {interval.high:{form}}"


def _note_lost(final: corpus_pb2.FinalScore) -> None:
    lost = final.not_round_tripping
    if lost.documents:
        note(
            f"{lost.documents:,} documents ({lost.text_bytes:,} bytes) are in no figure above: the "
            f"tokenizer does not reproduce them. First: {final.not_round_tripping_ids[0]}. With "
            f"them, as lm-evaluation-harness counts: {_merged(final)['bits_per_byte'] or 0:.4f}"
        )


def _merged(final: corpus_pb2.FinalScore) -> dict[str, float | None]:
    """Over every document, also those that the tokenizer does not reproduce."""
    parts = (final.overall, final.not_round_tripping)
    names = ("nats", "text_bytes", "tokens", "documents")
    merged = {name: sum(getattr(part, name) for part in parts) for name in names}
    bits = merged["nats"] / math.log(2)
    return merged | {"bits_per_byte": bits / merged["text_bytes"] if merged["text_bytes"] else None}


def _score_json(score: corpus_pb2.Score) -> dict[str, Any]:
    return {
        "bits_per_byte": score.bits_per_byte if score.text_bytes else None,
        "interval": plain(score.interval) if score.HasField("interval") else None,
        "nats": score.nats,
        "text_bytes": score.text_bytes,
        "tokens": score.tokens,
        "documents": score.documents,
        "nats_per_token": score.nats_per_token if score.tokens else None,
        "bytes_per_token": score.bytes_per_token if score.tokens else None,
    }


def _difference_json(one: corpus_pb2.BPBDifference) -> dict[str, Any]:
    return {
        "bits_per_byte": one.bits_per_byte,
        "interval": plain(one.interval) if one.HasField("interval") else None,
        "model": _score_json(one.model),
        "against": _score_json(one.against),
    }
