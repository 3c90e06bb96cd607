"""Refuses physically impossible results, before they can become evidence.

Pure. A peer may be wrong, or lie; an impossible number is not kept, whoever sent it.
"""

from __future__ import annotations

import math

from services.ranker.peers.protocol import (
    SAMPLE_UNIT_UNSPECIFIED,
    Accuracy,
    BenchmarkResult,
    BitsPerByte,
    CorpusAudit,
    CorpusDescription,
    FinalScore,
    Model,
    SourceFacts,
    StorageResult,
)

MAX_MEGABYTES_PER_SECOND = 100_000.0
"""Megabytes a second that one core's memory traffic cannot reach on any machine of today."""

MIN_BATCH_SECONDS = 1e-6
"""Seconds: less than it takes to start a kernel, let alone run a network."""

MAX_COMPRESSION_RATIO = 1_000_000.0
"""A compression ratio far above that of any text and codec here."""

SUM_TOLERANCE = 1e-9
"""Relative slack for sums that were added in another order."""


class ImplausibleError(ValueError):
    """An impossible result; the message says who sent it, and which limit it breaks."""


def check_model(model: Model) -> None:
    """Refuse a description whose counts contradict each other. Raises `ImplausibleError`."""
    name, agreement = model.ref.name, model.parity.label_agreement
    if not 0 <= agreement <= 1:
        raise ImplausibleError(f"segment says that {agreement} of {name}'s labels agree")
    if model.HasField("source_facts"):
        _check_facts(name, model.source_facts)


def _check_facts(name: str, facts: SourceFacts) -> None:
    parts = sum(facts.parameters_by_part.values())
    if facts.parameters < 1 or parts > facts.parameters:
        raise ImplausibleError(
            f"segment says that {name} has {facts.parameters:,} parameters and that its parts have "
            f"{parts:,}"
        )
    if any(min(one.depth, one.width, one.downsampling) < 1 for one in facts.stages):
        raise ImplausibleError(f"segment says that {name} has an encoder stage without size")
    if len(facts.logits_shape) != 4 or min(facts.logits_shape) < 1:
        raise ImplausibleError(
            f"segment says that {name}'s logits have shape {tuple(facts.logits_shape)}"
        )


def check_accuracy(accuracy: Accuracy, pictures: int) -> None:
    """Refuse invalid shares, and pictures that were not sent. Raises `ImplausibleError`."""
    if accuracy.pictures != pictures:
        raise ImplausibleError(
            f"segment says that it compared {accuracy.pictures} pictures of the {pictures} sent"
        )
    for share in (accuracy.mean_iou, accuracy.pixel_accuracy):
        if not 0 <= share <= 1:
            raise ImplausibleError(f"segment says that a share of {share} of the labels is right")


def check_speed(result: BenchmarkResult) -> None:
    """Refuse times that no machine has. Raises `ImplausibleError`."""
    timed = (*result.samples, *result.paired.samples)
    runs = [seconds for process in timed for seconds in process.seconds]
    if len(runs) < 3:
        raise ImplausibleError(
            f"segment timed {len(runs)} runs; three are the least that say anything"
        )
    for seconds in runs:
        if not math.isfinite(seconds) or seconds < MIN_BATCH_SECONDS:
            raise ImplausibleError(f"segment says that a batch took {seconds} s")
    if result.restart_records and len(result.restart_records) != len(result.samples):
        raise ImplausibleError(
            f"segment describes {len(result.restart_records)} of {len(result.samples)} processes"
        )
    for record in result.restart_records:
        load = record.load
        seen = (load.others_cores, load.allowed_others_cores, load.kernel_ratio, load.steal)
        if not all(math.isfinite(one) and one >= 0 for one in seen):
            raise ImplausibleError(f"segment says that a machine's load was {seen}")


def check_corpus(description: CorpusDescription) -> None:
    """Refuse counts that contradict each other. Raises `ImplausibleError`."""
    name = description.corpus.ref.name
    if sum(one.documents for one in description.subsets if one.name) > description.documents:
        raise ImplausibleError(
            f"corpus says that the subsets of {name} have more documents than it has"
        )
    if (
        max(description.documents_without_subset, description.duplicate_documents)
        > description.documents
    ):
        raise ImplausibleError(f"corpus counts more documents of one kind in {name} than it has")
    for shard in description.corpus.shards:
        _check_ratio(f"shard {shard.path}", _quotient(shard.content_bytes, shard.stored_bytes))


def check_audit(audit: CorpusAudit, description: CorpusDescription) -> None:
    """Refuse counts that contradict each other. Raises `ImplausibleError`."""
    documents, personal = audit.whole.documents, audit.whole.personal
    if documents > description.documents or audit.near_documents > documents:
        raise ImplausibleError(
            f"corpus says that it audited {documents:,} documents and compared "
            f"{audit.near_documents:,} of {description.documents:,}"
        )
    if personal.documents > documents or audit.near.documents > audit.near_documents:
        raise ImplausibleError("corpus counts more documents of one kind than it audited")


def check_storage(result: StorageResult) -> None:
    """Refuse ratios and speeds that no codec has. Raises `ImplausibleError`."""
    megabytes = result.sample_bytes / 1e6
    for codec in result.codecs:
        name = codec.codec
        _check_ratio(name, codec.ratio)
        if len(codec.seconds) < 3:
            raise ImplausibleError(f"corpus timed {name} {len(codec.seconds)} times; three are due")
        for seconds in codec.seconds:
            if not (0 < seconds < math.inf) or megabytes / seconds > MAX_MEGABYTES_PER_SECOND:
                raise ImplausibleError(
                    f"corpus says that {name} decompresses {megabytes:,.4g} MB in {seconds} s on "
                    f"one core; memory is not faster than {MAX_MEGABYTES_PER_SECOND:,.0f} MB a "
                    "second"
                )
        if codec.tool_seconds and len(codec.tool_seconds) != len(codec.seconds):
            raise ImplausibleError(
                f"corpus timed {name}'s tool {len(codec.tool_seconds)} times of "
                f"{len(codec.seconds)}"
            )
        if not all(math.isfinite(one) and one >= 0 for one in codec.tool_seconds):
            raise ImplausibleError(f"corpus says that {name}'s tool took less than no time")
    lines = result.plain_parse
    if lines.parsed > lines.lines:
        raise ImplausibleError(f"corpus parsed {lines.parsed} of {lines.lines} lines")


def check_score(score: FinalScore) -> None:
    """Refuse a likelihood above one, and totals that the subsets do not add up to.

    Raises `ImplausibleError`.
    """
    by_subset = [one.score for one in score.subsets]
    for one in (score.overall, *by_subset):
        if not math.isfinite(one.nats) or one.nats < 0:
            raise ImplausibleError(
                f"corpus says that {score.model.name} needs {one.nats} nats for a text"
            )
        sampled = one.basis.unit != SAMPLE_UNIT_UNSPECIFIED
        if sampled and one.HasField("bits_per_byte"):
            _check_estimate(score.model.name, one)
        elif one.text_bytes:
            bits = one.nats / (math.log(2) * one.text_bytes)
            if not math.isclose(bits, one.bits_per_byte, rel_tol=1e-6, abs_tol=SUM_TOLERANCE):
                raise ImplausibleError(
                    f"corpus says {one.bits_per_byte} bits per byte where its sums give {bits}"
                )
    nats = math.fsum(one.nats for one in by_subset)
    if by_subset and not math.isclose(nats, score.overall.nats, rel_tol=1e-6):
        raise ImplausibleError(
            f"corpus says that {score.model.name} needs {score.overall.nats} nats overall and "
            f"{nats} over the subsets"
        )


def _check_estimate(model: str, one: BitsPerByte) -> None:
    """Check an estimate for all documents, which differs from the sample's sums."""
    bits = one.bits_per_byte
    ends = (one.interval.low, one.interval.high) if one.HasField("interval") else (bits, bits)
    if not all(map(math.isfinite, (bits, *ends))) or not ends[0] <= bits <= ends[1] or bits < 0:
        raise ImplausibleError(f"corpus says that {model} needs {bits} bits per byte, of {ends}")


def _check_ratio(what: str, ratio: float) -> None:
    if not 0 < ratio <= MAX_COMPRESSION_RATIO:
        raise ImplausibleError(f"corpus says that {what} compresses {ratio} to 1")


def _quotient(above: int, below: int) -> float:
    return above / below if below else math.inf
