"""The fingerprint of a module in memory."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn


def parameter_sha256(module: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all parameters and buffers, in the order of their names."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if isinstance(value, Tensor):
            flat = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
            digest.update(flat.numpy().tobytes())
    return digest.hexdigest()
