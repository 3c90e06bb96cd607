"""Refuses results outside physics, before they can become evidence.

Pure. A peer may be wrong, or lie; a number that cannot be is not kept, whoever sent it.
"""

from __future__ import annotations

import math

from services.ranker.peers.protocol import (
    AccuracyFigures,
    BpbFigures,
    CorpusFacts,
    ServedModel,
    SourceFacts,
    SpeedFigures,
    StorageFigures,
)

MEMORY_BANDWIDTH = 100_000.0
"""Megabytes a second that one core's memory traffic stays under on any machine of today."""

FASTEST_BATCH = 1e-6
"""Seconds: less than it takes to start a kernel, let alone run a network."""

GREATEST_RATIO = 1_000_000.0
"""Compression that no text and no codec here comes near."""

LOST_BITS = 1e-9
"""Relative slack for sums that were added in another order."""


class ImplausibleError(ValueError):
    """A result that cannot be; the message says who sent what, and which limit it breaks."""


def check_model(model: ServedModel) -> None:
    """Refuse a description whose counts contradict each other. Raises `ImplausibleError`."""
    agreement = model.label_agreement
    if agreement is not None and not 0 <= agreement <= 1:
        raise ImplausibleError(f"segment says that {agreement} of {model.name}'s labels agree")
    if model.facts is not None:
        _check_facts(model.name, model.facts)


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
        raise ImplausibleError(f"segment says that {name}'s logits have shape {facts.logits_shape}")


def check_accuracy(figures: AccuracyFigures, pictures: int) -> None:
    """Refuse shares that are none, and pictures that were not sent. Raises `ImplausibleError`."""
    if figures.pictures != pictures:
        raise ImplausibleError(
            f"segment says that it compared {figures.pictures} pictures of the {pictures} sent"
        )
    for share in (figures.mean_iou, figures.pixel_accuracy):
        if not 0 <= share <= 1:
            raise ImplausibleError(f"segment says that a share of {share} of the labels is right")


def check_speed(figures: SpeedFigures) -> None:
    """Refuse times that no machine has. Raises `ImplausibleError`."""
    runs = [seconds for process in figures.seconds for seconds in process]
    if len(runs) < 3:
        raise ImplausibleError(
            f"segment timed {len(runs)} runs; three are the least that say anything"
        )
    for seconds in runs:
        if not math.isfinite(seconds) or seconds < FASTEST_BATCH:
            raise ImplausibleError(f"segment says that a batch took {seconds} s")


def check_corpus(facts: CorpusFacts) -> None:
    """Refuse counts that contradict each other. Raises `ImplausibleError`."""
    name = facts.corpus.name
    if sum(one.documents for one in facts.subsets if one.name) > facts.documents:
        raise ImplausibleError(
            f"corpus says that the subsets of {name} have more documents than it has"
        )
    if max(facts.documents_without_subset, facts.duplicate_documents) > facts.documents:
        raise ImplausibleError(f"corpus counts more documents of one kind in {name} than it has")
    for shard in facts.shards:
        _check_ratio(f"shard {shard.path}", _quotient(shard.jsonl_bytes, shard.compressed_bytes))


def check_storage(figures: StorageFigures) -> None:
    """Refuse ratios and speeds that no codec has. Raises `ImplausibleError`."""
    megabytes = figures.sample_bytes / 1e6
    for name, codec in figures.codecs.items():
        _check_ratio(name, codec.ratio)
        if len(codec.seconds) < 3:
            raise ImplausibleError(f"corpus timed {name} {len(codec.seconds)} times; three are due")
        for seconds in codec.seconds:
            if not (0 < seconds < math.inf) or megabytes / seconds > MEMORY_BANDWIDTH:
                raise ImplausibleError(
                    f"corpus says that {name} decompresses {megabytes:,.4g} MB in {seconds} s on "
                    f"one core; memory is not faster than {MEMORY_BANDWIDTH:,.0f} MB a second"
                )
    if not 0 <= figures.lines_parsed <= figures.lines:
        raise ImplausibleError(f"corpus parsed {figures.lines_parsed} of {figures.lines} lines")


def check_score(figures: BpbFigures) -> None:
    """Refuse a likelihood above one, and totals that the subsets do not add up to.

    Raises `ImplausibleError`.
    """
    scores = (figures.overall, *figures.subsets.values())
    for one in scores:
        if not math.isfinite(one.nats) or one.nats < 0:
            raise ImplausibleError(
                f"corpus says that {figures.model} needs {one.nats} nats for a text"
            )
        if one.text_bytes:
            bits = one.nats / (math.log(2) * one.text_bytes)
            if not math.isclose(bits, one.bits_per_byte, rel_tol=1e-6, abs_tol=LOST_BITS):
                raise ImplausibleError(
                    f"corpus says {one.bits_per_byte} bits per byte where its sums give {bits}"
                )
    nats = math.fsum(one.nats for one in figures.subsets.values())
    if figures.subsets and not math.isclose(nats, figures.overall.nats, rel_tol=1e-6):
        raise ImplausibleError(
            f"corpus says that {figures.model} needs {figures.overall.nats} nats overall and "
            f"{nats} over the subsets"
        )


def _check_ratio(what: str, ratio: float) -> None:
    if not 0 < ratio <= GREATEST_RATIO:
        raise ImplausibleError(f"corpus says that {what} compresses {ratio} to 1")


def _quotient(above: int, below: int) -> float:
    return above / below if below else math.inf
