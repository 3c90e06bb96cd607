"""The arguments that say how bits per byte are computed."""

from __future__ import annotations

import argparse

from assay.corpus.v1 import corpus_pb2

from services.cli.arguments import count

_PRESETS = {
    "lm_eval": corpus_pb2.DEFINITION_PRESET_LM_EVAL,
    "pile_paper": corpus_pb2.DEFINITION_PRESET_PILE_PAPER,
    "huggingface_guide": corpus_pb2.DEFINITION_PRESET_HUGGINGFACE_GUIDE,
}
_PREFIXES = {
    "bos": corpus_pb2.PREFIX_TOKEN_BOS,
    "eos": corpus_pb2.PREFIX_TOKEN_EOS,
    "none": corpus_pb2.PREFIX_TOKEN_NONE,
}


def add_definition(parser: argparse.ArgumentParser) -> None:
    """Which preset, and what differs from it."""
    parser.add_argument(
        "--definition",
        choices=_PRESETS,
        help="lm_eval without it; pile_paper keeps half a window of context; huggingface_guide is "
        "for comparison only, since it leaves tokens out",
    )
    parser.add_argument(
        "--max-length",
        type=count,
        default=0,
        metavar="TOKENS",
        help="window; the model's without it",
    )
    parser.add_argument(
        "--context-length",
        type=count,
        default=0,
        metavar="TOKENS",
        help="least context of a scored token in every window after the first",
    )
    parser.add_argument(
        "--stride",
        type=count,
        default=0,
        metavar="TOKENS",
        help="tokens that such a window scores; instead of --context-length",
    )
    parser.add_argument(
        "--prefix",
        type=_prefix,
        metavar="bos|eos|none|ID",
        help="token before a document's first one; the beginning of sequence, or else the end of "
        "sequence, without it",
    )
    parser.add_argument(
        "--special-tokens",
        action="store_true",
        help="also score the special tokens that the tokenizer adds by itself, as "
        "lm-evaluation-harness does by default: a Llama tokenizer's second beginning of sequence",
    )


def definition(arguments: argparse.Namespace) -> corpus_pb2.Definition:
    """The definition that the command line asks for."""
    preset = corpus_pb2.DEFINITION_PRESET_UNSPECIFIED
    if arguments.definition:
        preset = _PRESETS[arguments.definition]
    message = corpus_pb2.Definition(
        preset=preset,
        max_length=arguments.max_length,
        context_length=arguments.context_length,
        stride=arguments.stride,
        special_tokens=arguments.special_tokens,
    )
    if isinstance(arguments.prefix, int):
        message.prefix = corpus_pb2.PREFIX_TOKEN_GIVEN
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
