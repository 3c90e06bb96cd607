"""Bits per byte as messages: models, running and final figures, differences."""

from __future__ import annotations

import math
from collections.abc import Iterator

from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import scoring_pb2, selection_pb2
from google.protobuf import duration_pb2

from services.common.statistics.interval import Interval
from services.corpus.bpb.definition import Definition, Prefix, Preset
from services.corpus.bpb.difference import Difference
from services.corpus.bpb.estimates import Basis, Figure, Scope, Standing
from services.corpus.bpb.exclusion import Exclusion
from services.corpus.bpb.figures import DocumentScore, Score, perplexity
from services.corpus.bpb.jobs import Comparison, Final
from services.corpus.bpb.models.language_model import ModelInfo
from services.corpus.bpb.published import published_for
from services.corpus.bpb.sampling import Unit
from services.corpus.bpb.scoring import Running
from services.corpus.catalog import published
from services.rpc.messages import engine_message, interval_message, license_message

_REASONS = {
    None: scoring_pb2.EXCLUSION_REASON_UNSPECIFIED,
    Exclusion.NOT_ROUND_TRIPPING: scoring_pb2.EXCLUSION_REASON_NOT_ROUND_TRIPPING,
    Exclusion.TOKEN_OUT_OF_RANGE: scoring_pb2.EXCLUSION_REASON_TOKEN_OUT_OF_RANGE,
    Exclusion.EMPTY: scoring_pb2.EXCLUSION_REASON_EMPTY,
}
_SCOPES = {
    Scope.DOCUMENTS: scoring_pb2.INTERVAL_SCOPE_DOCUMENTS,
    Scope.CORPUS: scoring_pb2.INTERVAL_SCOPE_CORPUS_BEHIND,
}
_STANDINGS = {
    Standing.EXACT: scoring_pb2.STANDING_EXACT,
    Standing.ESTIMATE: scoring_pb2.STANDING_ESTIMATE,
    Standing.EXAMPLE: scoring_pb2.STANDING_EXAMPLE,
}
_UNITS = {
    None: scoring_pb2.SAMPLE_UNIT_UNSPECIFIED,
    Unit.SPANS: scoring_pb2.SAMPLE_UNIT_SPANS,
    Unit.DOCUMENTS: scoring_pb2.SAMPLE_UNIT_DOCUMENTS,
}
_PILE_WEIGHTS = {name: row.weight for name, row in published.SUBSETS.items()}
# Replies use the first name of a value.
PRESETS = {
    scoring_pb2.DEFINITION_PRESET_UNSPECIFIED: Preset.LM_EVAL,
    scoring_pb2.DEFINITION_PRESET_LM_EVAL: Preset.LM_EVAL,
    scoring_pb2.DEFINITION_PRESET_PILE_PAPER: Preset.PILE_PAPER,
    scoring_pb2.DEFINITION_PRESET_HUGGINGFACE_GUIDE: Preset.HUGGINGFACE_GUIDE,
    scoring_pb2.DEFINITION_PRESET_LEVANTER: Preset.LEVANTER,
    scoring_pb2.DEFINITION_PRESET_PALOMA: Preset.PALOMA,
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
        prefix_everywhere=value.prefix_everywhere,
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
        vocabulary=info.vocabulary,
        digests=info.files,
        max_length_assumed=info.max_length_assumed,
    )


def model_ref(info: ModelInfo) -> common_pb2.ModelRef:
    """Name a model in a reply."""
    return common_pb2.ModelRef(name=info.name, version=info.version, digest=info.digest)


def running(value: Running) -> scoring_pb2.RunningScore:
    """Figures so far, as a message."""
    message = scoring_pb2.RunningScore(
        overall=_score(value.overall),
        subsets=[
            scoring_pb2.SubsetScore(subset=name, score=_score(score))
            for name, score in value.subsets.items()
        ],
        documents_total=value.documents_total or None,
        tokens_per_second=value.tokens_per_second or None,
        documents_restored=value.documents_restored,
        documents_done=value.documents_done,
        model=common_pb2.ModelRef(name=value.model),
    )
    if value.seconds_left is not None:
        message.time_left.CopyFrom(_duration(value.seconds_left))
    return message


def final(
    value: Final, corpus: selection_pb2.CorpusRef | None, environment: common_pb2.Environment
) -> scoring_pb2.FinalScore:
    """Final figures, as a message."""
    totals, estimates = value.figures.totals, value.figures.estimates
    printed = published_for(value.model)
    message = scoring_pb2.FinalScore(
        corpus=corpus,
        model=model_ref(value.model),
        definition=None if value.definition is None else definition(value.definition),
        overall=_figured(totals.overall, estimates.overall),
        subsets=[
            scoring_pb2.SubsetScore(subset=name, score=_figured(score, figure))
            for name, (score, figure) in value.figures.subsets.items()
        ],
        macro=_average(estimates.macro),
        excluded=[
            scoring_pb2.Excluded(reason=_REASONS[reason], score=_score(left.score), ids=left.ids)
            for reason, left in totals.excluded.items()
        ],
        environment=environment,
        compute=_compute_report(value),
        cached=value.cached,
        tokens_per_second=value.tokens_per_second or None,
        weighted=_weighted(estimates.weighted(_PILE_WEIGHTS)),
        doubts=() if value.loaded is None else value.loaded.doubts,
    )
    if printed:
        message.published.add(
            model=printed.model,
            source=printed.source,
            bits_per_byte=printed.overall,
            # Only the paper states its windows.
            definition=scoring_pb2.Definition(preset=scoring_pb2.DEFINITION_PRESET_PILE_PAPER)
            if printed.subsets
            else None,
            derivation=printed.derivation,
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
        macro=_average(found.macro),
        weighted=_weighted(found.weighted(_PILE_WEIGHTS)),
    )


def texts(
    value: Final, environment: common_pb2.Environment, *, token_nats: bool = False
) -> scoring_pb2.ScoreTextsResponse:
    """Figures of texts, as a message, with the likelihoods of their tokens if requested."""
    return scoring_pb2.ScoreTextsResponse(
        result=final(value, None, environment),
        texts=[
            scoring_pb2.TextScore(
                score=document_score(one).score,
                excluded=_REASONS[one.excluded],
                token_nats=value.token_nats.get(one.id, ()) if token_nats else (),
                token_starts=value.token_starts.get(one.id, ()) if token_nats else (),
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
    figure = value.figure
    message = scoring_pb2.BPBDifference(
        model=_figured(value.model, value.model_figure),
        against=_figured(value.against, value.against_figure),
        identical=value.identical,
    )
    if figure is not None:
        message.bits_per_byte = figure.value
        message.basis.CopyFrom(_basis(figure.basis))
        if figure.interval is not None:
            message.interval.CopyFrom(_interval(figure.interval))
        if figure.detectable is not None:
            message.smallest_detectable = figure.detectable
    return message


def document_score(value: DocumentScore) -> scoring_pb2.DocumentScore:
    """One document's sums, and the figures that follow from them."""
    return scoring_pb2.DocumentScore(
        id=value.id,
        subset=value.subset,
        score=_score(Score(value.nats, value.text_bytes, value.tokens, 1, value.words)),
        excluded=_REASONS[value.excluded],
    )


def document_comparisons(value: Comparison) -> Iterator[scoring_pb2.DocumentComparison]:
    """Each document's sums of both models, and their difference."""
    others = {one.id: one for one in value.against.scores}
    for score in value.model.scores:
        ours, theirs = document_score(score), document_score(others[score.id])
        both = not ours.excluded and not theirs.excluded
        yield scoring_pb2.DocumentComparison(
            id=ours.id,
            subset=ours.subset,
            model=ours.score,
            against=theirs.score,
            model_excluded=ours.excluded,
            against_excluded=theirs.excluded,
            bits_per_byte=ours.score.bits_per_byte - theirs.score.bits_per_byte if both else None,
        )


def _score(value: Score) -> scoring_pb2.BitsPerByte:
    """Sums, and the figures that follow from them."""
    bits = value.bits_per_byte
    return scoring_pb2.BitsPerByte(
        nats=value.nats,
        text_bytes=value.text_bytes,
        tokens=value.tokens,
        documents=value.documents,
        bits_per_byte=bits,
        nats_per_token=value.nats_per_token,
        bytes_per_token=value.bytes_per_token,
        byte_perplexity=None if bits is None else perplexity(bits * math.log(2)),
        word_perplexity=value.word_perplexity,
    )


def _figured(score: Score, figure: Figure | None) -> scoring_pb2.BitsPerByte:
    """Sums over the scored documents, with the figure that they give, as a sample if it is one."""
    message = _score(score)
    if figure is None:
        for name in ("bits_per_byte", "byte_perplexity", "word_perplexity"):
            message.ClearField(name)
        return message
    message.bits_per_byte = figure.value
    message.ClearField("byte_perplexity")
    of_bytes = perplexity(figure.value * math.log(2))
    if of_bytes is not None:
        message.byte_perplexity = of_bytes
    if figure.basis.unit is not None:
        message.ClearField("word_perplexity")
    message.basis.CopyFrom(_basis(figure.basis))
    if figure.interval is not None:
        message.interval.CopyFrom(_interval(figure.interval))
    return message


def _average(figure: Figure | None) -> scoring_pb2.Average:
    if figure is None:
        return scoring_pb2.Average()
    return scoring_pb2.Average(
        value=figure.value,
        interval=None if figure.interval is None else _interval(figure.interval),
        basis=_basis(figure.basis),
    )


def _weighted(figure: Figure | None) -> list[scoring_pb2.WeightedScore]:
    """Return the average by the Pile's weights; None if no weighted subset was scored."""
    if figure is None:
        return []
    return [
        scoring_pb2.WeightedScore(
            bits_per_byte=figure.value,
            interval=None if figure.interval is None else _interval(figure.interval),
            weight=min(1.0, figure.weight),
            weights="pile-table-1",
            basis=_basis(figure.basis),
        )
    ]


def _basis(value: Basis) -> scoring_pb2.Basis:
    return scoring_pb2.Basis(
        scope=_SCOPES[value.scope],
        standing=_STANDINGS[value.standing],
        unit=_UNITS[value.unit],
        scored=value.scored,
        by_chance=value.by_chance,
        certain_share=value.certain,
        documents=value.documents,
        text_bytes=value.text_bytes,
        effective_documents=value.effective_documents,
        kept_share=value.kept,
        no_interval=value.no_interval,
    )


def _interval(value: Interval) -> common_pb2.Interval:
    return interval_message(
        value.low, value.high, value.level, value.method, effective_n=value.effective_n or 0
    )


def _duration(seconds: float) -> duration_pb2.Duration:
    result = duration_pb2.Duration()
    result.FromNanoseconds(round(max(0.0, seconds) * 1e9))
    return result
