"""What exactly is computed: the parameters of a bits-per-byte figure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.errors import InvalidArgument


@dataclass(frozen=True)
class Definition:
    """lm-evaluation-harness's rolling log-likelihood, by default.

    `max_length` is the window in tokens, 0 the model's. The prefix is the tokenizer's beginning
    of sequence where it has one, else its end of sequence; it is never scored.

    `special_tokens` scores the special tokens that the tokenizer puts around a text by itself, as
    lm-eval does unless told `add_bos_token=False`: a Llama tokenizer's texts then begin with the
    likelihood of a second beginning of sequence, which belongs to no byte of the text.
    """

    max_length: int = 0
    special_tokens: bool = False

    def resolve(self, model_max_length: int) -> Definition:
        """Spell out the window for a model.

        Raises InvalidArgument for one that is longer than the model's.
        """
        if not 0 <= self.max_length <= model_max_length:
            raise InvalidArgument(
                "definition.max_length",
                f"is {self.max_length}, but the model's longest window is {model_max_length} "
                "tokens; give 0 for that, or less",
            )
        return replace(self, max_length=self.max_length or model_max_length)
