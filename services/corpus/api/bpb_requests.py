"""Reads the core's values from the requests of the contract."""

from __future__ import annotations

from collections.abc import Sequence

from assay.common.v1 import common_pb2
from assay.corpus.v1 import corpus_pb2 as pb

from services.corpus.bpb.definition import Definition, Prefix, Preset
from services.corpus.bpb.jobs import Model
from services.corpus.bpb.models.compute import Compute, Precision
from services.corpus.bpb.sampling import Allocation, Sample
from services.corpus.shards.documents import Document
from services.errors import InvalidArgument

PRESETS = {
    pb.DEFINITION_PRESET_UNSPECIFIED: Preset.LM_EVAL,
    pb.DEFINITION_PRESET_LM_EVAL: Preset.LM_EVAL,
    pb.DEFINITION_PRESET_PILE_PAPER: Preset.PILE_PAPER,
    pb.DEFINITION_PRESET_HUGGINGFACE_GUIDE: Preset.HUGGINGFACE_GUIDE,
}
PREFIXES = {
    pb.PREFIX_TOKEN_UNSPECIFIED: Prefix.PRESET,
    pb.PREFIX_TOKEN_BOS_OR_EOS: Prefix.BOS_OR_EOS,
    pb.PREFIX_TOKEN_BOS: Prefix.BOS,
    pb.PREFIX_TOKEN_EOS: Prefix.EOS,
    pb.PREFIX_TOKEN_NONE: Prefix.NONE,
    pb.PREFIX_TOKEN_GIVEN: Prefix.GIVEN,
}
_ALLOCATIONS = {
    pb.SAMPLE_ALLOCATION_UNSPECIFIED: Allocation.PROPORTIONAL,
    pb.SAMPLE_ALLOCATION_PROPORTIONAL: Allocation.PROPORTIONAL,
    pb.SAMPLE_ALLOCATION_EQUAL: Allocation.EQUAL,
}
_PRECISIONS = {
    pb.PRECISION_UNSPECIFIED: Precision.FP32,
    pb.PRECISION_FP32: Precision.FP32,
    pb.PRECISION_BF16: Precision.BF16,
    pb.PRECISION_FP16: Precision.FP16,
}


def compute_of(message: pb.Compute) -> Compute:
    """Read what a request asks for to run the model.

    Raises InvalidArgument for a precision that this version does not know.
    """
    if message.precision not in _PRECISIONS:
        raise InvalidArgument("compute.precision", f"{message.precision} is not a precision")
    return Compute(message.engine, _PRECISIONS[message.precision])


def definition_of(message: pb.Definition) -> Definition:
    """Read a request's definition.

    Raises InvalidArgument for a preset or a prefix that this version does not know.
    """
    if message.preset not in PRESETS:
        raise InvalidArgument("definition.preset", f"{message.preset} is not a preset")
    if message.prefix not in PREFIXES:
        raise InvalidArgument("definition.prefix", f"{message.prefix} is not a prefix token")
    return Definition(
        max_length=message.max_length,
        special_tokens=message.special_tokens,
        preset=PRESETS[message.preset],
        context_length=message.context_length,
        stride=message.stride,
        prefix=PREFIXES[message.prefix],
        prefix_token=message.prefix_token if message.HasField("prefix_token") else None,
    )


def model_of(field: str, message: common_pb2.ModelRef) -> Model:
    """Read which model a request's field names. Raises InvalidArgument when it names none."""
    if not message.name:
        raise InvalidArgument(f"{field}.name", "is empty; ListLanguageModels lists the names")
    return Model(message.name, message.version, message.digest)


def sample_of(message: pb.Selection) -> Sample | None:
    """Read the sample of a request's selection. Raises InvalidArgument for an empty one."""
    if not message.HasField("sample"):
        return None
    if message.sample.allocation not in _ALLOCATIONS:
        raise InvalidArgument(
            "selection.sample.allocation", f"{message.sample.allocation} is not an allocation"
        )
    if not message.sample.documents:
        raise InvalidArgument("selection.sample.documents", "is 0; say how many")
    return Sample(
        message.sample.documents, message.sample.seed, _ALLOCATIONS[message.sample.allocation]
    )


def documents_of(messages: Sequence[pb.ScoredText]) -> list[Document]:
    """Read the texts of a request. Raises InvalidArgument for none, and one that is not UTF-8."""
    if not messages:
        raise InvalidArgument("texts", "is empty; send at least one")
    for place, message in enumerate(messages):
        try:
            message.text.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise InvalidArgument(
                f"texts[{place}].text", f"is not UTF-8: {error.reason} at byte {error.start}"
            ) from None
    return [
        Document(str(place), message.subset, message.text, b"", "", place)
        for place, message in enumerate(messages)
    ]
