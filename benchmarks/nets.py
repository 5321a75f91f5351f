"""Networks of the size that people deploy, in plain torch with random weights: what an attack costs depends on no
others."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Bottleneck(nn.Module):
    """Three convolutions and a way around them (He et al. 2016)."""

    def __init__(self, inner: int, width: int, stride: int) -> None:
        super().__init__()
        outer = 4 * width
        self.body = nn.Sequential(
            *(nn.Conv2d(inner, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, outer, 1, bias=False), nn.BatchNorm2d(outer)),
        )
        same = stride == 1 and inner == outer
        self.around: nn.Module = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, 4 width, H / stride, W / stride]."""
        return F.relu(self.body(x) + self.around(x))


def resnet50(classes: int = 1000, size: int = 224) -> nn.Module:
    """25.6 million parameters; [B, 3, size, size] -> [B, classes]. Batch statistics are those of 16 random images."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    layers.append(nn.MaxPool2d(3, 2, 1))
    inner = 64
    for blocks, width, stride in ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)):
        for number in range(blocks):
            layers.append(Bottleneck(inner, width, stride if number == 0 else 1))
            inner = 4 * width
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inner, classes))
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0
    with torch.no_grad():
        net.train()(images(16, size))
    return frozen(net)


class Block(nn.Module):
    """Attention and a perceptron, each after a normalisation (Dosovitskiy et al. 2021)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """[B, tokens, width] -> the same."""
        batch, tokens, width = x.shape
        qkv = self.qkv(self.before(x)).reshape(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width)
        x = x + self.out(seen)
        more: Tensor = self.mlp(self.between(x))
        return x + more


class ViT(nn.Module):
    """A vision transformer of patches of 16 pixels; ViT-B has 12 blocks of width 768 and 12 heads: 86 million
    parameters."""

    def __init__(
        self, classes: int = 1000, size: int = 224, width: int = 768, blocks: int = 12, heads: int = 12
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.first = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.places = nn.Parameter(torch.randn(1, (size // 16) ** 2 + 1, width) * 0.02)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(blocks)))
        self.after, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, size, size] -> [B, classes]."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.first.expand(len(x), -1, -1), tokens], 1) + self.places
        scores: Tensor = self.head(self.after(self.blocks(tokens))[:, 0])
        return scores


def vit_b16(classes: int = 1000, size: int = 224) -> nn.Module:
    """ViT-B/16."""
    return frozen(ViT(classes, size))


def frozen(net: nn.Module) -> nn.Module:
    """In evaluation mode, its parameters at rest."""
    for weight in net.parameters():
        weight.requires_grad_(False)
    return net.eval()


def images(count: int, size: int = 224, seed: int = 0) -> Tensor:
    """Smooth random images [count, 3, size, size] in [0, 1]."""
    coarse = torch.rand((count, 3, size // 8, size // 8), generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
