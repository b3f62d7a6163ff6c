"""Weights: arithmetic on log-weights, in float64.

Log-weights are (N,) arrays in nats; -inf is a particle of weight 0.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]

_BLOCK = 256


def log_sum_exp(log_weights: Floats) -> float:
    """Return log Σ exp(w_i); -inf where there is no mass at all."""
    top = float(np.max(log_weights, initial=-np.inf))
    if top == -np.inf:
        return -np.inf
    return top + float(np.log(np.sum(np.exp(log_weights - top))))


def log_masses(rows: Tensor) -> Tensor:
    """Return log Σ exp over the last axis of a (..., V) tensor, in float64.

    A float32 sum over a large vocabulary is off by 1e-5, always to the same side, and a run adds it up at each
    token. So float32 masses are summed in blocks of 256, which errs by 1e-7 to either side, and the blocks in float64;
    to sum them all in float64 takes five times as long.
    """
    lowest = torch.finfo(rows.dtype).min
    top = rows.amax(dim=-1, keepdim=True).clamp(min=lowest)  # finite where nothing is left
    masses = (rows - top).exp_()
    whole = masses.shape[-1] - masses.shape[-1] % _BLOCK if masses.dtype != torch.float64 else 0
    total = masses[..., whole:].sum(dim=-1, dtype=torch.float64)
    if whole:
        blocks: Tensor = masses[..., :whole].reshape(*masses.shape[:-1], -1, _BLOCK)
        total += blocks.sum(dim=-1).double().sum(dim=-1)
    return total.log() + top[..., 0].double()


def log_mean_exp(log_weights: Floats) -> float:
    """Return log of the mean weight: the log of the evidence estimate."""
    return log_sum_exp(log_weights) - float(np.log(len(log_weights)))


def normalise(log_weights: Floats) -> Floats:
    """Return the weights W_i = exp(w_i) / Σ exp(w_j), which sum to 1; there must be some mass."""
    weights = np.exp(log_weights - np.max(log_weights))
    normalised: Floats = weights / np.sum(weights)
    return normalised


def effective_sample_size(log_weights: Floats) -> float:
    """Return ESS = (Σ w_i)² / Σ w_i², between 1 and N; 0 where there is no mass."""
    if np.max(log_weights, initial=-np.inf) == -np.inf:
        return 0.0
    return float(1.0 / np.sum(normalise(log_weights) ** 2))
