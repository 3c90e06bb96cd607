"""Compression and reading of a corpus's shards, as measured by corpus.

Corpus measures a stretch of each split; figures are taken over the splits, so that their spread
shows how much they depend on the text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, median

from services.common.percent import percent
from services.common.statistics.interval import hull
from services.common.statistics.medians import widest_median_interval
from services.common.statistics.speed.restarts import Slopes
from services.ranker.claims.bounds import Interval, Value
from services.ranker.claims.choosing import MIN_LEVEL
from services.ranker.claims.definition import (
    DATA,
    Against,
    Definition,
    Kind,
    Plausible,
)
from services.ranker.claims.evidence import Observation
from services.ranker.claims.findings import UnmeasuredReason
from services.ranker.claims.model import Aspect, Basis, Claim, SubjectRelation
from services.ranker.measuring.measurements import Measurements
from services.ranker.measuring.methods.composition import about, of_the_rest, share_of_all
from services.ranker.measuring.methods.registration import Measurement, method
from services.ranker.measuring.methods.stored import (
    GZIP,
    ZSTD,
    Measured,
    codecs_of,
    mean_over_splits,
    measured_on,
    of_part,
    open_share,
    ratios_to_gzip,
)
from services.ranker.measuring.unobservable import UnobservableError
from services.ranker.peers.protocol import (
    MachineLoad,
    StorageResult,
    corpus_subject,
)


@method(
    2,
    Measurement.STORAGE,
    Definition(
        aspect=Aspect.STORAGE,
        kind=Kind.NUMBER,
        unit="share",
        fact="plain-format",
        types=DATA,
        sample_decides=True,
        chance=Plausible(0, 1, least=0, most=1),
    ),
)
async def plain_parse_share(claim: Claim, measurements: Measurements) -> Observation:
    """Share of lines that zstandard and a plain JSON parser read as documents.

    A stretch of each split is read; `share_of_all` says what that shows about the rest.
    """
    measured = await measured_on(claim, measurements)
    counts = [one.plain_parse for one in measured.splits.values()]
    lines = sum(one.lines for one in counts)
    parsed = sum(one.parsed for one in counts)
    if not lines:
        raise UnobservableError(f"{measured.name} has no lines here")
    note = f"{parsed:,} of {lines:,} lines were objects with a text."
    value = Value(parsed / lines, "share")
    interval = share_of_all(parsed, lines)
    if measured.relation is SubjectRelation.EXACT:
        description = await measurements.description(measured.corpus)
        interval = share_of_all(parsed, lines, max(lines, description.documents))
    return measured.observed(
        value=value, interval=interval, n=lines, note=note, conditions=_of_what_was_read(measured)
    )


@method(
    2,
    Measurement.STORAGE,
    Definition(
        aspect=Aspect.STORAGE,
        kind=Kind.NUMBER,
        unit="1",
        fact="compression-ratio",
        types=DATA,
        sample_decides=True,
        chance=Plausible(1, 10, logarithmic=True, least=0),
        against=Against("its own JSON lines", ("json", "uncompressed"), also="size text"),
    ),
)
async def compression_ratio(claim: Claim, measurements: Measurements) -> Observation:
    """Size of the whole corpus's JSON lines over their compressed size.

    In a sample, only the text that was read is known. The rest could save anything from nothing to
    everything: the interval allows for both, weighted by the share of the text that is missing
    here, by the published shares of subsets, or was not read.
    """
    corpus, relation = await measurements.corpus(claim.artifact)
    description = await measurements.description(corpus)
    if relation is SubjectRelation.EXACT:
        plain = [one.path for one in description.corpus.shards if not one.path.endswith(_PACKED)]
        if plain:
            raise UnobservableError(
                f"{plain[0]} is not compressed here, and says nothing of how it compresses",
                UnmeasuredReason.DATA_MISSING,
                "serve its compressed files",
            )
        packed = sum(one.stored_bytes for one in description.corpus.shards)
        ratio = sum(one.content_bytes for one in description.corpus.shards) / packed
        return Observation(
            value=Value(ratio, "1"),
            relation=relation,
            basis=Basis.MEASURED,
            subject_digest=corpus.ref.digest,
            subject=corpus_subject(corpus, relation),
            n=len(description.corpus.shards),
            note=about(description, f"{packed / 1e9:,.4g} GB packed."),
        )
    measured = await measured_on(claim, measurements)
    ratios = [one.ratio for one in codecs_of(measured, ZSTD)]
    interval = mean_over_splits(measured, ratios)
    missing = open_share(claim, measured, description)
    bounds = Interval(
        1 / ((1 - missing) / max(interval.low, 1.0) + missing),
        interval.high / (1 - missing),
        interval.level,
    )
    note = (
        f"zstd at level 3. {percent(missing)} of the whole text is not here or was not read; the "
        "interval allows for any ratio of it."
    )
    value = Value(fmean(ratios), "1")
    return measured.observed(
        value=value,
        interval=bounds,
        n=len(ratios),
        note=note,
        conditions=f"zstd at level 3{of_part(missing, interval)}",
    )


@method(
    3,
    Measurement.STORAGE,
    Definition(
        aspect=Aspect.STORAGE,
        kind=Kind.NUMBER,
        unit="1",
        fact="ratio-against-gzip",
        types=DATA,
        sample_decides=True,
        chance=Plausible(0.8, 1.6, logarithmic=True, least=0),
        against=Against("gzip at its default level", ("gzip",), also="6"),
    ),
)
async def ratio_against_gzip(claim: Claim, measurements: Measurements) -> Observation:
    """Compression ratio of zstd over gzip's, both at their defaults; a split is an observation.

    For text that is missing here or was not read, both ratios are unknown: the interval allows for
    that, as in `compression_ratio`.
    """
    measured = await measured_on(claim, measurements)
    missing = open_share(claim, measured, await measurements.description(measured.corpus))
    ratios = ratios_to_gzip(measured, ZSTD)
    interval = mean_over_splits(measured, ratios)
    packed = (1 - missing) / fmean(one.ratio for one in codecs_of(measured, GZIP))
    bounds = Interval(
        packed / (packed / interval.low + missing) if interval.low > 0 else 0.0,
        (packed + missing) / (packed / interval.high),
        interval.level,
    )
    names = {codec.codec for one in measured.splits.values() for codec in one.codecs}
    others = sorted(names - {GZIP, ZSTD, "stored"})
    listed = ", ".join(f"{name} {fmean(ratios_to_gzip(measured, name)):.3g}" for name in others)
    note = f"Other levels against the same gzip: {listed}."
    return measured.observed(
        value=Value(fmean(ratios), "1"),
        interval=bounds,
        n=len(ratios),
        note=note,
        conditions=(
            f"zstd at level 3 against gzip at 6; at other levels {listed}"
            f"{of_part(missing, interval)}"
        ),
    )


@method(
    3,
    Measurement.STORAGE,
    Definition(
        aspect=Aspect.STORAGE,
        kind=Kind.NUMBER,
        unit="1",
        fact="speed-against-gzip",
        types=DATA,
        sample_decides=True,
        machine=True,
        chance=Plausible(0.5, 20, logarithmic=True, least=0),
        against=Against("gzip at its default level", ("gzip",), also="6"),
    ),
)
async def speed_against_gzip(claim: Claim, measurements: Measurements) -> Observation:
    """Decompression speed of zstd over gzip's, both at their default levels, on one core.

    It depends on the decoder: measured with the libraries in Python and with the tools, and decided
    only if both agree. The interval contains every split's for both, widened by the load that the
    machine had, and by what missing or unread text may give.
    """
    measured = await measured_on(claim, measurements)
    missing = open_share(claim, measured, await measurements.description(measured.corpus))
    pairs = list(zip(codecs_of(measured, GZIP), codecs_of(measured, ZSTD), strict=True))
    decoders = {
        "libraries": [_turns(gzip.seconds, zstd.seconds) for gzip, zstd in pairs],
        "tools": [_turns(gzip.tool_seconds, zstd.tool_seconds) for gzip, zstd in pairs],
    }
    found = {name: turns for name, turns in decoders.items() if all(turns)}
    if not found:
        raise UnobservableError(f"corpus timed no decoder on {measured.name}")
    ratios = {name: fmean(map(median, turns)) for name, turns in found.items()}
    interval = _of_all(list(found.values()), [one.load for one in measured.splits.values()])
    if missing or len(found) < len(decoders):
        interval = Interval((1 - missing) * interval.low, math.inf, interval.level)
    if len(found) < len(decoders):
        interval = Interval(0.0, math.inf, interval.level)
    value = fmean(ratios.values())
    split, result = next(iter(measured.splits.items()))
    gzip, zstd = (result.sample_bytes / 1e6 / median(one.seconds) for one in pairs[0])
    return replace(
        measured.observed(
            value=Value(value, "1"),
            interval=interval,
            n=len(pairs),
            note=(
                f"On {split}: {zstd:,.0f} MB a second against {gzip:,.0f} by the libraries, one "
                "core; it holds for this hardware and these decoders."
            ),
            conditions=f"zstd at level 3 against gzip at 6, {_decoders(ratios, result, missing)}",
        ),
        breakdown=ratios,
        breakdown_unit="1",
    )


_PACKED = (".zst", ".zstd", ".gz")
"""Suffixes of compressed files."""


def _turns(gzip: Sequence[float], zstd: Sequence[float]) -> list[float]:
    """Gzip's time over zstd's for each turn; empty if either was not timed."""
    if not gzip or not zstd:
        return []
    return [one / max(other, _TICK) for one, other in zip(gzip, zstd, strict=True)]


_TICK = 1e-6
"""Seconds: the resolution of processor time."""


def _of_all(found: Sequence[Sequence[list[float]]], loads: Sequence[MachineLoad]) -> Interval:
    """Cover every decoder's and split's median, however load may have slowed the two codecs."""
    intervals = [widest_median_interval(turns, MIN_LEVEL) for decoder in found for turns in decoder]
    whole = Interval.of(hull(intervals))
    widening = 1.0
    for load in loads:
        if not (load.HasField("others_cores") and load.HasField("kernel_ratio")):
            return Interval(0.0, math.inf, whole.level)
        kernel = max(1.0, load.kernel_ratio)
        widening = max(widening, kernel * (1 + Slopes().others * load.others_cores))
    return Interval(whole.low / widening, whole.high * widening, whole.level)


def _decoders(ratios: Mapping[str, float], result: StorageResult, missing: float) -> str:
    """Decoders with their versions, and reasons that keep the ratio undecided."""
    versions = result.environment.versions
    named = {"libraries": ("zlib", "libzstd"), "tools": ("gzip", "zstd")}
    parts = []
    for decoder, programs in named.items():
        words = " and ".join(f"{one} {versions.get(one, 'unknown')}" for one in programs)
        if decoder in ratios:
            parts.append(f"{ratios[decoder]:.3g} by the {decoder} {words}")
        else:
            parts.append(f"the {decoder} {' and '.join(programs)} are not installed beside corpus")
    load = result.load
    if not load.HasField("kernel_ratio"):
        parts.append("this machine's own speed is known after timings on two days")
    elif load.others_cores > load.allowed_others_cores:
        parts.append(f"others used {load.others_cores:.2g} processors")
    if missing:
        parts.append(f"{percent(missing)} of the text is not here or was not read")
    return "; ".join(parts)


@method(
    2,
    Measurement.STORAGE,
    Definition(
        aspect=Aspect.STORAGE,
        kind=Kind.NUMBER,
        unit="1",
        fact="streaming",
        types=DATA,
        sample_decides=True,
        chance=Plausible(0.001, 10, logarithmic=True, least=0),
        against=Against(
            "the JSON lines that are read", ("json", "uncompressed"), also="size text shard"
        ),
    ),
)
async def streaming_memory(claim: Claim, measurements: Measurements) -> Observation:
    """Growth of peak memory while shards are read as a stream, over the JSON lines read.

    A reader's buffers are of fixed size, so the ratio is an upper bound for more of the same text.
    A longer document may be in text that was not read: for that it bounds nothing.
    """
    measured = await measured_on(claim, measurements)
    streams = [one.streaming for one in measured.splits.values()]
    largest = max(streams, key=lambda one: one.content_bytes)
    if not largest.content_bytes:
        raise UnobservableError(f"{measured.name} has no shard with documents here")
    ratio = largest.peak_growth_bytes / largest.content_bytes
    note = (
        f"{largest.peak_growth_bytes / 1e6:.3g} MB of growth while "
        f"{largest.content_bytes / 1e6:.3g} MB went by; buffers of fixed size included, so an "
        "upper bound."
    )
    return measured.observed(
        value=Value(ratio, "1"),
        interval=Interval(0.0, ratio if measured.whole else math.inf),
        n=1,
        note=note,
        conditions=_of_what_was_read(measured),
    )


def _of_what_was_read(measured: Measured) -> str:
    """Say why what was read does not decide; empty if it was everything."""
    return "" if measured.whole else of_the_rest(measured.elsewhere)
