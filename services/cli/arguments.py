"""Arguments that several commands take."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus import select
from assay_rpc.corpus.v1 import scoring_pb2, selection_pb2

_PRESETS = {
    "lm_eval": scoring_pb2.DEFINITION_PRESET_LM_EVAL,
    "pile_paper": scoring_pb2.DEFINITION_PRESET_PILE_PAPER,
    "huggingface_guide": scoring_pb2.DEFINITION_PRESET_HUGGINGFACE_GUIDE,
    "levanter": scoring_pb2.DEFINITION_PRESET_LEVANTER,
    "paloma": scoring_pb2.DEFINITION_PRESET_PALOMA,
}
_PREFIXES = {
    "bos": scoring_pb2.PREFIX_TOKEN_BOS,
    "eos": scoring_pb2.PREFIX_TOKEN_EOS,
    "none": scoring_pb2.PREFIX_TOKEN_NONE,
}


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`, for a command that prints no table."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def add_format(parser: argparse.ArgumentParser) -> None:
    """`--format` and `--json`, for a command that prints tables."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--json", action="store_true", help="print one JSON document; the same as --format json"
    )
    form.add_argument(
        "--format",
        choices=("table", "csv", "json", "md"),
        help="output format of tables; default: table on a terminal, tab-separated rows elsewhere",
    )


def add_skip_bad_lines(parser: argparse.ArgumentParser) -> None:
    """`--skip-bad-lines`."""
    parser.add_argument(
        "--skip-bad-lines",
        action="store_true",
        help="skip lines that are not documents, and report them; more than 100 of them are "
        "still an error if they exceed 1 %% of a shard's lines",
    )


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Which documents: splits, subsets, limits."""
    parser.add_argument(
        "--split",
        action="append",
        default=[],
        metavar="NAME",
        help="train, val or test; repeatable; default: all",
    )
    parser.add_argument(
        "--subset",
        action="append",
        default=[],
        metavar="NAME",
        help='read only this subset, for example "Pile-CC"; repeatable; default: all except '
        "those withdrawn by their publisher",
    )
    parser.add_argument(
        "--exclude-subset",
        action="append",
        default=[],
        metavar="NAME",
        help="leave this subset out; repeatable",
    )
    parser.add_argument(
        "--max-documents",
        type=positive,
        default=0,
        metavar="N",
        help="read at most the first N documents; default: no limit",
    )
    parser.add_argument(
        "--max-bytes",
        type=count,
        default=0,
        metavar="N",
        help="stop before the text exceeds N UTF-8 bytes; default: no limit",
    )
    parser.add_argument(
        "--uncopyrighted",
        action="store_true",
        help="leave out Books3, BookCorpus2, OpenSubtitles, YoutubeSubtitles and OpenWebText2",
    )
    parser.add_argument(
        "--min-text-bytes",
        type=count,
        default=0,
        metavar="N",
        help="read only documents of at least N UTF-8 bytes",
    )
    parser.add_argument(
        "--max-text-bytes",
        type=count,
        default=0,
        metavar="N",
        help="read only documents of at most N UTF-8 bytes",
    )
    parser.add_argument(
        "--seed",
        type=count,
        metavar="N",
        help="shuffle with this seed; needs an indexed corpus; default: the shards' order",
    )
    mixture = parser.add_mutually_exclusive_group()
    mixture.add_argument(
        "--weight",
        action="append",
        type=_share,
        metavar="SUBSET=W",
        help="mix subsets: share of the text's bytes from SUBSET; repeatable; needs an indexed "
        "corpus",
    )
    mixture.add_argument(
        "--passes",
        action="append",
        type=_share,
        metavar="SUBSET=N",
        help="mix subsets: passes over SUBSET in an epoch, for example 1.5; repeatable; needs an "
        "indexed corpus",
    )
    mixture.add_argument(
        "--published",
        choices=("weights", "epochs"),
        help="mix subsets by the weights or epochs of The Pile's Table 1; needs an indexed corpus",
    )
    parser.add_argument("--epochs", type=positive, default=0, metavar="N", help="default: 1")


def selection(arguments: argparse.Namespace) -> selection_pb2.Selection:
    """The documents that the flags of `add_selection` name."""
    return select(
        splits=arguments.split,
        subsets=arguments.subset,
        exclude_subsets=arguments.exclude_subset,
        max_documents=arguments.max_documents,
        max_bytes=arguments.max_bytes,
        min_text_bytes=arguments.min_text_bytes,
        max_text_bytes=arguments.max_text_bytes,
        uncopyrighted=arguments.uncopyrighted,
        seed=arguments.seed,
        weights=None if arguments.weight is None else dict(arguments.weight),
        passes=None if arguments.passes is None else dict(arguments.passes),
        published=arguments.published,
        epochs=arguments.epochs,
    )


def _share(text: str) -> tuple[str, float]:
    """SUBSET=NUMBER, for argparse. The server checks the number's meaning."""
    name, _, number = text.rpartition("=")
    try:
        return name, float(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not SUBSET=NUMBER") from None


def add_sample(parser: argparse.ArgumentParser) -> None:
    """Options for scoring a random sample of the documents."""
    parser.add_argument(
        "--sample",
        type=count,
        default=0,
        metavar="N",
        help="score a random sample of N spans of 4,096 bytes and estimate the whole selection "
        "from it; 500 spans give an error of about 2 %%",
    )
    parser.add_argument(
        "--sample-documents",
        type=count,
        default=0,
        metavar="N",
        help="sample N whole documents instead of spans; compressors and --interval-of corpus "
        "need this",
    )
    parser.add_argument(
        "--sample-seed",
        type=count,
        default=0,
        metavar="N",
        help="seed of the random sample; default: 0",
    )
    parser.add_argument(
        "--sample-equally",
        action="store_true",
        help="sample the same amount of every subset; default: in proportion to the subsets' bytes",
    )


INTERVAL_SCOPES = {
    "documents": scoring_pb2.INTERVAL_SCOPE_DOCUMENTS,
    "corpus": scoring_pb2.INTERVAL_SCOPE_CORPUS_BEHIND,
}


def add_interval_of(parser: argparse.ArgumentParser) -> None:
    """`--interval-of`."""
    parser.add_argument(
        "--interval-of",
        choices=INTERVAL_SCOPES,
        default="documents",
        help="what intervals are about: the selected documents, or the larger corpus that they "
        "are a random sample of; default: documents",
    )


def add_definition(parser: argparse.ArgumentParser) -> None:
    """Options for the preset, and for changes to it."""
    parser.add_argument(
        "--definition",
        choices=_PRESETS,
        help="how bits per byte are computed: pile_paper keeps half a window of context; paloma "
        "begins with the end-of-sequence token; huggingface_guide and levanter leave tokens "
        "out and are for comparison only; default: lm_eval",
    )
    parser.add_argument(
        "--max-length",
        type=count,
        default=0,
        metavar="TOKENS",
        help="size of the window; default: the model's maximum",
    )
    parser.add_argument(
        "--context-length",
        type=count,
        default=0,
        metavar="TOKENS",
        help="minimum context of a scored token, in every window after the first; default: from "
        "--definition",
    )
    parser.add_argument(
        "--stride",
        type=count,
        default=0,
        metavar="TOKENS",
        help="tokens that each window after the first scores; an alternative to --context-length",
    )
    parser.add_argument(
        "--prefix",
        type=_prefix,
        metavar="bos|eos|none|ID",
        help="token that precedes a document's first token; default: beginning of sequence if "
        "the tokenizer has one, else end of sequence",
    )
    parser.add_argument(
        "--prefix-everywhere",
        action="store_true",
        help="begin every window with the prefix token, for models such as Gemma that were only "
        "trained that way",
    )
    parser.add_argument(
        "--special-tokens",
        action="store_true",
        help="also score special tokens that the tokenizer adds, such as Llama's second "
        "beginning of sequence; lm-evaluation-harness does so by default",
    )


def definition(arguments: argparse.Namespace) -> scoring_pb2.Definition:
    """The definition that the command line names."""
    preset = scoring_pb2.DEFINITION_PRESET_UNSPECIFIED
    if arguments.definition:
        preset = _PRESETS[arguments.definition]
    message = scoring_pb2.Definition(
        preset=preset,
        max_length=arguments.max_length,
        context_length=arguments.context_length,
        stride=arguments.stride,
        special_tokens=arguments.special_tokens or None,
        prefix_everywhere=arguments.prefix_everywhere,
    )
    if isinstance(arguments.prefix, int):
        message.prefix = scoring_pb2.PREFIX_TOKEN_GIVEN
        message.prefix_token = arguments.prefix
    elif arguments.prefix:
        message.prefix = _PREFIXES[arguments.prefix]
    return message


def _prefix(text: str) -> str | int:
    if text in _PREFIXES:
        return text
    try:
        return count(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{text} is neither bos, eos, none nor a token's id"
        ) from None


def add_compute(parser: argparse.ArgumentParser) -> None:
    """`--engine` and `--precision`."""
    parser.add_argument(
        "--engine",
        default="",
        metavar="NAME",
        help="openvino-cpu, torch-cpu, torch-cuda or onnxruntime-cpu; default: the fastest CPU "
        "engine whose results agree with torch",
    )
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16", "fp16"),
        default="fp32",
        help="number format of matrix products; default: fp32",
    )


def compute(arguments: argparse.Namespace) -> scoring_pb2.Compute:
    """The compute options of the command line."""
    return scoring_pb2.Compute(
        engine=arguments.engine,
        precision=common_pb2.Precision.Value(f"PRECISION_{arguments.precision.upper()}"),
    )


def pixel_size(text: str) -> tuple[int, int]:
    """Width and height of WxH, for argparse."""
    found = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text} is not of the form 1024x768, width first")
    return int(found[1]), int(found[2])


def output_file(flag: str, given: str) -> Path:
    """A file to write; its folder must exist. Raises `FileNotFoundError` naming the flag."""
    path = Path(given)
    if not path.resolve().parent.is_dir():
        raise FileNotFoundError(f"{flag} {given}: the folder {path.parent} does not exist")
    return path


def count(text: str) -> int:
    """A non-negative number that fits the contract, for argparse."""
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number") from None
    if not 0 <= value < 1 << 32:
        raise argparse.ArgumentTypeError(f"{text} is negative or too large")
    return value


def positive(text: str) -> int:
    """A number of at least 1 that fits the contract, in which 0 means not given."""
    value = count(text)
    if not value:
        raise argparse.ArgumentTypeError("0 would select nothing; give at least 1, or leave it out")
    return value
