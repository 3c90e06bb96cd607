"""Builds the contract's messages from the core's values, and the core's values from requests."""

from __future__ import annotations

from assay.common.v1 import common_pb2
from assay.corpus.v1 import corpus_pb2 as pb
from google.protobuf import duration_pb2

from services.corpus.bpb.definition import Definition, Prefix, Preset
from services.corpus.bpb.figures import Score
from services.corpus.bpb.jobs import Final
from services.corpus.bpb.language_model import ModelInfo
from services.corpus.bpb.scoring import Running
from services.errors import InvalidArgument

_PRESETS = {
    pb.DEFINITION_PRESET_UNSPECIFIED: Preset.LM_EVAL,
    pb.DEFINITION_PRESET_LM_EVAL: Preset.LM_EVAL,
    pb.DEFINITION_PRESET_PILE_PAPER: Preset.PILE_PAPER,
    pb.DEFINITION_PRESET_HUGGINGFACE_GUIDE: Preset.HUGGINGFACE_GUIDE,
}
_PREFIXES = {
    pb.PREFIX_TOKEN_UNSPECIFIED: Prefix.PRESET,
    pb.PREFIX_TOKEN_BOS_OR_EOS: Prefix.BOS_OR_EOS,
    pb.PREFIX_TOKEN_BOS: Prefix.BOS,
    pb.PREFIX_TOKEN_EOS: Prefix.EOS,
    pb.PREFIX_TOKEN_NONE: Prefix.NONE,
    pb.PREFIX_TOKEN_GIVEN: Prefix.GIVEN,
}
_PRESET_OF = {value: key for key, value in _PRESETS.items()}
_PREFIX_OF = {value: key for key, value in _PREFIXES.items()}


def definition_of(message: pb.Definition) -> Definition:
    """Read a request's definition.

    Raises InvalidArgument for a preset or a prefix that this version does not know.
    """
    if message.preset not in _PRESETS:
        raise InvalidArgument("definition.preset", f"{message.preset} is not a preset")
    if message.prefix not in _PREFIXES:
        raise InvalidArgument("definition.prefix", f"{message.prefix} is not a prefix token")
    return Definition(
        max_length=message.max_length,
        special_tokens=message.special_tokens,
        preset=_PRESETS[message.preset],
        context_length=message.context_length,
        stride=message.stride,
        prefix=_PREFIXES[message.prefix],
        prefix_token=message.prefix_token if message.HasField("prefix_token") else None,
    )


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


def running(value: Running) -> pb.ScoreBPBResponse:
    """Figures so far, as a message."""
    message = pb.RunningScore(
        overall=_score(value.overall),
        subsets=_subsets(value.subsets),
        documents_total=value.documents_total,
        tokens_per_second=value.tokens_per_second,
    )
    if value.seconds_left is not None:
        message.time_left.CopyFrom(_duration(value.seconds_left))
    return pb.ScoreBPBResponse(running=message)


def final(
    value: Final, corpus: pb.CorpusRef, environment: common_pb2.Environment
) -> pb.ScoreBPBResponse:
    """Final figures, as a message."""
    figures = value.figures
    return pb.ScoreBPBResponse(
        final=pb.FinalScore(
            corpus=corpus,
            model=model_ref(value.model),
            definition=definition(value.definition),
            overall=_score(figures.overall),
            subsets=_subsets(figures.subsets),
            macro_bits_per_byte=figures.macro_bits_per_byte,
            not_round_tripping=_score(figures.not_round_tripping),
            not_round_tripping_ids=figures.not_round_tripping_ids,
            environment=environment,
            engine=value.model.engine,
        )
    )


def _score(value: Score) -> pb.Score:
    return pb.Score(
        nats=value.nats,
        text_bytes=value.text_bytes,
        tokens=value.tokens,
        documents=value.documents,
        bits_per_byte=value.bits_per_byte,
    )


def _subsets(values: dict[str, Score]) -> list[pb.SubsetScore]:
    return [pb.SubsetScore(subset=name, score=_score(value)) for name, value in values.items()]


def _duration(seconds: float) -> duration_pb2.Duration:
    result = duration_pb2.Duration()
    result.FromNanoseconds(round(max(0.0, seconds) * 1e9))
    return result
