"""Builds the contract's messages from the core's values."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from assay.common.v1 import common_pb2
from assay.corpus.v1 import corpus_pb2 as pb
from google.protobuf import duration_pb2

from services.common.median import Interval
from services.corpus.api.bpb_requests import PREFIXES, PRESETS
from services.corpus.bpb.definition import Definition
from services.corpus.bpb.difference import Difference
from services.corpus.bpb.figures import Score
from services.corpus.bpb.jobs import Comparison, Final
from services.corpus.bpb.models.choice import Loaded
from services.corpus.bpb.models.language_model import ModelInfo
from services.corpus.bpb.published import published_for
from services.corpus.bpb.scoring import Running
from services.corpus.catalog import published

_PILE_WEIGHTS = {name: row.weight for name, row in published.SUBSETS.items()}

_PRESET_OF = {value: key for key, value in PRESETS.items()}
_PREFIX_OF = {value: key for key, value in PREFIXES.items()}


def definition(value: Definition) -> pb.Definition:
    """Spell a definition out."""
    return pb.Definition(
        preset=_PRESET_OF[value.preset],
        max_length=value.max_length,
        prefix=_PREFIX_OF[value.prefix],
        special_tokens=value.special_tokens,
        context_length=value.context_length,
        stride=value.stride,
        prefix_token=value.prefix_token,
    )


def language_model(info: ModelInfo) -> pb.LanguageModel:
    """Describe a model."""
    return pb.LanguageModel(
        ref=model_ref(info),
        architecture=info.architecture,
        max_length=info.max_length,
        parameters=info.parameters,
        license=common_pb2.License(
            id=info.license.id,
            name=info.license.name,
            url=info.license.url,
            research_only=info.license.research_only,
        ),
        reference=info.reference,
        engine=info.engine,
    )


def model_ref(info: ModelInfo) -> common_pb2.ModelRef:
    """Name a model in a reply."""
    return common_pb2.ModelRef(name=info.name, version=info.version, digest=info.digest)


def running(value: Running) -> pb.RunningScore:
    """Figures so far, as a message."""
    message = pb.RunningScore(
        overall=_score(value.overall),
        subsets=_subsets(value.subsets),
        documents_total=value.documents_total,
        tokens_per_second=value.tokens_per_second,
        documents_restored=value.documents_restored,
        model=value.model,
    )
    if value.seconds_left is not None:
        message.time_left.CopyFrom(_duration(value.seconds_left))
    return message


def final(
    value: Final, corpus: pb.CorpusRef | None, environment: common_pb2.Environment
) -> pb.FinalScore:
    """Final figures, as a message."""
    figures = value.figures
    macro, weighted = figures.macro, figures.weighted(_PILE_WEIGHTS)
    printed = published_for(value.model)
    message = pb.FinalScore(
        corpus=corpus,
        model=model_ref(value.model),
        definition=None if value.definition is None else definition(value.definition),
        overall=_score(figures.overall),
        subsets=_subsets(figures.subsets, printed.subsets if printed else {}),
        macro_bits_per_byte=macro.bits_per_byte,
        macro_interval=_interval(macro.interval),
        not_round_tripping=_score(figures.not_round_tripping),
        not_round_tripping_ids=figures.not_round_tripping_ids,
        environment=environment,
        engine=value.model.engine,
        cached=value.cached,
    )
    if value.loaded is not None:
        message.compute.CopyFrom(_compute_report(value.loaded))
    if weighted.weight:
        message.pile_weighted.CopyFrom(
            pb.WeightedScore(
                bits_per_byte=weighted.bits_per_byte,
                interval=_interval(weighted.interval),
                weight=min(1.0, weighted.weight),
            )
        )
    if printed:
        message.published.CopyFrom(
            pb.PublishedScore(
                model=printed.model, source=printed.source, bits_per_byte=printed.overall
            )
        )
    return message


def comparison(
    value: Comparison, corpus: pb.CorpusRef, environment: common_pb2.Environment
) -> pb.BPBComparison:
    """Two models' figures and their difference, as a message."""
    found = value.differences
    return pb.BPBComparison(
        model=final(value.model, corpus, environment),
        against=final(value.against, corpus, environment),
        overall=_difference(found.overall),
        subsets=[
            pb.SubsetDifference(subset=name, difference=_difference(one))
            for name, one in found.subsets.items()
        ],
        documents_left_out=found.left_out,
    )


def texts(value: Final, environment: common_pb2.Environment) -> pb.ScoreTextsResponse:
    """Figures of texts, as a message."""
    return pb.ScoreTextsResponse(
        final=final(value, None, environment),
        texts=[
            pb.TextScore(
                score=_score(Score(one.nats, one.text_bytes, one.tokens, 1)),
                round_trips=one.round_trips,
            )
            for one in value.scores
        ],
    )


def _compute_report(loaded: Loaded) -> pb.ComputeReport:
    return pb.ComputeReport(
        engine=loaded.engine,
        precision=pb.Precision.Value(f"PRECISION_{loaded.precision.name}"),
        compared_tokens=loaded.shift.tokens,
        mean_shift_nats=loaded.shift.mean,
        largest_shift_nats=loaded.shift.largest,
    )


def _difference(value: Difference) -> pb.BPBDifference:
    return pb.BPBDifference(
        bits_per_byte=value.bits_per_byte,
        interval=_interval(value.interval),
        model=_score(value.model),
        against=_score(value.against),
    )


def _score(value: Score) -> pb.Score:
    return pb.Score(
        nats=value.nats,
        text_bytes=value.text_bytes,
        tokens=value.tokens,
        documents=value.documents,
        bits_per_byte=value.bits_per_byte,
        nats_per_token=value.nats_per_token,
        bytes_per_token=value.bytes_per_token,
        interval=_interval(value.interval),
    )


def _interval(value: Interval | None) -> common_pb2.Interval | None:
    if value is None:
        return None
    return common_pb2.Interval(low=value.low, high=value.high, level=value.level)


def _subsets(
    values: Mapping[str, Score], printed: Mapping[str, float] = MappingProxyType({})
) -> list[pb.SubsetScore]:
    return [
        pb.SubsetScore(subset=name, score=_score(value), published_bits_per_byte=printed.get(name))
        for name, value in values.items()
    ]


def _duration(seconds: float) -> duration_pb2.Duration:
    result = duration_pb2.Duration()
    result.FromNanoseconds(round(max(0.0, seconds) * 1e9))
    return result
