"""Records with mistakes: real outputs of a small model, published as the mistake would have it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from services.corpus.audit.tokenizer import FileCutter
from services.corpus.audit.verdict import Mistake
from services.corpus.bpb.models.checkpoint.model_directory import HuggingFaceModel, read_directory
from services.corpus.bpb.models.engines.torch_model import TorchModel
from services.corpus.bpb.models.tokenizers.hugging_face_tokenizer import HuggingFaceTokenizer
from services.corpus.bpb.scored_windows import Window, guide_windows, rolling_windows

WINDOW = 48
STRIDE = 24
END = "<|endoftext|>"
_SENTENCES = (
    "The quick brown Fox jumps over the lazy dog, and nobody in Paris minds.",
    "Grüße aus Köln: 12 % mehr für alle, sagt das ÖPNV-Büro in der Straße.",
    "def area(r):\n    return 3.14159 * r ** 2  # of a circle\n",
    "NASA said on Monday that the probe, built by ESA, had reached Mars.",
    "你好，世界！ Это просто текст. \U0001f600 émigré naïve façade",
    "It was the best of times; it was, as Mr. Dickens put it, the worst.",
    "<p>Prices rose 3.5% in Q2 — the U.S. dollar fell to €0.92.</p>",
)


def texts() -> list[str]:
    """Texts of 1 to 14 sentences, which differ in capitals, alphabets and length."""
    return [
        " ".join(_SENTENCES[(i * 3 + k) % len(_SENTENCES)] for k in range(1 + i % 14))
        for i in range(1, 31)
    ]


def byte_level() -> Tokenizer:
    """A byte-level BPE, as GPT-2's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts()[:10], trainer)
    return tokenizer


def sentence_piece(*, fallback: bool = True) -> Tokenizer:
    """A BPE as SentencePiece makes them, with its own space in front.

    Without byte fallback, what it has no piece for is lost.
    """
    fallbacks = [f"<0x{byte:02X}>" for byte in range(256)] if fallback else []
    tokenizer = Tokenizer(models.BPE(byte_fallback=fallback, unk_token="<unk>", fuse_unk=True))  # noqa: S106
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    plain = [re.sub(r"[^\n -~]", "", text) for text in texts()]
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=["<unk>", END, *fallbacks], show_progress=False
    )
    tokenizer.train_from_iterator(
        [text.replace(" ", " \u2581").split(" ") for text in plain], trainer
    )
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = [
        one for one in content["added_tokens"] if not one["content"].startswith("<0x")
    ]
    return Tokenizer.from_str(json.dumps(content))


@dataclass
class Lab:
    """A model and its tokenizer, which score texts token by token."""

    folder: Path
    model: TorchModel
    _scored: dict[str, list[float]] = field(default_factory=dict)

    @property
    def tokenizer(self) -> str:
        return str(self.folder / "tokenizer.json")

    def tokens(self, text: str) -> list[int]:
        return self.model.encode(text)

    @cached_property
    def cutter(self) -> FileCutter:
        return FileCutter(self.folder / "tokenizer.json")

    def sizes(self, text: str) -> list[int]:
        """Bytes of each token, that of SentencePiece's own space left out."""
        return list(map(int, self.cutter.cut([text])[0].sizes))

    def nats(self, text: str) -> list[float]:
        """-log p of every token, by rolling windows."""
        if text not in self._scored:
            windows = rolling_windows(self.tokens(text), self.model.prefix_token, WINDOW)
            self._scored[text] = [nats for window in windows for nats in self._window(window)]
        return self._scored[text]

    def chunked(self, text: str) -> list[float | None]:
        """-log p of every token but the first of each chunk, which has nothing before it."""
        tokens, found = self.tokens(text), list[float | None]()
        for start in range(0, len(tokens), WINDOW):
            chunk = tokens[start : start + WINDOW]
            found += [None, *(self._window(Window(chunk[:-1], chunk[1:])) if chunk[1:] else [])]
        return found

    def guide(self, text: str) -> tuple[list[float | None], float]:
        """-log p of every token but the first, and their sum as the guide weights it."""
        found: list[float | None] = [None]
        total = 0.0
        for window in guide_windows(self.tokens(text), WINDOW, STRIDE):
            nats = self._window(window)
            found += nats
            total += sum(nats) / len(nats) * window.counted
        return found, total

    def _window(self, window: Window) -> list[float]:
        (row,) = self.model.log_likelihoods([window])
        return [-float(one) for one in row]


def lab(folder: Path, tokenizer: Tokenizer) -> Lab:
    """Make a small model with random weights for a tokenizer."""
    folder.mkdir(parents=True)
    torch.manual_seed(1)
    torch.set_num_threads(1)  # as scoring does for a model this small
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=WINDOW,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": END, "eos_token": END}))
    found = read_directory("lab", folder)
    assert isinstance(found, HuggingFaceModel)
    module: Any = LlamaForCausalLM.from_pretrained(folder)
    module.eval()
    return Lab(folder, TorchModel(HuggingFaceTokenizer("lab", found), module))


@dataclass(frozen=True)
class Case:
    """A record, and the figure that is right."""

    record: dict[str, Any]
    truth: float


def figure(documents: Sequence[dict[str, Any]]) -> float:
    """All nats over all bytes, in bits."""
    nats, total = (sum(float(d[key]) for d in documents) for key in ("nats", "bytes"))
    return nats / math.log(2) / total


def size(text: str) -> int:
    return len(text.encode())


def _case(
    lab: Lab, documents: list[dict[str, Any]], truth: float, claim: float | None = None
) -> Case:
    for i, document in enumerate(documents):
        document["id"] = f"d{i}"
        document["nats"] = round(document["nats"], 6)
    record = {
        "format": "assay-bpb-record/1",
        "bits_per_byte": round(figure(documents) if claim is None else claim, 5),
        "tokenizer": lab.tokenizer,
        "window": WINDOW,
        "stride": STRIDE,
        "documents": documents,
    }
    return Case(record, truth)


def _counted(lab: Lab, count: Callable[[str], int]) -> Case:
    """A record whose bytes are counted in some way; everything else is right."""
    documents: list[dict[str, Any]] = [
        {"text": t, "bytes": count(t), "tokens": len(lab.tokens(t)), "nats": sum(lab.nats(t))}
        for t in texts()
    ]
    nats = sum(d["nats"] for d in documents)
    return _case(lab, documents, nats / math.log(2) / sum(map(size, texts())))


def sound(lab: Lab) -> Case:
    return _counted(lab, size)


def decoded_alone(lab: Lab) -> Case:
    """Each token decoded by itself, which also loses SentencePiece's spaces."""
    return _counted(lab, lambda text: sum(size(lab.model.decode([t])) for t in lab.tokens(text)))


def replacement_bytes(lab: Lab) -> Case:
    """A table of the vocabulary's bytes, with U+FFFD's three for parts of characters."""
    raw = {i: lab.model.decode([i]) for i in range(lab.model._model.config.vocab_size)}

    def one(token: int) -> int:
        piece = lab.model.decode([0, token])[len(lab.model.decode([0])) :]
        return size(piece if "\ufffd" not in raw[token] else raw[token])

    return _counted(lab, lambda text: sum(map(one, lab.tokens(text))) - _own(lab, text))


def _own(lab: Lab, text: str) -> int:
    return lab.cutter.cut([text])[0].own_space


def leading_space_twice(lab: Lab) -> Case:
    """A table with the space in it, and one more byte for each token that begins with one."""
    tokenizer = Tokenizer.from_file(lab.tokenizer)
    marks = ("\u2581", "\u0120")

    def count(text: str) -> int:
        pieces = [tokenizer.id_to_token(token) or "" for token in lab.tokens(text)]
        spaces = sum(piece.startswith(marks) for piece in pieces)
        return size(text) + spaces - _own(lab, text)

    return _counted(lab, count)


def own_space_bytes(lab: Lab) -> Case:
    return _counted(lab, lambda text: size(text) + 1)


def sentinels_as_text(lab: Lab) -> Case:
    """Capitals written as a private character and a small letter; the model reads that text."""

    def marked(text: str) -> str:
        def mark(match: re.Match[str]) -> str:
            word = match[0]
            if not word[0].isupper():
                return word.lower()
            all_of_it = len(word) > 1 and word.isupper()
            return ("\ue001\ue001" if all_of_it else "\ue001") + word.lower()

        return re.sub(r"[^\W\d_]+", mark, text)

    documents: list[dict[str, Any]] = [
        {
            "text": t,
            "bytes": size(marked(t)),
            "tokens": len(lab.tokens(marked(t))),
            "nats": sum(lab.nats(marked(t))),
        }
        for t in texts()
    ]
    nats = sum(d["nats"] for d in documents)
    return _case(lab, documents, nats / math.log(2) / sum(map(size, texts())))


def case_folded(lab: Lab) -> Case:
    """The figure of the folded text; what the source's is cannot be known."""
    documents: list[dict[str, Any]] = [
        {
            "text": t,
            "bytes": size(t),
            "tokens": len(lab.tokens(t.lower())),
            "nats": sum(lab.nats(t.lower())),
        }
        for t in texts()
    ]
    nats = sum(d["nats"] for d in documents)
    return _case(lab, documents, nats / math.log(2) / sum(size(t.lower()) for t in texts()))


def boundary_unscored(lab: Lab) -> Case:
    documents: list[dict[str, Any]] = []
    scored = 0
    for text in texts():
        nats = lab.chunked(text)
        documents.append(
            {
                "text": text,
                "bytes": size(text),
                "tokens": len(nats),
                "nats": sum(one or 0 for one in nats),
                "token_nats": [None if one is None else round(one, 6) for one in nats],
            }
        )
        scored += sum(b for b, one in zip(lab.sizes(text), nats, strict=True) if one is not None)
    nats_sum = sum(d["nats"] for d in documents)
    return _case(lab, documents, nats_sum / math.log(2) / scored)


def truncated(lab: Lab) -> Case:
    documents: list[dict[str, Any]] = []
    scored = 0
    for text in texts():
        nats = lab.nats(text)[:WINDOW]
        scored += sum(lab.sizes(text)[:WINDOW])
        documents.append(
            {"text": text, "bytes": size(text), "tokens": len(nats), "nats": sum(nats)}
        )
    nats_sum = sum(d["nats"] for d in documents)
    return _case(lab, documents, nats_sum / math.log(2) / scored)


def first_token_missing(lab: Lab) -> Case:
    documents: list[dict[str, Any]] = []
    scored = 0
    for text in texts():
        nats = lab.nats(text)[1:]
        scored += sum(lab.sizes(text)[1:])
        documents.append(
            {"text": text, "bytes": size(text), "tokens": len(nats), "nats": sum(nats)}
        )
    nats_sum = sum(d["nats"] for d in documents)
    return _case(lab, documents, nats_sum / math.log(2) / scored)


def first_token_left_out(lab: Lab) -> Case:
    """Neither scored nor counted, which is sound."""
    case = first_token_missing(lab)
    for document, text in zip(case.record["documents"], texts(), strict=True):
        document["bytes"] = sum(lab.sizes(text)[1:])
    case.record["bits_per_byte"] = round(case.truth, 5)
    return case


def one_text_but_its_first_token(lab: Lab) -> Case:
    """The same of a single text, of which any number of tokens may be missing."""
    case = first_token_left_out(lab)
    with_bytes = (one for one in case.record["documents"] if lab.sizes(one["text"])[0])
    document = max(with_bytes, key=lambda one: one["tokens"])
    document["characters"] = len(document["text"])
    return _case(lab, [document], figure([document]))


def coarse_likelihoods(lab: Lab) -> Case:
    """Likelihoods with two digits beside a sum with six; the model is sure of one token."""
    case = sound(lab)
    documents = case.record["documents"]
    for i, document in enumerate(documents):
        nats = list(lab.nats(document["text"]))
        nats[2] *= i != 3
        document["token_nats"] = [round(one, 2) for one in nats]
        document["nats"] = sum(nats)
    return _case(lab, documents, figure(documents))


def end_scored(lab: Lab) -> Case:
    """The end of each text is scored, too: another definition, and no mistake."""
    case = sound(lab)
    for document in case.record["documents"]:
        document["tokens"] += 1
        document["nats"] = round(document["nats"] + 0.5, 6)
    truth = figure(case.record["documents"])
    case.record["bits_per_byte"] = round(truth, 5)
    return Case(case.record, truth)


def token_weighted_mean(lab: Lab) -> Case:
    return _averaged(lab, lambda d: d["tokens"])


def mean_of_ratios(lab: Lab) -> Case:
    return _averaged(lab, lambda d: 1)


def _averaged(lab: Lab, weight: Callable[[dict[str, Any]], int]) -> Case:
    case = sound(lab)
    documents = case.record["documents"]
    ratios = [(d["nats"] / math.log(2) / d["bytes"], weight(d)) for d in documents]
    claim = sum(ratio * w for ratio, w in ratios) / sum(w for _, w in ratios)
    case.record["bits_per_byte"] = round(claim, 5)
    return case


def special_token_bytes(lab: Lab) -> Case:
    """The bytes of what decoding gives with the token that was put in front."""
    prefix = lab.model.prefix_token
    assert prefix is not None
    return _counted(
        lab,
        lambda text: (
            size(lab.model.decode([prefix, *lab.tokens(text)])) - (0 if _own(lab, text) == 0 else 1)
        ),
    )


def decoded_bytes(lab: Lab) -> Case:
    return _counted(lab, lambda text: size(lab.model.decode(lab.tokens(text))))


def characters(lab: Lab) -> Case:
    return _counted(lab, len)


def guide_weights(lab: Lab) -> Case:
    documents: list[dict[str, Any]] = []
    nats_sum, scored = 0.0, 0
    for text in texts():
        nats, total = lab.guide(text)
        documents.append(
            {
                "text": text,
                "bytes": size(text),
                "tokens": len(nats),
                "nats": total,
                "token_nats": [None if one is None else round(one, 6) for one in nats],
            }
        )
        nats_sum += sum(one or 0 for one in nats)
        scored += sum(lab.sizes(text)[1:])
    return _case(lab, documents, nats_sum / math.log(2) / scored)


def guide_counts(lab: Lab) -> Case:
    """The same without likelihoods: as many tokens as the windows weigh, and the guide's loss."""
    case = guide_weights(lab)
    for document in case.record["documents"]:
        windows = guide_windows(range(document["tokens"]), WINDOW, STRIDE)
        document["scored_tokens"] = sum(window.counted for window in windows)
        del document["token_nats"]
    return case


MISTAKES: dict[Mistake, Callable[[Lab], Case]] = {
    Mistake.REPLACEMENT_BYTES: replacement_bytes,
    Mistake.LEADING_SPACE_TWICE: leading_space_twice,
    Mistake.SENTINELS_AS_TEXT: sentinels_as_text,
    Mistake.CASE_FOLDED: case_folded,
    Mistake.BOUNDARY_UNSCORED: boundary_unscored,
    Mistake.TRUNCATED: truncated,
    Mistake.TOKEN_WEIGHTED_MEAN: token_weighted_mean,
    Mistake.FIRST_TOKEN_MISSING: first_token_missing,
    Mistake.SPECIAL_TOKEN_BYTES: special_token_bytes,
    Mistake.DECODED_BYTES: decoded_bytes,
    Mistake.CHARACTERS: characters,
    Mistake.GUIDE_WEIGHTS: guide_weights,
}
SOUND = {
    "sound": sound,
    "first token neither scored nor counted": first_token_left_out,
    "end of text scored": end_scored,
    "the same of one text": one_text_but_its_first_token,
    "coarse likelihoods": coarse_likelihoods,
}
