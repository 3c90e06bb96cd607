"""Compression and reading of a corpus's shards, from what corpus measured on them.

Corpus measures a stretch of each split; figures are taken over the splits, so that their spread
shows how much they depend on the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, median

from services.ranker.claims.evidence import Observation
from services.ranker.claims.model import Basis, Claim, Interval, SubjectRelation, Value
from services.ranker.measuring.intervals import (
    LEVEL,
    hull,
    order_statistics,
    quotient,
    share,
    student,
)
from services.ranker.measuring.methods.composition import about
from services.ranker.measuring.methods.registration import Measurement, method
from services.ranker.measuring.probes import Probes, UnobservableError
from services.ranker.peers.protocol import Codec, CorpusFacts, ServedCorpus, StorageFigures

# Both tools at their default levels; The Pile's official shards have zstd's. The shards that are
# here may have been packed anew at another level, so what is "stored" says nothing of the claim.
_ZSTD = "zstd-3"
_GZIP = "gzip-6"


@dataclass(frozen=True)
class _Measured:
    """The corpus that was measured, how near it is to the claim's, and what was found by split."""

    corpus: ServedCorpus
    relation: SubjectRelation
    splits: tuple[StorageFigures, ...]

    def observed(self, *, value: Value, interval: Interval, n: int, note: str) -> Observation:
        size = sum(one.sample_bytes for one in self.splits)
        return Observation(
            value=value,
            relation=self.relation,
            basis=Basis.MEASURED,
            subject_digest=self.corpus.digest,
            interval=interval,
            n=n,
            environment=self.splits[0].environment,
            note=(
                f"Measured on {size / 1e6:,.3g} MB of {self.corpus.label}, splits "
                f"{', '.join(one.split for one in self.splits)}. {note}"
            ),
        )


async def _measured(claim: Claim, probes: Probes) -> _Measured:
    corpus, relation = await probes.corpus(claim.artifact)
    splits = tuple(await probes.storage(corpus))
    if not splits:
        raise UnobservableError(f"{corpus.name} has no split here")
    # A stretch of a whole corpus is a sample of it.
    if relation is SubjectRelation.EXACT:
        relation = SubjectRelation.SAMPLE
    return _Measured(corpus, relation, splits)


def _codec(figures: StorageFigures, name: str) -> Codec:
    if name not in figures.codecs:
        raise UnobservableError(f"corpus did not measure {name} on {figures.split}")
    return figures.codecs[name]


def _seconds(figures: StorageFigures, name: str) -> Interval:
    """Interval of a codec's median time, sure enough for a quotient of two to hold LEVEL."""
    return order_statistics(_codec(figures, name).seconds, 1 - (1 - LEVEL) / 2)


@method(1, Measurement.STORAGE)
async def plain_parse_share(claim: Claim, probes: Probes) -> Observation:
    """Share of lines that zstandard and a plain JSON parser read as documents."""
    measured = await _measured(claim, probes)
    figures = measured.splits
    lines = sum(one.lines for one in figures)
    parsed = sum(one.lines_parsed for one in figures)
    if not lines:
        raise UnobservableError(f"{measured.corpus.name} has no lines here")
    note = f"{parsed:,} of {lines:,} lines were objects with a text."
    value = Value(parsed / lines, "share")
    return measured.observed(value=value, interval=share(parsed, lines), n=lines, note=note)


@method(1, Measurement.STORAGE)
async def compression_ratio(claim: Claim, probes: Probes) -> Observation:
    """Size of the whole corpus's JSON lines over their compressed size.

    Of a sample, what its documents give is an estimate for the subsets that it holds. What the
    others would give is unknown, from nothing saved to everything: the interval allows for both,
    weighted by the published share of the subsets that are missing.
    """
    corpus, relation = await probes.corpus(claim.artifact)
    facts = await probes.holdings(corpus)
    if relation is SubjectRelation.EXACT:
        packed = sum(one.compressed_bytes for one in facts.shards)
        ratio = sum(one.jsonl_bytes for one in facts.shards) / packed
        return Observation(
            value=Value(ratio, "1"),
            relation=relation,
            basis=Basis.MEASURED,
            subject_digest=corpus.digest,
            n=len(facts.shards),
            note=about(facts, f"{packed / 1e9:,.4g} GB packed."),
        )
    measured = await _measured(claim, probes)
    ratios = [_codec(one, _ZSTD).ratio for one in measured.splits]
    interval = student(ratios)
    if interval is None:
        raise UnobservableError(f"{corpus.name} has one split here; two are needed")
    missing = _missing_share(facts)
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


def _missing_share(facts: CorpusFacts) -> float:
    """Return the published share of the text whose subsets have no document here."""
    published = [one for one in facts.subsets if one.published_share is not None]
    total = sum(one.published_share or 0.0 for one in published)
    missing = sum(one.published_share or 0.0 for one in published if not one.documents)
    if not total or missing >= total:
        raise UnobservableError(f"no published subset is in {facts.corpus.name} here")
    return missing / total


@method(1, Measurement.STORAGE)
async def ratio_against_gzip(claim: Claim, probes: Probes) -> Observation:
    """Compression ratio of zstd over gzip's, both at their defaults; a split is an observation."""
    measured = await _measured(claim, probes)
    figures = measured.splits
    ratios = [_codec(one, _ZSTD).ratio / _codec(one, _GZIP).ratio for one in figures]
    interval = student(ratios)
    if interval is None:
        raise UnobservableError(f"{measured.corpus.name} has one split here; two are needed")
    others = sorted({name for one in figures for name in one.codecs} - {_GZIP, _ZSTD, "stored"})
    listed = ", ".join(
        f"{name} {fmean(_codec(one, name).ratio / _codec(one, _GZIP).ratio for one in figures):.3g}"
        for name in others
    )
    note = f"zstd at level 3 against gzip at 6. Other levels against the same gzip: {listed}."
    value = Value(fmean(ratios), "1")
    return measured.observed(value=value, interval=interval, n=len(ratios), note=note)


@method(1, Measurement.STORAGE)
async def speed_against_gzip(claim: Claim, probes: Probes) -> Observation:
    """Decompression speed of zstd over gzip's, both at their default levels.

    The interval holds every split's.
    """
    measured = await _measured(claim, probes)
    figures = measured.splits
    interval = hull([quotient(_seconds(one, _GZIP), _seconds(one, _ZSTD)) for one in figures])
    medians = [
        (median(_codec(one, _GZIP).seconds), median(_codec(one, _ZSTD).seconds)) for one in figures
    ]
    ratio = fmean(gzip / zstd for gzip, zstd in medians)
    gzip, zstd = (figures[0].sample_bytes / 1e6 / seconds for seconds in medians[0])
    note = (
        f"On {figures[0].split}: {zstd:,.0f} MB a second against {gzip:,.0f}, one core; it holds "
        "for this hardware."
    )
    value = Value(ratio, "1")
    return measured.observed(value=value, interval=interval, n=len(figures), note=note)


@method(1, Measurement.STORAGE)
async def streaming_memory(claim: Claim, probes: Probes) -> Observation:
    """Growth of peak memory while shards are read as a stream, over the JSON lines that went by.

    A reader's buffers are of fixed size, so the ratio is an upper bound of what more text would
    give.
    """
    measured = await _measured(claim, probes)
    figures = measured.splits
    largest = max(figures, key=lambda one: one.streamed_bytes)
    if not largest.streamed_bytes:
        raise UnobservableError(f"{measured.corpus.name} has no shard with documents here")
    ratio = largest.streaming_growth_bytes / largest.streamed_bytes
    note = (
        f"{largest.streaming_growth_bytes / 1e6:.3g} MB of growth while "
        f"{largest.streamed_bytes / 1e6:.3g} MB went by; buffers of fixed size included, so an "
        "upper bound."
    )
    bounds = Interval(0.0, ratio)
    return measured.observed(value=Value(ratio, "1"), interval=bounds, n=1, note=note)
