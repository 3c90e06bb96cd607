"""The optimiser of the reference model: Muon for matrices, Adam for the rest.

Muon (Jordan et al., 2024) replaces a matrix's momentum by the nearest semi-orthogonal matrix,
computed with a few Newton-Schulz steps. Small models learn from about half the bytes with it.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def _orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """Approximate the semi-orthogonal factor of a matrix by a quintic Newton-Schulz iteration."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    factor: Tensor = (x.T if tall else x).float()
    return factor


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; for two-dimensional weights between hidden layers."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, momentum: float) -> None:
        super().__init__(list(parameters), {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Take one step from the gradients that the parameters hold."""
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(gradient)
                buffer = state["momentum"]
                buffer.lerp_(gradient, 1 - group["momentum"])
                update = _orthogonalise(gradient.lerp(buffer, group["momentum"]))
                scale = max(1.0, parameter.shape[0] / parameter.shape[1]) ** 0.5
                parameter.add_(update, alpha=-group["lr"] * scale)
