"""From the states of tokens to vectors. Everything here is float32, whatever the precision of the states."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from searchmesh_export.checkpoint import Pooling


def unit(vectors: Tensor) -> Tensor:
    """Along the last axis to unit length; zero stays zero."""
    return functional.normalize(vectors.float(), dim=-1)


def sentence(states: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """One unit-length vector a row [rows, width] of states [rows, length, width]; zero for a row of padding."""
    match pooling:
        case "mean":
            # Unit length makes the divisor of a mean immaterial.
            pooled = (states.float() * mask[:, :, None].float()).sum(dim=1)
        case "cls":
            pooled = states[:, 0].float() * mask[:, :1].float()
        case "last":
            pooled = last(states, mask).float() * mask[:, :1].float()
    return unit(pooled)


def last(states: Tensor, mask: Tensor) -> Tensor:
    """The state of each row's last real token [rows, width]; of the first position where there is none."""
    position = (mask.sum(dim=1, keepdim=True) - 1).clamp(min=0)
    return picked(states, position)[:, 0]


def picked(states: Tensor, picks: Tensor) -> Tensor:
    """States [rows, picks, width] at these positions [rows, picks]."""
    return states.gather(1, picks[:, :, None].expand(-1, -1, states.shape[-1]))


def of_spans(states: Tensor, spans: Tensor) -> Tensor:
    """The mean of the states of each span [rows, spans, 2], of unit length [rows, spans, width]; zero for (0, 0)."""
    positions = torch.arange(states.shape[1], device=states.device)
    inside = (positions >= spans[:, :, :1]) & (positions < spans[:, :, 1:])
    return unit(inside.float() @ states.float())
