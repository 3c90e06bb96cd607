"""The reference language model's architecture in torch; only training and export import it.

A causal transformer over bytes, small enough to be trained in minutes on one core, helped by two
things that cost little:

* suffix matches (`suffix_predictions`): at each position, which byte followed earlier occurrences
  of the last 1 to 32 bytes in the window, weighted towards longer matches. It is what a PPM
  compressor knows, has no weights, and enters as an input and again at the output, gated;
* attention that is local (the last 128 to 256 positions), so the cost of a window grows slowly
  with its length and a model trained on short windows scores long ones.

Tokens are the 256 byte values and `BOS` (256), which only ever stands before a document; the model
therefore predicts 256 classes, and the probabilities of the next byte sum to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor, nn

BOS = 256
_SHARPNESS = (1.0, 2.5)  # weight of a match grows by exp of this for each level of length
_FLOOR = 1e-3


@dataclass(frozen=True)
class Shape:
    """Sizes of the model; `block` positions attend to their block and the one before."""

    layers: int = 4
    width: int = 128
    heads: int = 4
    expansion: int = 3
    block: int = 128


def _norm(x: Tensor) -> Tensor:
    """Scale the last axis to unit root mean square."""
    return F.rms_norm(x, (x.shape[-1],), eps=1e-6)


def _shift(match: Tensor, by: int) -> Tensor:
    """Move a [batch, length, length] matrix down its diagonals."""
    return F.pad(match, (by, 0, by, 0))[:, :-by, :-by]


def suffix_predictions(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Predict each next byte from earlier occurrences of the bytes before it.

    Returns log-probabilities [batch, length, sharpnesses, 256] and the level of the longest match
    [batch, length], 0 to 11.
    """
    length = tokens.shape[1]
    earlier = torch.ones(length, length, dtype=torch.bool, device=tokens.device).tril(-1)
    m1 = (tokens[:, :, None] == tokens[:, None, :]) & earlier
    m2 = m1 & _shift(m1, 1)
    m3, m4 = m2 & _shift(m2, 1), m2 & _shift(m2, 2)
    m5, m6, m8 = m4 & _shift(m4, 1), m4 & _shift(m4, 2), m4 & _shift(m4, 4)
    m12, m16 = m8 & _shift(m8, 4), m8 & _shift(m8, 8)
    m24, m32 = m16 & _shift(m16, 8), m16 & _shift(m16, 16)
    level = m1.float()
    for match in (m2, m3, m4, m5, m6, m8, m12, m16, m24, m32):
        level = level + match.float()
    following = F.pad(F.one_hot(tokens, BOS + 1)[:, 1:, :BOS].float(), (0, 0, 0, 1))
    found = (level > 0).float()
    predictions = []
    for sharpness in _SHARPNESS:
        weight = torch.exp(sharpness * level) * found
        total = weight.sum(2, keepdim=True)
        share = (weight @ following).float() / (total + 1.0)
        predictions.append(torch.log(share + _FLOOR))
    return torch.stack(predictions, 2), level.amax(2).long()


class _ShortConvolution(nn.Module):
    """x + causal depthwise convolution of x over three positions, [batch, length, width]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, width))

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        padded = F.pad(x, (0, 0, 2, 0))
        return x * (1 + self.weight[2]) + (
            padded[:, :length] * self.weight[0] + padded[:, 1 : length + 1] * self.weight[1]
        )


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding of [..., length, size]."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


class _Block(nn.Module):
    """Local attention and MLP, each behind a norm."""

    cos: Tensor
    sin: Tensor
    visible: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, block = shape.width, shape.block
        self.heads, self.block = shape.heads, block
        self.mix = _ShortConvolution(width)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.project = nn.Linear(width, width, bias=False)
        self.expand = nn.Linear(width, shape.expansion * width, bias=False)
        self.contract = nn.Linear(shape.expansion * width, width, bias=False)
        # A block begins by adding nothing.
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.contract.weight)
        size = width // shape.heads
        angles = torch.arange(2 * block)[:, None] * 1e4 ** (-torch.arange(0, size, 2) / size)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        row, column = torch.arange(block)[:, None], torch.arange(2 * block)[None, :]
        self.register_buffer("visible", column <= row + block, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.project(self._attend(self.mix(_norm(x))))
        y: Tensor = x + self.contract(F.relu(self.expand(_norm(x))).square())
        return y

    def _attend(self, h: Tensor) -> Tensor:
        """Attend within each block and the one before; the length is a multiple of the block."""
        batch, length, width = h.shape
        c, blocks, size = self.block, length // self.block, width // self.heads
        q, k, v = (
            self.query_key_value(h)
            .view(batch, blocks, c, 3, self.heads, size)
            .permute(3, 0, 1, 4, 2, 5)  # [3, batch, blocks, heads, block, size]
        )
        q = _rotate(_norm(q), self.cos[c:].to(q.dtype), self.sin[c:].to(q.dtype))
        k = _norm(k)
        k = torch.cat((F.pad(k, (0, 0, 0, 0, 0, 0, 1, 0))[:, :-1], k), dim=3)
        v = torch.cat((F.pad(v, (0, 0, 0, 0, 0, 0, 1, 0))[:, :-1], v), dim=3)
        k = _rotate(k, self.cos.to(k.dtype), self.sin.to(k.dtype))
        inside = torch.arange(length, device=h.device).view(blocks, 1, 1, c)[:, :, :1, :1] > 0
        now = torch.arange(2 * c, device=h.device) >= c
        mask = self.visible & (inside | now)  # the first block has none before it
        scores = (q @ k.transpose(-1, -2)) * size**-0.5
        a = scores.masked_fill(~mask, -1e4).softmax(-1).to(v.dtype) @ v
        merged: Tensor = a.transpose(2, 3).reshape(batch, length, width)
        return merged


class ByteTransformer(nn.Module):
    """Token ids [batch, length] -> logits of the next byte [batch, length, 256]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(BOS + 1, shape.width)
        self.embed_level = nn.Embedding(12, shape.width)
        self.embed_predictions = nn.Linear(len(_SHARPNESS) * BOS, shape.width, bias=False)
        self.blocks = nn.ModuleList(_Block(shape) for _ in range(shape.layers))
        self.gate = nn.Linear(shape.width, len(_SHARPNESS))
        self.head = nn.Linear(shape.width, BOS)
        self._initialise()

    def _initialise(self) -> None:
        nn.init.normal_(self.embed_level.weight, std=0.1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        nn.init.zeros_(self.gate.weight)
        nn.init.constant_(self.gate.bias, 0.3)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits of the byte after each token."""
        length = tokens.shape[1]
        tokens = F.pad(tokens, (0, (-length) % self.shape.block))
        with torch.no_grad():
            predictions, level = suffix_predictions(tokens)
        known = predictions.flatten(2).exp()
        x = self.embed(tokens) + self.embed_level(level) + self.embed_predictions(known)
        x = _norm(x)
        for block in self.blocks:
            x = block(x)
        x = _norm(x)
        gated = (self.gate(x).unsqueeze(3) * predictions).sum(2)
        logits: Tensor = self.head(x) + gated
        return logits[:, :length]


class LogLikelihoods(nn.Module):
    """What is exported: tokens, targets -> log p of the targets, all [batch, length]."""

    def __init__(self, model: ByteTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Return log p of each target after the tokens up to its place, in nats."""
        logits: Tensor = self.model(tokens).float()
        return logits.gather(2, targets.unsqueeze(2)).squeeze(2) - logits.logsumexp(2)
