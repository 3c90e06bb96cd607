"""Definitions of a bits-per-byte figure: its parameters, and named sets of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from services.corpus.bpb.models.language_model import ModelInfo
from services.errors import InvalidArgument


class Preset(Enum):
    """The preset of a definition; its other fields override parts of it."""

    LM_EVAL = "lm_eval"
    PILE_PAPER = "pile_paper"
    HUGGINGFACE_GUIDE = "huggingface_guide"
    LEVANTER = "levanter"
    PALOMA = "paloma"


_SHARED_TOKENS = {Preset.LEVANTER: 0, Preset.PALOMA: 1}
"""Presets whose windows share a fixed number of tokens, and how many."""


class Prefix(Enum):
    """The token before a document's first one. It is read and never scored."""

    PRESET = "preset"
    BOS_OR_EOS = "bos_or_eos"
    BOS = "bos"
    EOS = "eos"
    NONE = "none"
    GIVEN = "given"


@dataclass(frozen=True)
class Definition:
    """lm-evaluation-harness's rolling log-likelihood, by default.

    `max_length` is the window in tokens, 0 for the model's. `context_length` is the least number of
    tokens before the first scored token of a later window, and `stride` the number of tokens that
    such a window scores: each follows from the other, and 0 in both means the preset's.
    `prefix_token` is the id of a GIVEN prefix, and in a resolved definition of any prefix.

    `prefix_everywhere` begins every window with the prefix instead of one token of context;
    lm-evaluation-harness begins only the first window with it.

    `special_tokens` scores the special tokens that the tokenizer adds around a text, as lm-eval
    does without `add_bos_token=False`: a Llama tokenizer's texts then begin with the likelihood of
    a second beginning of sequence, which belongs to no byte of the text. None means the preset's
    value, which is false in every preset.

    `windows` names the different windows of HUGGINGFACE_GUIDE, LEVANTER and PALOMA.
    """

    max_length: int = 0
    special_tokens: bool | None = None
    preset: Preset = Preset.LM_EVAL
    context_length: int = 0
    stride: int = 0
    prefix: Prefix = Prefix.PRESET
    prefix_token: int | None = None
    prefix_everywhere: bool = False

    @property
    def follows_guide(self) -> bool:
        """Whether windows are cut and weighted as Hugging Face's guide does."""
        return self.preset is Preset.HUGGINGFACE_GUIDE

    @property
    def counts_scored_bytes(self) -> bool:
        """Whether only the bytes of scored tokens count, which depends on the tokenizer."""
        return self.preset is Preset.LEVANTER

    def require_whole_texts(self, what: str) -> None:
        """Raise InvalidArgument if the figure is over other bytes than the text's."""
        if self.counts_scored_bytes:
            raise InvalidArgument(
                "definition.preset",
                f"levanter counts the bytes of scored tokens only, which {what} cannot have; "
                "choose another",
            )

    def resolve(self, model: ModelInfo) -> Definition:
        """Fill in every parameter for a model; a resolved definition resolves to itself.

        Raises InvalidArgument for a window longer than the model's, a context or stride that does
        not fit in the window, and a prefix that the model does not have.
        """
        if not 0 <= self.max_length <= model.max_length:
            raise InvalidArgument(
                "definition.max_length",
                f"is {self.max_length}, but the model's longest window is {model.max_length} "
                "tokens; give 0 for that, or less",
            )
        length = self.max_length or model.max_length
        if self.preset is Preset.LEVANTER and length < 2:
            raise InvalidArgument(
                "definition.max_length", "is 1, and a window of levanter does not score its first"
            )
        context, stride = self._step(length)
        prefix, token = self._prefix(model)
        if self.prefix_everywhere and token is None:
            raise InvalidArgument(
                "definition.prefix_everywhere", "windows that begin with a prefix need one"
            )
        if self.prefix_everywhere and self.preset is Preset.LEVANTER:
            raise InvalidArgument(
                "definition.prefix_everywhere",
                "is for windows with context, and levanter has none; leave it out",
            )
        return replace(
            self,
            max_length=length,
            special_tokens=bool(self.special_tokens),
            context_length=context,
            stride=stride,
            prefix=prefix,
            prefix_token=token,
        )

    def _step(self, length: int) -> tuple[int, int]:
        """Return context and stride, whose sum is the number of tokens that one window knows."""
        # A rolling window reads L tokens and knows one more, the last that it scores. The guide's
        # window includes that token in its L.
        together = length if self.follows_guide else length + 1
        context = self.context_length
        if self.preset in _SHARED_TOKENS:
            # Levanter's windows read the first of their L tokens and score the others.
            own = (1, length - 1 + _SHARED_TOKENS[self.preset])
            if context not in {0, own[0]} or self.stride not in {0, own[1]}:
                raise InvalidArgument(
                    "definition.context_length" if context else "definition.stride",
                    f"{self.preset.value} fixes how windows follow each other; leave it out",
                )
            return own
        if not context and self.stride:
            context = together - self.stride
        elif not context:
            context = 1 if self.preset is Preset.LM_EVAL else max(1, length // 2)
        if not 1 <= context < together:
            field = "context_length" if self.context_length else "stride"
            raise InvalidArgument(
                f"definition.{field}",
                f"is {getattr(self, field)}, which leaves a window of {length} tokens "
                f"{context} of context; it must have 1 to {together - 1}",
            )
        if self.stride and self.stride != together - context:
            raise InvalidArgument(
                "definition.stride",
                f"is {self.stride}, but a window of {length} tokens with {context} of context "
                f"scores {together - context}; give one of the two",
            )
        return context, together - context

    def _prefix(self, model: ModelInfo) -> tuple[Prefix, int | None]:
        wanted = self.prefix
        if wanted is Prefix.PRESET:
            own = {Preset.HUGGINGFACE_GUIDE: Prefix.NONE, Preset.PALOMA: Prefix.EOS}
            wanted = own.get(self.preset, Prefix.BOS_OR_EOS)
        if self.follows_guide and wanted is not Prefix.NONE:
            raise InvalidArgument(
                "definition.prefix", "the guide's windows have no prefix token; choose none"
            )
        if wanted is Prefix.GIVEN:
            token = self.prefix_token
            if token is None or not 0 <= token < model.vocabulary:
                raise InvalidArgument(
                    "definition.prefix_token",
                    f"is {token}, and the model's tokens are 0 to {model.vocabulary - 1}",
                )
            return wanted, token
        token = {
            Prefix.NONE: None,
            Prefix.BOS: model.bos_token,
            Prefix.EOS: model.eos_token,
            Prefix.BOS_OR_EOS: model.eos_token if model.bos_token is None else model.bos_token,
        }[wanted]
        if token is None and wanted is not Prefix.NONE:
            raise InvalidArgument(
                "definition.prefix",
                f"{model.name} has no such token as {wanted.value}, by its tokenizer_config.json, "
                "config.json and generation_config.json; give a token's id or none (--prefix ID or "
                "--prefix none)",
            )
        if token is not None and token >= model.vocabulary:
            raise InvalidArgument(
                "definition.prefix",
                f"{wanted.value} of {model.name} is token {token}, and the model has "
                f"{model.vocabulary}; give another token's id or none (--prefix ID or --prefix "
                "none)",
            )
        if self.prefix_token not in {None, token}:
            raise InvalidArgument(
                "definition.prefix_token",
                f"is {self.prefix_token}, but {wanted.value} of {model.name} is {token}",
            )
        return wanted, token
