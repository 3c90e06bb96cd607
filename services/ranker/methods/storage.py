"""Compression and reading of a corpus's shards, from what corpus measured on them.

Corpus measures a stretch of each split; figures are taken over the splits, so that their spread
shows how much they depend on the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from services.ranker.evidence import Observation
from services.ranker.intervals import hull, quotient, share, student
from services.ranker.methods.composition import about
from services.ranker.methods.registration import Measurement, method
from services.ranker.model import Basis, Claim, Interval, SubjectRelation, Value
from services.ranker.peers import Codec, ServedCorpus, StorageFigures
from services.ranker.probes import Probes, UnobservableError

_OWN = "stored"
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
                f"Measured on {size / 1e6:,.3g} MB of {self.corpus.name} "
                f"({self.corpus.kind.value.lower()}), splits "
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


@method(1, Measurement.CORPUS_FACTS)
async def compression_ratio(claim: Claim, probes: Probes) -> Observation:
    """Size of the JSON lines over that of the shards; each shard is one observation."""
    corpus, relation = await probes.corpus(claim.artifact)
    facts = await probes.holdings(corpus)
    ratios = [one.jsonl_bytes / one.compressed_bytes for one in facts.shards]
    interval = student(ratios)
    if interval is None:
        raise UnobservableError(
            f"{corpus.name} has {len(ratios)} shard here; two are needed to see how they differ"
        )
    listed = ", ".join(f"{one:.3g}" for one in ratios)
    return Observation(
        value=Value(fmean(ratios), "1"),
        # Sizes of the shards that are here: of a whole corpus they are exact, and a sample's else.
        relation=relation,
        basis=Basis.MEASURED,
        subject_digest=corpus.digest,
        interval=interval,
        n=len(ratios),
        note=about(facts, f"By shard: {listed}."),
    )


@method(1, Measurement.STORAGE)
async def ratio_against_gzip(claim: Claim, probes: Probes) -> Observation:
    """The shards' own compression ratio over gzip's; each split is one observation."""
    measured = await _measured(claim, probes)
    figures = measured.splits
    ratios = [_codec(one, _OWN).ratio / _codec(one, _GZIP).ratio for one in figures]
    interval = student(ratios)
    if interval is None:
        raise UnobservableError(f"{measured.corpus.name} has one split here; two are needed")
    others = sorted({name for one in figures for name in one.codecs} - {_GZIP, _OWN})
    listed = ", ".join(
        f"{name} {fmean(_codec(one, name).ratio / _codec(one, _GZIP).ratio for one in figures):.3g}"
        for name in others
    )
    note = f"The shards' own level against gzip at 6. Other levels against gzip: {listed}."
    value = Value(fmean(ratios), "1")
    return measured.observed(value=value, interval=interval, n=len(ratios), note=note)


@method(1, Measurement.STORAGE)
async def speed_against_gzip(claim: Claim, probes: Probes) -> Observation:
    """Decompression speed of the shards' own codec over gzip's.

    The interval holds every split's.
    """
    measured = await _measured(claim, probes)
    figures = measured.splits
    interval = hull(
        [quotient(_codec(one, _OWN).interval, _codec(one, _GZIP).interval) for one in figures]
    )
    speeds = [
        (_codec(one, _OWN).megabytes_per_second, _codec(one, _GZIP).megabytes_per_second)
        for one in figures
    ]
    ratio = fmean(own / gzip for own, gzip in speeds)
    own, gzip = speeds[0]
    note = (
        f"On {figures[0].split}: {own:,.0f} MB a second against {gzip:,.0f}, one core; it holds "
        "for this hardware."
    )
    value = Value(ratio, "1")
    return measured.observed(value=value, interval=interval, n=len(figures), note=note)


@method(1, Measurement.STORAGE)
async def streaming_memory(claim: Claim, probes: Probes) -> Observation:
    """Growth of peak memory while a shard is read, over the size of the shard's JSON lines.

    A reader's buffers are of fixed size, so on a shard that is not much larger than they are the
    ratio is an upper bound of what a large one would give.
    """
    measured = await _measured(claim, probes)
    figures = measured.splits
    largest = max(figures, key=lambda one: one.shard_jsonl_bytes)
    if not largest.shard_jsonl_bytes:
        raise UnobservableError(f"{measured.corpus.name} has no shard with documents here")
    ratio = largest.shard_peak_growth_bytes / largest.shard_jsonl_bytes
    note = (
        f"{largest.shard_peak_growth_bytes / 1e6:.3g} MB of growth for a shard of "
        f"{largest.shard_jsonl_bytes / 1e6:.3g} MB; buffers of fixed size included, so an upper "
        "bound."
    )
    bounds = Interval(0.0, ratio)
    return measured.observed(value=Value(ratio, "1"), interval=bounds, n=1, note=note)
