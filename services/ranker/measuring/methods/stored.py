"""Corpus's measurements of a corpus's storage: by codec and split, and how much is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.common.percent import percent
from services.common.statistics.estimate import mean_of
from services.common.statistics.student import student
from services.ranker.claims.bounds import Interval, Value
from services.ranker.claims.choosing import MIN_LEVEL
from services.ranker.claims.definition import USUAL_DATASET
from services.ranker.claims.evidence import Observation
from services.ranker.claims.findings import UnmeasuredReason
from services.ranker.claims.model import Basis, Claim, SubjectRelation
from services.ranker.measuring.measurements import Measurements
from services.ranker.measuring.methods.composition import of_the_rest
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

# Both tools at their default levels. The shards here may have been recompressed at another level,
# so "stored" says nothing about the claim.
ZSTD = "zstd-3"
GZIP = "gzip-6"


@dataclass(frozen=True)
class Measured:
    """The measured corpus, its relation to the claim's, and the findings by split.

    `whole` says that it is the claim's and that all of it was read; `elsewhere` is how many of its
    stated files are not here.
    """

    corpus: CorpusSummary
    relation: SubjectRelation
    splits: Mapping[str, StorageResult]
    whole: bool
    elsewhere: int = 0

    @property
    def of_it(self) -> SubjectRelation:
        """Relation of the text read to the claim: a stretch of a whole corpus is a sample."""
        exact = self.relation is SubjectRelation.EXACT
        return SubjectRelation.SAMPLE if exact and not self.whole else self.relation

    @property
    def name(self) -> str:
        """The name under which corpus serves it."""
        return self.corpus.ref.name

    def observed(
        self, *, value: Value, interval: Interval, n: int, note: str, conditions: str = ""
    ) -> Observation:
        """Return an observation of it, which says what was read.

        A part that lacks stated files bounds nothing: it was not drawn at random.
        """
        results = list(self.splits.values())
        if self.elsewhere:
            interval = Interval(0.0, math.inf)
            rest = of_the_rest(self.elsewhere)
            conditions = rest if conditions in ("", rest) else f"{conditions}; {rest}"
        size = sum(one.sample_bytes for one in results)
        return Observation(
            value=value,
            relation=self.of_it,
            basis=Basis.MEASURED,
            subject_digest=self.corpus.ref.digest,
            subject={**corpus_subject(self.corpus, self.of_it), "splits": list(self.splits)},
            interval=interval,
            n=n,
            environment=environment(results[0].environment),
            conditions=conditions,
            note=(
                f"Measured on {size / 1e6:,.3g} MB of "
                f"{corpus_label(self.corpus)}, splits "
                f"{', '.join(self.splits)}. {note}"
            ),
        )


async def measured_on(claim: Claim, measurements: Measurements) -> Measured:
    """Return corpus's measurements for a claim's artifact. Raises `UnobservableError`."""
    corpus, relation = await measurements.corpus(claim.artifact)
    splits = await measurements.storage(corpus)
    if not splits:
        raise UnobservableError(f"{corpus.ref.name} has no split here")
    if relation is not SubjectRelation.EXACT:
        elsewhere = await measurements.files_elsewhere(claim.artifact)
        return Measured(corpus, relation, splits, whole=False, elsewhere=elsewhere)
    description = await measurements.description(corpus)
    return Measured(corpus, relation, splits, whole=_read(splits, description) == 1)


def _read(splits: Mapping[str, StorageResult], description: CorpusDescription) -> float:
    """Return the share of the served text that was read."""
    content = sum(one.content_bytes for one in description.corpus.shards)
    read = sum(one.sample_bytes for one in splits.values())
    return min(1.0, read / content) if content else 1.0


def codecs_of(measured: Measured, name: str) -> list[CodecResult]:
    """Return what was measured of a codec on each split."""
    found = []
    for split, result in measured.splits.items():
        codec = next((one for one in result.codecs if one.codec == name), None)
        if codec is None:
            raise UnobservableError(f"corpus did not measure {name} on {split}")
        found.append(codec)
    return found


def ratios_to_gzip(measured: Measured, name: str) -> list[float]:
    """Return a codec's ratio over gzip's on each split."""
    pairs = zip(codecs_of(measured, name), codecs_of(measured, GZIP), strict=True)
    return [codec.ratio / gzip.ratio for codec, gzip in pairs]


def mean_over_splits(measured: Measured, ratios: Sequence[float]) -> Interval:
    """Interval of the mean ratio of splits.

    Each is a ratio of sums over the many documents of a split, and so nearly normal.
    """
    if len(ratios) < 2:
        raise UnobservableError(f"{measured.name} has one split here; two are needed")
    return Interval.of(student(mean_of(ratios), MIN_LEVEL))


def of_part(open_share: float, interval: Interval) -> str:
    """Describe the part of the text that was read, if some was not."""
    if not open_share:
        return ""
    return (
        f"; of the {percent(1 - open_share)} of the text that is here and was read "
        f"{interval.low:.3g} to {interval.high:.3g}, of the rest any"
    )


def open_share(claim: Claim, measured: Measured, description: CorpusDescription) -> float:
    """Return the share of a corpus's text that was not seen: missing here, or not read.

    A stretch is read from the start of each split, so it is not a random draw either.
    """
    missing = missing_share(claim, measured.relation, description)
    return 1 - (1 - missing) * _read(measured.splits, description)


def missing_share(claim: Claim, relation: SubjectRelation, description: CorpusDescription) -> float:
    """Return the published share of the text whose subsets have no document here.

    Raises `UnobservableError` for a part of a corpus of which no shares are published.
    """
    if relation is SubjectRelation.EXACT:
        return 0.0
    if claim.artifact != USUAL_DATASET:
        if relation is SubjectRelation.NAMED:
            return 0.0  # it is shown as what it is, and decides nothing
        raise UnobservableError(
            f"the manifest states files of {claim.artifact}, and not how much of it they are",
            UnmeasuredReason.DATA_MISSING,
            "state the digest of the whole corpus, and serve that",
        )
    published = [one for one in description.subsets if one.HasField("published")]
    total = sum(one.published.weight for one in published)
    missing = sum(one.published.weight for one in published if not one.documents)
    if not total or missing >= total:
        raise UnobservableError(f"no published subset is in {description.corpus.ref.name} here")
    return missing / total
