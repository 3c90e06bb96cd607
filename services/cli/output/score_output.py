"""Bits per byte on the terminal, and as JSON."""

from __future__ import annotations

import math
import sys
from typing import Any

from assay_rpc.corpus.v1 import scoring_pb2

from services.cli.output.basis import basis_sentences, standing
from services.cli.output.console import OUT, note, warn
from services.cli.output.grid import Column, Grid, Kind, is_table, show
from services.cli.output.messages import plain
from services.cli.output.score_plot import Row, plot
from services.common.counts import plural
from services.common.percent import percent
from services.ranker.web.values import enum_name

_LARGEST = math.log(sys.float_info.max)  # of what the exponential is a number
_NO_NAME, _NO_VALUE = "(none named)", "\u2014"
_EXCLUDED = {
    scoring_pb2.EXCLUSION_REASON_NOT_ROUND_TRIPPING: "that the tokenizer cannot round-trip",
    scoring_pb2.EXCLUSION_REASON_TOKEN_OUT_OF_RANGE: "with tokens that the model does not have",
    scoring_pb2.EXCLUSION_REASON_EMPTY: "without any text",
}


LOADING = "loading the model, and counting the documents"


def running_table(running: scoring_pb2.RunningScore) -> Grid:
    """Figures so far."""
    table = _table(_documents_done(running) if running.documents_total else LOADING)
    if running.HasField("tokens_per_second"):
        said = f"{running.tokens_per_second:,.0f} tokens/s"
        if running.HasField("time_left"):
            left = running.time_left.ToTimedelta().total_seconds()
            said += f", about {left:,.0f} s left"
        table.caption = [said]
    for subset in running.subsets:
        _add_row(table, subset.subset or _NO_NAME, subset.score)
    _add_row(table, "overall", running.overall)
    return table


def running_line(running: scoring_pb2.RunningScore, seconds: float) -> str:
    """The same figures in one line, `seconds` after the start."""
    if not running.HasField("documents_total"):
        return f"still {LOADING}, after {seconds:,.0f} s"
    overall = running.overall
    said = [_documents_done(running)]
    if has_value(overall):
        said.append(f"{overall.bits_per_byte:.4f} bits per byte so far")
    if running.HasField("tokens_per_second"):
        said.append(f"{running.tokens_per_second:,.0f} tokens/s")
    if running.HasField("time_left"):
        said.append(f"about {running.time_left.ToTimedelta().total_seconds():,.0f} s left")
    return ", ".join(said)


def _documents_done(running: scoring_pb2.RunningScore) -> str:
    left_out = running.documents_done - running.overall.documents
    parts = [
        f"{running.model.name}: {running.documents_done:,} of {running.documents_total:,} documents"
    ]
    if left_out:
        parts.append(f"{left_out:,} of them left out")
    if running.documents_restored:
        parts.append(f"{running.documents_restored:,} from an earlier run")
    return ", ".join(parts)


def show_score(final: scoring_pb2.FinalScore) -> None:
    """Prints the final figures by subset, then draws them."""
    earlier = ", scored earlier" if final.cached else ""
    table = _table(f"{final.model.name} on {final.corpus.name}, {final.compute.engine.id}{earlier}")
    for subset in final.subsets:
        _add_row(table, subset.subset or _NO_NAME, subset.score)
    _add_row(table, "overall (micro)", final.overall)
    for one in final.excluded:
        counts = (one.score.documents, one.score.text_bytes, one.score.tokens)
        table.add(
            f"left out: {enum_name(one, 'reason').lower().replace('_', ' ')}",
            *[""] * 4,
            *(f"{value:,}" for value in counts),
        )
    _add_averages(table, final)
    table.caption = [line for line in score_words(final.overall) if line]
    show(table)
    rows = score_rows(final)
    if not rows:
        empty = scoring_pb2.EXCLUSION_REASON_EMPTY
        lost = sum(one.score.documents for one in final.excluded if one.reason != empty)
        warn(f"nothing could be scored: {_none_of(lost)}")
    elif is_table():
        OUT.print(plot(rows, final.model.name, published=published_source(final)))
    _note_lost(final)
    _note_doubts(final)


def score_rows(final: scoring_pb2.FinalScore) -> list[Row]:
    """The rows of a result's plot; none if nothing was scored."""
    printed = final.published[0] if final.published else None
    rows = [
        Row(
            subset.subset or _NO_NAME,
            subset.score,
            published=printed.by_subset.get(subset.subset) if printed else None,
        )
        for subset in final.subsets
        if has_value(subset.score)
    ]
    if rows:
        rows.append(Row("overall", final.overall, published=printed and printed.bits_per_byte))
    return rows


def published_source(final: scoring_pb2.FinalScore) -> str:
    """Source of the published figures next to a result; empty without any."""
    return final.published[0].source if final.published else ""


def show_comparison(final: scoring_pb2.BPBComparison) -> None:
    """Prints two models' figures by subset, and how they differ."""
    names = [final.model.model.name, final.against.model.name]
    table = Grid(
        f"{names[0]} against {names[1]} on {final.model.corpus.name}, paired",
        [
            Column("subset", Kind.TEXT),
            *map(Column, (*names, "difference", "95 % interval")),
            Column("documents", spare=1),
        ],
        caption=comparison_words(final.overall),
    )
    rows = [(one.subset or _NO_NAME, one.difference) for one in final.subsets]
    for name, one in [*rows, ("overall", final.overall)]:
        table.add(
            name,
            _bits(one.model),
            _bits(one.against),
            f"{one.bits_per_byte:+z.4f}" if one.HasField("bits_per_byte") else _NO_VALUE,
            _standing(one, "+z.4f"),
            f"{one.model.documents:,}",
        )
    _add_averages(table, final, "", "")
    show(table)
    drawn = comparison_rows(final)
    if drawn and is_table():
        OUT.print(plot(drawn, names[0], against=names[1]))
    elif not drawn:
        warn(f"nothing could be compared: {_none_of(final.documents_left_out)}")
    if final.documents_left_out:
        warn(
            f"left out: {plural(final.documents_left_out, 'document')} that a tokenizer does not "
            "reproduce, or gives tokens for that its model does not have, or that are empty"
        )
    for scored in (final.model, final.against):
        _note_doubts(scored)


def comparison_rows(final: scoring_pb2.BPBComparison) -> list[Row]:
    """The rows of two models' plot; none if nothing was scored for both."""
    rows = [(one.subset or _NO_NAME, one.difference) for one in final.subsets]
    return [
        Row(name, one.model, against=one.against)
        for name, one in [*rows, ("overall", final.overall)]
        if has_value(one.model) and has_value(one.against)
    ]


def has_value(score: scoring_pb2.BitsPerByte) -> bool:
    """Whether anything was scored: without tokens the figure is absent, not 0."""
    return score.HasField("bits_per_byte")


def score_json(final: scoring_pb2.FinalScore) -> dict[str, Any]:
    """The final figures as the JSON that `--json` prints."""
    return {
        "overall": _score_json(final.overall),
        "macro_bits_per_byte": final.macro.value if final.macro.HasField("value") else None,
        "macro_interval": plain(final.macro.interval) if final.macro.HasField("interval") else None,
        "macro_basis": plain(final.macro.basis) if final.macro.HasField("basis") else None,
        "weighted": [plain(one) for one in final.weighted],
        "subsets": {subset.subset: _score_json(subset.score) for subset in final.subsets},
        "excluded": [
            {
                "reason": enum_name(one, "reason"),
                **_score_json(one.score),
                "ids": list(one.ids),
            }
            for one in final.excluded
        ],
        "including_excluded": _merged(final),
        "published": [plain(one) for one in final.published],
        "model": plain(final.model),
        "corpus": plain(final.corpus),
        "definition": plain(final.definition) if final.HasField("definition") else None,
        "compute": plain(final.compute),
        "environment": plain(final.environment),
        "cached": final.cached,
        "doubts": list(final.doubts),
    }


def comparison_json(final: scoring_pb2.BPBComparison) -> dict[str, Any]:
    """A comparison as the JSON that `--json` prints."""
    return {
        "model": score_json(final.model),
        "against": score_json(final.against),
        "overall": _difference_json(final.overall),
        "subsets": {one.subset: _difference_json(one.difference) for one in final.subsets},
        "documents_left_out": final.documents_left_out,
        "macro": plain(final.macro),
        "weighted": [plain(one) for one in final.weighted],
    }


def _table(title: str) -> Grid:
    return Grid(
        title,
        [
            Column("subset", Kind.TEXT),
            Column("bits per byte"),
            Column("95 % interval"),
            Column("nats/token", spare=3),
            Column("bytes/token", spare=4),
            Column("documents"),
            Column("bytes", spare=1),
            Column("tokens", spare=2),
        ],
    )


def _add_row(table: Grid, name: str, score: scoring_pb2.BitsPerByte) -> None:
    table.add(
        name,
        _bits(score),
        _standing(score, ".4f"),
        f"{score.nats_per_token:.3f}" if score.HasField("nats_per_token") else "",
        f"{score.bytes_per_token:.2f}" if score.HasField("bytes_per_token") else "",
        f"{score.documents:,}",
        f"{score.text_bytes:,}",
        f"{score.tokens:,}",
    )


def _bits(score: scoring_pb2.BitsPerByte) -> str:
    return f"{score.bits_per_byte:.4f}" if has_value(score) else _NO_VALUE


def _none_of(documents: int) -> str:
    if not documents:
        return "no document has a text"
    return (
        f"the tokenizer reproduces none of {plural(documents, 'document')}, or gives tokens "
        "that the model does not have; see whether tokenizer.json is this model's"
    )


def _standing(
    one: scoring_pb2.BitsPerByte | scoring_pb2.BPBDifference | scoring_pb2.WeightedScore, form: str
) -> str:
    return standing(one.basis, one.interval if one.HasField("interval") else None, form)


def _add_averages(
    table: Grid, final: scoring_pb2.FinalScore | scoring_pb2.BPBComparison, *before: str
) -> None:
    """Add the averages over the subsets; they are differences if other cells precede them."""
    form = "+z.4f" if before else ".4f"
    if final.macro.HasField("value"):
        macro = final.macro
        interval = macro.interval if macro.HasField("interval") else None
        cells = (f"{macro.value:{form}}", standing(macro.basis, interval, form))
        _add(table, "mean of subsets (macro)", *before, *cells)
    for one in final.weighted:
        name = f"{one.weights} weights ({percent(one.weight)} of the weight)"
        _add(table, name, *before, f"{one.bits_per_byte:{form}}", _standing(one, form))


def _add(table: Grid, *cells: str) -> None:
    """Add a row, with missing cells empty."""
    table.add(*cells, *[""] * (len(table.columns) - len(cells)))


def score_words(overall: scoring_pb2.BitsPerByte) -> list[str]:
    """The question that a result answers, its basis, and its perplexities."""
    said = basis_sentences(overall.basis) if overall.HasField("basis") else []
    perplexities = []
    if overall.HasField("byte_perplexity"):
        perplexities.append(f"byte perplexity {overall.byte_perplexity:,.5g}")
    elif overall.HasField("bits_per_byte") and overall.bits_per_byte * math.log(2) > _LARGEST:
        perplexities.append("byte perplexity not shown, because it is above 1.8e308")
    if overall.HasField("word_perplexity"):
        perplexities.append(f"word perplexity {overall.word_perplexity:,.5g}")
    elif perplexities and overall.nats > _LARGEST and not overall.basis.unit:
        perplexities.append(
            "word perplexity not shown, because it is above 1.8e308 (long runs without a blank) or "
            "an earlier version scored"
        )
    return [*said, ", ".join(perplexities)]


def comparison_words(overall: scoring_pb2.BPBDifference) -> list[str]:
    """The same for two models' difference, and the smallest difference it would detect."""
    said = ["negative: the first model is better"]
    if overall.HasField("basis"):
        said += basis_sentences(overall.basis)
    if overall.identical:
        said.append("identical on all that was scored")
    elif overall.HasField("smallest_detectable") and (
        overall.interval.low <= 0 <= overall.interval.high
    ):
        said.append(
            f"no difference seen; {overall.smallest_detectable:.2g} would have been, in four of "
            "five samples"
        )
    return said


def _note_lost(final: scoring_pb2.FinalScore) -> None:
    for one in final.excluded:
        warn(
            f"excluded from all figures: {plural(one.score.documents, 'document')} "
            f"({one.score.text_bytes:,} bytes) {_EXCLUDED[one.reason]}. First: {one.ids[0]}"
        )
    merged = _merged(final)["bits_per_byte"]
    if merged is not None and any(one.score.tokens for one in final.excluded):
        note(f"with those that can be scored, as lm-evaluation-harness counts: {merged:.4f}")


def _note_doubts(final: scoring_pb2.FinalScore) -> None:
    for doubt in final.doubts:
        warn(f"doubtful: {final.model.name}: {doubt}")


def _merged(final: scoring_pb2.FinalScore) -> dict[str, float | None]:
    """Sums over every document with a likelihood, including excluded ones.

    For a sample, the sums are of what was scored, and give no figure.
    """
    none = scoring_pb2.EXCLUSION_REASON_TOKEN_OUT_OF_RANGE
    sampled = final.overall.basis.unit != scoring_pb2.SAMPLE_UNIT_UNSPECIFIED
    parts = [final.overall, *(one.score for one in final.excluded if one.reason != none)]
    names = ("nats", "text_bytes", "tokens", "documents")
    merged = {name: sum(getattr(part, name) for part in parts) for name in names}
    bits = merged["nats"] / math.log(2)
    return merged | {
        "bits_per_byte": bits / merged["text_bytes"]
        if merged["tokens"] and merged["text_bytes"] and not sampled
        else None
    }


def _score_json(score: scoring_pb2.BitsPerByte) -> dict[str, Any]:
    return {
        "bits_per_byte": score.bits_per_byte if has_value(score) else None,
        "interval": plain(score.interval) if score.HasField("interval") else None,
        "nats": score.nats,
        "text_bytes": score.text_bytes,
        "tokens": score.tokens,
        "documents": score.documents,
        "nats_per_token": score.nats_per_token if score.HasField("nats_per_token") else None,
        "bytes_per_token": score.bytes_per_token if score.HasField("bytes_per_token") else None,
        "byte_perplexity": score.byte_perplexity if score.HasField("byte_perplexity") else None,
        "word_perplexity": score.word_perplexity if score.HasField("word_perplexity") else None,
        "basis": plain(score.basis) if score.HasField("basis") else None,
    }


def _difference_json(one: scoring_pb2.BPBDifference) -> dict[str, Any]:
    return {
        "bits_per_byte": one.bits_per_byte if one.HasField("bits_per_byte") else None,
        "interval": plain(one.interval) if one.HasField("interval") else None,
        "model": _score_json(one.model),
        "against": _score_json(one.against),
        "basis": plain(one.basis) if one.HasField("basis") else None,
        "smallest_detectable": (
            one.smallest_detectable if one.HasField("smallest_detectable") else None
        ),
        "identical": one.identical,
    }
