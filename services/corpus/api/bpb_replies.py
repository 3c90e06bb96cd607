"""Bits per byte as messages: models, running and final figures, differences."""

from __future__ import annotations

from collections.abc import Mapping

from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import scoring_pb2, selection_pb2
from google.protobuf import duration_pb2

from services.common.median import Interval
from services.corpus.bpb.definition import Definition, Prefix, Preset
from services.corpus.bpb.difference import Difference
from services.corpus.bpb.exclusion import Exclusion
from services.corpus.bpb.figures import Score
from services.corpus.bpb.jobs import Comparison, Final
from services.corpus.bpb.models.language_model import ModelInfo
from services.corpus.bpb.published import published_for
from services.corpus.bpb.scoring import Running
from services.corpus.catalog import published
from services.rpc.messages import engine_message, interval_message, license_message

_REASONS = {
    None: scoring_pb2.EXCLUSION_REASON_UNSPECIFIED,
    Exclusion.NOT_ROUND_TRIPPING: scoring_pb2.EXCLUSION_REASON_NOT_ROUND_TRIPPING,
    Exclusion.TOKEN_OUT_OF_RANGE: scoring_pb2.EXCLUSION_REASON_TOKEN_OUT_OF_RANGE,
    Exclusion.EMPTY: scoring_pb2.EXCLUSION_REASON_EMPTY,
}
_PILE_WEIGHTS = {name: row.weight for name, row in published.SUBSETS.items()}
# The first name that a value has is the one that a reply has.
PRESETS = {
    scoring_pb2.DEFINITION_PRESET_UNSPECIFIED: Preset.LM_EVAL,
    scoring_pb2.DEFINITION_PRESET_LM_EVAL: Preset.LM_EVAL,
    scoring_pb2.DEFINITION_PRESET_PILE_PAPER: Preset.PILE_PAPER,
    scoring_pb2.DEFINITION_PRESET_HUGGINGFACE_GUIDE: Preset.HUGGINGFACE_GUIDE,
}
PREFIXES = {
    scoring_pb2.PREFIX_TOKEN_UNSPECIFIED: Prefix.PRESET,
    scoring_pb2.PREFIX_TOKEN_BOS_OR_EOS: Prefix.BOS_OR_EOS,
    scoring_pb2.PREFIX_TOKEN_BOS: Prefix.BOS,
    scoring_pb2.PREFIX_TOKEN_EOS: Prefix.EOS,
    scoring_pb2.PREFIX_TOKEN_NONE: Prefix.NONE,
    scoring_pb2.PREFIX_TOKEN_GIVEN: Prefix.GIVEN,
}
_PRESET_OF = {value: key for key, value in PRESETS.items()}
_PREFIX_OF = {value: key for key, value in PREFIXES.items()}


def definition(value: Definition) -> scoring_pb2.Definition:
    """Spell a definition out."""
    return scoring_pb2.Definition(
        preset=_PRESET_OF[value.preset],
        max_length=value.max_length,
        prefix=_PREFIX_OF[value.prefix],
        special_tokens=value.special_tokens,
        context_length=value.context_length,
        stride=value.stride,
        prefix_token=value.prefix_token,
    )


def language_model(info: ModelInfo) -> scoring_pb2.LanguageModel:
    """Describe a model."""
    return scoring_pb2.LanguageModel(
        ref=model_ref(info),
        architecture=info.architecture,
        max_length=info.max_length,
        parameters=info.parameters,
        license=license_message(info.license),
        weights=common_pb2.WEIGHTS_KIND_REFERENCE
        if info.reference
        else common_pb2.WEIGHTS_KIND_TRAINED,
        engine=engine_message(info.engine),
    )


def model_ref(info: ModelInfo) -> common_pb2.ModelRef:
    """Name a model in a reply."""
    return common_pb2.ModelRef(name=info.name, version=info.version, digest=info.digest)


def running(value: Running) -> scoring_pb2.RunningScore:
    """Figures so far, as a message."""
    message = scoring_pb2.RunningScore(
        overall=_score(value.overall),
        subsets=_subsets(value.subsets),
        documents_total=value.documents_total or None,
        tokens_per_second=value.tokens_per_second or None,
        documents_restored=value.documents_restored,
        model=common_pb2.ModelRef(name=value.model),
    )
    if value.seconds_left is not None:
        message.time_left.CopyFrom(_duration(value.seconds_left))
    return message


def final(
    value: Final, corpus: selection_pb2.CorpusRef | None, environment: common_pb2.Environment
) -> scoring_pb2.FinalScore:
    """Final figures, as a message."""
    figures = value.figures
    macro, weighted = figures.macro, figures.weighted(_PILE_WEIGHTS)
    printed = published_for(value.model)
    message = scoring_pb2.FinalScore(
        corpus=corpus,
        model=model_ref(value.model),
        definition=None if value.definition is None else definition(value.definition),
        overall=_score(figures.overall),
        subsets=_subsets(figures.subsets),
        macro=scoring_pb2.Average(value=macro.bits_per_byte, interval=_interval(macro.interval)),
        excluded=[
            scoring_pb2.Excluded(reason=_REASONS[reason], score=_score(left.score), ids=left.ids)
            for reason, left in figures.excluded.items()
        ],
        environment=environment,
        compute=_compute_report(value),
        cached=value.cached,
    )
    if weighted.weight:
        message.weighted.add(
            bits_per_byte=weighted.bits_per_byte,
            interval=_interval(weighted.interval),
            weight=min(1.0, weighted.weight),
            weights="pile-table-1",
        )
    if printed:
        message.published.add(
            model=printed.model,
            source=printed.source,
            bits_per_byte=printed.overall,
            definition=scoring_pb2.Definition(preset=scoring_pb2.DEFINITION_PRESET_PILE_PAPER),
            by_subset=printed.subsets,
        )
    return message


def comparison(
    value: Comparison, corpus: selection_pb2.CorpusRef, environment: common_pb2.Environment
) -> scoring_pb2.BPBComparison:
    """Two models' figures and their difference, as a message."""
    found = value.differences
    return scoring_pb2.BPBComparison(
        model=final(value.model, corpus, environment),
        against=final(value.against, corpus, environment),
        overall=_difference(found.overall),
        subsets=[
            scoring_pb2.SubsetDifference(subset=name, difference=_difference(one))
            for name, one in found.subsets.items()
        ],
        documents_left_out=found.left_out,
    )


def texts(value: Final, environment: common_pb2.Environment) -> scoring_pb2.ScoreTextsResponse:
    """Figures of texts, as a message."""
    return scoring_pb2.ScoreTextsResponse(
        result=final(value, None, environment),
        texts=[
            scoring_pb2.TextScore(
                score=_score(Score(one.nats, one.text_bytes, one.tokens, 1)),
                excluded=_REASONS[one.excluded],
            )
            for one in value.scores
        ],
    )


def _compute_report(value: Final) -> scoring_pb2.ComputeReport:
    loaded = value.loaded
    if loaded is None:
        return scoring_pb2.ComputeReport(engine=engine_message(value.model.engine))
    shift = loaded.shift
    return scoring_pb2.ComputeReport(
        engine=engine_message(loaded.engine, loaded.precision),
        compared_tokens=shift.tokens,
        mean_shift_nats=shift.mean if shift.tokens else None,
        largest_shift_nats=shift.largest if shift.tokens else None,
    )


def _difference(value: Difference) -> scoring_pb2.BPBDifference:
    return scoring_pb2.BPBDifference(
        bits_per_byte=value.bits_per_byte,
        interval=_interval(value.interval),
        model=_score(value.model),
        against=_score(value.against),
    )


def _score(value: Score) -> scoring_pb2.BitsPerByte:
    return scoring_pb2.BitsPerByte(
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
    return interval_message(value.low, value.high, value.level, "poisson-bootstrap@1")


def _subsets(values: Mapping[str, Score]) -> list[scoring_pb2.SubsetScore]:
    return [
        scoring_pb2.SubsetScore(subset=name, score=_score(value)) for name, value in values.items()
    ]


def _duration(seconds: float) -> duration_pb2.Duration:
    result = duration_pb2.Duration()
    result.FromNanoseconds(round(max(0.0, seconds) * 1e9))
    return result
