"""Weights under the config.json of another kind whose tensors have the same names and shapes.

Llama and Gemma differ in arithmetic alone: a norm multiplies by w or by 1 + w, an embedding by 1 or
by the root of its width. Weights of one load as the other, with nothing missing, and predict badly.
Where a model does predict badly, its weights are tried as each kind: those that then predict well
are of that kind. No weights predict well by chance, so that only a wrong config.json is refused.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM
from transformers.initialization import no_init_weights

from services.corpus.bpb.models.checks.causality import CausalityTrial
from services.corpus.bpb.models.engines.torch_model import TorchModel
from services.corpus.bpb.models.tokenizers.hugging_face_tokenizer import HuggingFaceTokenizer
from services.errors import ModelUnusable

_KINDS = ("llama", "gemma")
_SIZES = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps",
    "rope_parameters", "tie_word_embeddings", "bos_token_id", "eos_token_id", "pad_token_id",
)  # fmt: skip
_BAD = 0.7
"""Share of the loss by chance from which on a model may be of another kind."""
_BETTER = 0.25
"""Nats a token by which the other kind must be better than chance, and than the loaded kind."""


def refuse_another_kind(
    name: str, module: Any, tokenizer: HuggingFaceTokenizer, trial: CausalityTrial, loss: float
) -> None:
    """Refuse weights that predict the trial's text as another kind than they were loaded as.

    `loss` is the mean in nats a token of `module`, as it was loaded. Raises ModelUnusable.
    """
    config = module.config.get_text_config(decoder=True)
    chance = math.log(config.vocab_size)
    if loss < _BAD * chance:
        return
    for kind in _KINDS:
        if kind == config.model_type or (other := _as(kind, module, config)) is None:
            continue
        try:
            found = -float(TorchModel(tokenizer, other).log_likelihoods([trial.first])[0].mean())
        except ModelUnusable:
            continue
        if found < min(loss, chance) - _BETTER:
            raise ModelUnusable(
                f"{name}: config.json says {config.model_type}, and the weights are of the kind "
                f"{kind}: as that they predict English and Python with {found:.2f} nats a token, "
                f"as {config.model_type} with {loss:.2f} ({chance:.2f} are chance); take "
                "config.json from where the weights are from"
            )


def _as(kind: str, module: Any, config: Any) -> Any:
    """The same tensors as a model of another kind, None if they are not its own."""
    sizes = {name: getattr(config, name, None) for name in _SIZES}
    try:
        wanted = CONFIG_MAPPING[kind](
            **{key: value for key, value in sizes.items() if value is not None}
        )
        with no_init_weights():  # no memory is written: the tensors replace it
            make: Any = AutoModelForCausalLM.from_config
            other = make(wanted, dtype=torch.float32)
        other.load_state_dict(module.state_dict(), assign=True)
    except Exception:  # noqa: BLE001  the library raises nothing more specific; it is not of it
        return None
    return other.eval()
