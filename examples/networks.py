"""The networks of the example models: images [B, 1, 28, 28] in [0, 1] to logits [B, 10], normalisation inside."""

import torch
from torch import Tensor, nn

MEAN, STD = 0.2860, 0.3530  # of the 60,000 training images


class Normalize(nn.Module):
    """Subtracts the mean of the training pixels and divides by their standard deviation."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - MEAN) / STD


def cnn(width: int, hidden: int) -> nn.Sequential:
    """Two stride-2 convolutions and two linear layers. Strides stand in for pooling, because a pass must be cheap."""
    return nn.Sequential(
        Normalize(),
        nn.Conv2d(1, width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * width * 7 * 7, hidden),
        nn.ReLU(),
        nn.Linear(hidden, 10),
    )


class Block(nn.Module):
    """One pre-norm transformer block over tokens [B, T, D]."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.merge = nn.Linear(dim, dim)
        self.norm_mlp = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attention(self.norm_attention(tokens))
        mixed: Tensor = tokens + self.mlp(self.norm_mlp(tokens))
        return mixed

    def attention(self, tokens: Tensor) -> Tensor:
        # Spelled out in plain matrix products: the exported graph then holds only common operators.
        count, dim = tokens.shape[1:]
        heads = self.qkv(tokens).reshape(-1, count, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = heads[0], heads[1], heads[2]
        weights = (query @ key.transpose(-2, -1) * (dim // self.heads) ** -0.5).softmax(dim=-1)
        merged: Tensor = self.merge((weights @ value).transpose(1, 2).reshape(-1, count, dim))
        return merged


class VisionTransformer(nn.Module):
    """Non-overlapping patches, learned positions, pre-norm blocks, mean over the tokens."""

    def __init__(self, patch: int = 7, dim: int = 64, depth: int = 3, heads: int = 4) -> None:
        super().__init__()
        self.normalize = Normalize()
        self.embed = nn.Conv2d(1, dim, patch, stride=patch)
        self.position = nn.Parameter(torch.randn(1, (28 // patch) ** 2, dim) * 0.02)
        self.blocks = nn.Sequential(*(Block(dim, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(self.normalize(x)).flatten(2).transpose(1, 2) + self.position
        scores: Tensor = self.head(self.norm(self.blocks(tokens)).mean(dim=1))
        return scores
