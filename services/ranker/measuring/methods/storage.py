"""Compression and reading of a corpus's shards, from what corpus measured on them.

Corpus measures a stretch of each split; figures are taken over the splits, so that their spread
shows how much they depend on the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from services.common.statistics import interval as statistics
from services.common.statistics.estimate import mean_of
from services.common.statistics.interval import hull, quotient
from services.common.statistics.medians import widest_median_interval
from services.common.statistics.shares import share_interval
from services.common.statistics.student import student
from services.ranker.claims.definition import (
    DATA,
    Definition,
    Kind,
    Plausible,
)
from services.ranker.claims.evidence import Observation
from services.ranker.claims.model import (
    Aspect,
    Basis,
    Claim,
    Interval,
    SubjectRelation,
    Value,
)
from services.ranker.claims.verdict import MIN_LEVEL
from services.ranker.measuring.measurements import Measurements
from services.ranker.measuring.methods.composition import about
from services.ranker.measuring.methods.registration import Measurement, method
from services.ranker.measuring.unobservable import UnobservableError
from services.ranker.peers.protocol import (
    CodecResult,
    CorpusDescription,
    CorpusSummary,
    StorageResult,
    corpus_label,
    corpus_subject,
    environment,
)

# Both tools at their default levels; The Pile's official shards have zstd's. The shards that are
# here may have been packed anew at another level, so what is "stored" says nothing of the claim.
_ZSTD = "zstd-3"
_GZIP = "gzip-6"


@dataclass(frozen=True)
class _Measured:
    """The corpus that was measured, how near it is to the claim's, and what was found by split."""

    corpus: CorpusSummary
    relation: SubjectRelation
    splits: Mapping[str, StorageResult]

    @property
    def name(self) -> str:
        return self.corpus.ref.name

    def observed(self, *, value: Value, interval: Interval, n: int, note: str) -> Observation:
        results = list(self.splits.values())
        size = sum(one.sample_bytes for one in results)
        return Observation(
            value=value,
            relation=self.relation,
            basis=Basis.MEASURED,
            subject_digest=self.corpus.ref.digest,
            subject={**corpus_subject(self.corpus), "splits": list(self.splits)},
            interval=interval,
            n=n,
            environment=environment(results[0].environment),
            note=(
                f"Measured on {size / 1e6:,.3g} MB of "
                f"{corpus_label(self.corpus)}, splits "
                f"{', '.join(self.splits)}. {note}"
            ),
        )


async def _measured(claim: Claim, measurements: Measurements) -> _Measured:
    corpus, relation = await measurements.corpus(claim.artifact)
    splits = await measurements.storage(corpus)
    if not splits:
        raise UnobservableError(f"{corpus.ref.name} has no split here")
    # A stretch of a whole corpus is a sample of it.
    if relation is SubjectRelation.EXACT:
        relation = SubjectRelation.SAMPLE
    return _Measured(corpus, relation, splits)


def _codecs(measured: _Measured, name: str) -> list[CodecResult]:
    """Return what was measured of a codec on each split."""
    found = []
    for split, result in measured.splits.items():
        codec = next((one for one in result.codecs if one.codec == name), None)
        if codec is None:
            raise UnobservableError(f"corpus did not measure {name} on {split}")
        found.append(codec)
    return found


def _ratios_to_gzip(measured: _Measured, name: str) -> list[float]:
    pairs = zip(_codecs(measured, name), _codecs(measured, _GZIP), strict=True)
    return [codec.ratio / gzip.ratio for codec, gzip in pairs]


def _seconds(codec: CodecResult) -> statistics.Interval:
    """Interval of a codec's median time, sure enough for a quotient of two to decide."""
    return widest_median_interval(codec.seconds, 1 - (1 - MIN_LEVEL) / 2)


def _mean_over_splits(measured: _Measured, ratios: Sequence[float]) -> Interval:
    """Interval of the mean ratio of splits.

    Each is a ratio of sums over the many documents of a split, and so nearly normal.
    """
    if len(ratios) < 2:
        raise UnobservableError(f"{measured.name} has one split here; two are needed")
    return Interval.of(student(mean_of(ratios), MIN_LEVEL))


@method(
    1,
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
    """Share of lines that zstandard and a plain JSON parser read as documents."""
    measured = await _measured(claim, measurements)
    counts = [one.plain_parse for one in measured.splits.values()]
    lines = sum(one.lines for one in counts)
    parsed = sum(one.parsed for one in counts)
    if not lines:
        raise UnobservableError(f"{measured.name} has no lines here")
    note = f"{parsed:,} of {lines:,} lines were objects with a text."
    value = Value(parsed / lines, "share")
    interval = Interval.of(share_interval(parsed, lines, MIN_LEVEL))
    return measured.observed(value=value, interval=interval, n=lines, note=note)


@method(
    1,
    Measurement.STORAGE,
    Definition(
        aspect=Aspect.STORAGE,
        kind=Kind.NUMBER,
        unit="1",
        fact="compression-ratio",
        types=DATA,
        sample_decides=True,
        chance=Plausible(1, 10, logarithmic=True, least=0),
    ),
)
async def compression_ratio(claim: Claim, measurements: Measurements) -> Observation:
    """Size of the whole corpus's JSON lines over their compressed size.

    Of a sample, what its documents give is an estimate for the subsets that it holds. What the
    others would give is unknown, from nothing saved to everything: the interval allows for both,
    weighted by the published share of the subsets that are missing.
    """
    corpus, relation = await measurements.corpus(claim.artifact)
    description = await measurements.description(corpus)
    if relation is SubjectRelation.EXACT:
        packed = sum(one.stored_bytes for one in description.corpus.shards)
        ratio = sum(one.content_bytes for one in description.corpus.shards) / packed
        return Observation(
            value=Value(ratio, "1"),
            relation=relation,
            basis=Basis.MEASURED,
            subject_digest=corpus.ref.digest,
            subject=corpus_subject(corpus),
            n=len(description.corpus.shards),
            note=about(description, f"{packed / 1e9:,.4g} GB packed."),
        )
    measured = await _measured(claim, measurements)
    ratios = [one.ratio for one in _codecs(measured, _ZSTD)]
    interval = _mean_over_splits(measured, ratios)
    missing = _missing_share(description)
    bounds = Interval(
        1 / ((1 - missing) / max(interval.low, 1.0) + missing),
        interval.high / (1 - missing),
        interval.level,
    )
    note = (
        f"zstd at level 3. Subsets with {missing:.0%} of the whole text are not in the sample; "
        "the interval allows for any ratio of theirs."
    )
    value = Value(fmean(ratios), "1")
    return measured.observed(value=value, interval=bounds, n=len(ratios), note=note)


def _missing_share(description: CorpusDescription) -> float:
    """Return the published share of the text whose subsets have no document here."""
    published = [one for one in description.subsets if one.HasField("published")]
    total = sum(one.published.weight for one in published)
    missing = sum(one.published.weight for one in published if not one.documents)
    if not total or missing >= total:
        raise UnobservableError(f"no published subset is in {description.corpus.ref.name} here")
    return missing / total


@method(
    1,
    Measurement.STORAGE,
    Definition(
        aspect=Aspect.STORAGE,
        kind=Kind.NUMBER,
        unit="1",
        fact="ratio-against-gzip",
        types=DATA,
        sample_decides=True,
        chance=Plausible(0.8, 1.6, logarithmic=True, least=0),
    ),
)
async def ratio_against_gzip(claim: Claim, measurements: Measurements) -> Observation:
    """Compression ratio of zstd over gzip's, both at their defaults; a split is an observation."""
    measured = await _measured(claim, measurements)
    ratios = _ratios_to_gzip(measured, _ZSTD)
    interval = _mean_over_splits(measured, ratios)
    names = {codec.codec for one in measured.splits.values() for codec in one.codecs}
    others = sorted(names - {_GZIP, _ZSTD, "stored"})
    listed = ", ".join(f"{name} {fmean(_ratios_to_gzip(measured, name)):.3g}" for name in others)
    note = f"zstd at level 3 against gzip at 6. Other levels against the same gzip: {listed}."
    value = Value(fmean(ratios), "1")
    return measured.observed(value=value, interval=interval, n=len(ratios), note=note)


@method(
    1,
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
    ),
)
async def speed_against_gzip(claim: Claim, measurements: Measurements) -> Observation:
    """Decompression speed of zstd over gzip's, both at their default levels.

    The interval holds every split's.
    """
    measured = await _measured(claim, measurements)
    pairs = list(zip(_codecs(measured, _GZIP), _codecs(measured, _ZSTD), strict=True))
    interval = Interval.of(hull([quotient(_seconds(gzip), _seconds(zstd)) for gzip, zstd in pairs]))
    medians = [(median(gzip.seconds), median(zstd.seconds)) for gzip, zstd in pairs]
    ratio = fmean(gzip / zstd for gzip, zstd in medians)
    split, result = next(iter(measured.splits.items()))
    gzip, zstd = (result.sample_bytes / 1e6 / seconds for seconds in medians[0])
    note = (
        f"On {split}: {zstd:,.0f} MB a second against {gzip:,.0f}, one core; it holds "
        "for this hardware."
    )
    value = Value(ratio, "1")
    return measured.observed(value=value, interval=interval, n=len(pairs), note=note)


@method(
    1,
    Measurement.STORAGE,
    Definition(
        aspect=Aspect.STORAGE,
        kind=Kind.NUMBER,
        unit="1",
        fact="streaming",
        types=DATA,
        sample_decides=True,
        chance=Plausible(0.001, 10, logarithmic=True, least=0),
    ),
)
async def streaming_memory(claim: Claim, measurements: Measurements) -> Observation:
    """Growth of peak memory while shards are read as a stream, over the JSON lines that went by.

    A reader's buffers are of fixed size, so the ratio is an upper bound of what more text would
    give.
    """
    measured = await _measured(claim, measurements)
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
    bounds = Interval(0.0, ratio)
    return measured.observed(value=Value(ratio, "1"), interval=bounds, n=1, note=note)
