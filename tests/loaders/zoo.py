"""Small classifiers of every usual family, with random weights: what exporters write is what matters here."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.sure import sure


class Residual(nn.Module):
    def __init__(self, body: nn.Module, after: nn.Module | None = None, skip: nn.Module | None = None) -> None:
        super().__init__()
        self.body, self.after, self.skip = body, after or nn.Identity(), skip or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.after(self.skip(x) + self.body(x))
        return answer


class Fn(nn.Module):
    def __init__(self, fn: Callable[..., Tensor]) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        return self.fn(x)


def conv(i: int, o: int, k: int = 3, s: int = 1, g: int = 1) -> nn.Conv2d:
    return nn.Conv2d(i, o, k, s, k // 2, groups=g, bias=False)


def cbr(i: int, o: int, k: int = 3, s: int = 1, g: int = 1, act: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    return nn.Sequential(conv(i, o, k, s, g), nn.BatchNorm2d(o), act())


def head(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


class Squeeze(nn.Module):
    def __init__(self, c: int, gate: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.gate = nn.Conv2d(c, c // 2, 1), nn.Conv2d(c // 2, c, 1), gate

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.b(F.relu(self.a(F.adaptive_avg_pool2d(x, 1)))))


class Dense(nn.Module):
    def __init__(self, c: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(c + i * growth), nn.ReLU(), conv(c + i * growth, growth))
            for i in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class Branches(nn.Module):
    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([b(x) for b in self.branches], 1)


class Attention(nn.Module):
    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.qkv, self.out, self.heads = nn.Linear(d, 3 * d), nn.Linear(d, d), heads

    def forward(self, x: Tensor) -> Tensor:
        b, n, d = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        answer: Tensor = self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d))
        return answer


class ViT(nn.Module):
    def __init__(self, d: int = 16) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, d, 4, 4)
        self.token, self.place = nn.Parameter(torch.randn(1, 1, d)), nn.Parameter(torch.randn(1, 17, d))
        self.blocks = nn.Sequential(*[transformer(d, Attention(d, 2)) for _ in range(2)])
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        answer: Tensor = self.head(self.norm(self.blocks(x))[:, 0])
        return answer


def transformer(d: int, mix: nn.Module) -> nn.Sequential:
    mlp = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))
    return nn.Sequential(Residual(nn.Sequential(nn.LayerNorm(d), mix)), Residual(mlp))


def swap(x: Tensor) -> Tensor:
    return x.transpose(1, 2)


def shuffle(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    return x.reshape(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


class Windows(nn.Module):
    """Attention within shifted windows, as Swin does it."""

    def __init__(self, d: int, size: int, shift: int) -> None:
        super().__init__()
        self.attention, self.norm, self.size, self.shift = Attention(d, 2), nn.LayerNorm(d), size, shift

    def forward(self, x: Tensor) -> Tensor:
        b, d, h, w = x.shape
        y, s = torch.roll(x, (-self.shift, -self.shift), (2, 3)), self.size
        y = y.reshape(b, d, h // s, s, w // s, s).permute(0, 2, 4, 3, 5, 1).reshape(-1, s * s, d)
        y = self.attention(self.norm(y)).reshape(b, h // s, w // s, s, s, d)
        y = y.permute(0, 5, 1, 3, 2, 4).reshape(b, d, h, w)
        return x + torch.roll(y, (self.shift, self.shift), (2, 3))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = cbr(3, 8), cbr(8, 12, s=2), cbr(20, 12)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.head = head(12)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        answer: Tensor = self.head(self.c(torch.cat([a, self.up(self.b(a))], 1)))
        return answer


class ConvNeXt(nn.Module):
    def __init__(self, d: int) -> None:
        super().__init__()
        self.conv, self.norm = conv(d, d, 5, g=d), nn.LayerNorm(d)
        self.a, self.b, self.scale = nn.Linear(d, 3 * d), nn.Linear(3 * d, d), nn.Parameter(torch.rand(d))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x).permute(0, 2, 3, 1))
        answer: Tensor = x + (self.scale * self.b(F.gelu(self.a(y)))).permute(0, 3, 1, 2)
        return answer


def preact(i: int, o: int, s: int = 1) -> Residual:
    body = nn.Sequential(nn.BatchNorm2d(i), nn.ReLU(), conv(i, o, 3, s), nn.BatchNorm2d(o), nn.ReLU(), conv(o, o))
    return Residual(body, None, nn.Conv2d(i, o, 1, s) if s > 1 or i != o else None)


def basic(i: int, o: int, s: int = 1) -> Residual:
    body = nn.Sequential(conv(i, o, 3, s), nn.BatchNorm2d(o), nn.ReLU(), conv(o, o), nn.BatchNorm2d(o))
    return Residual(body, nn.ReLU(), nn.Sequential(conv(i, o, 1, s), nn.BatchNorm2d(o)) if s > 1 or i != o else None)


def inverted(c: int, act: type[nn.Module], gate: Callable[[Tensor], Tensor] | None = None) -> Residual:
    squeeze = [Squeeze(2 * c, gate)] if gate else []
    return Residual(
        nn.Sequential(cbr(c, 2 * c, 1, act=act), cbr(2 * c, 2 * c, g=2 * c, act=act), *squeeze, conv(2 * c, c, 1))
    )


def fire(i: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(i, 4, 1), nn.ReLU(), Branches(nn.Conv2d(4, 8, 1), nn.Conv2d(4, 8, 3, 1, 1)), nn.ReLU()
    )


S = nn.Sequential
ZOO: dict[str, Callable[[], nn.Module]] = {
    "plain_cnn": lambda: S(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(392, 10)),
    "lenet": lambda: S(
        nn.Conv2d(3, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 12, 5), nn.Sigmoid(),
        nn.MaxPool2d(2, ceil_mode=True), nn.Flatten(), nn.Linear(48, 20), nn.Tanh(), nn.Linear(20, 10),
    ),
    "mlp": lambda: S(nn.Flatten(), nn.Linear(768, 40), nn.LeakyReLU(), nn.Linear(40, 20), nn.ELU(), nn.Linear(20, 10)),
    "vgg": lambda: S(cbr(3, 8), cbr(8, 8), nn.MaxPool2d(2), cbr(8, 16), nn.MaxPool2d(2), nn.Dropout(0.5), head(16)),
    "resnet": lambda: S(cbr(3, 8), basic(8, 8), basic(8, 16, 2), head(16)),
    "preact_resnet": lambda: S(conv(3, 8), preact(8, 8), preact(8, 16, 2), nn.BatchNorm2d(16), nn.ReLU(), head(16)),
    "wide_resnet": lambda: S(conv(3, 8), preact(8, 32, 2), preact(32, 32), nn.BatchNorm2d(32), nn.ReLU(), head(32)),
    "mobilenet_v2": lambda: S(cbr(3, 8, s=2, act=nn.ReLU6), inverted(8, nn.ReLU6), inverted(8, nn.ReLU6), head(8)),
    "mobilenet_v3": lambda: S(cbr(3, 8, s=2, act=nn.Hardswish), inverted(8, nn.Hardswish, F.hardsigmoid), head(8)),
    "efficientnet": lambda: S(cbr(3, 8, s=2, act=nn.SiLU), inverted(8, nn.SiLU, torch.sigmoid), head(8)),
    "densenet": lambda: S(conv(3, 8), Dense(8, 4, 3), cbr(20, 10, 1), nn.AvgPool2d(2), Dense(10, 4, 2), head(18)),
    "convnext": lambda: S(nn.Conv2d(3, 12, 4, 4), ConvNeXt(12), ConvNeXt(12), head(12)),
    "vit": ViT,
    "mixer": lambda: S(
        nn.Conv2d(3, 12, 4, 4), nn.Flatten(2), Fn(swap),
        Residual(S(nn.LayerNorm(12), Fn(swap), nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 16), Fn(swap))),
        Residual(S(nn.LayerNorm(12), nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 12))),
        Fn(lambda x: x.mean(1)), nn.Linear(12, 10),
    ),
    "squeeze_excite": lambda: S(cbr(3, 8), Squeeze(8, torch.sigmoid), cbr(8, 12, s=2), head(12)),
    "group_norm": lambda: S(conv(3, 8), nn.GroupNorm(2, 8), nn.ReLU(), conv(8, 8, s=2), nn.GroupNorm(4, 8), head(8)),
    "instance_norm": lambda: S(
        conv(3, 8), nn.InstanceNorm2d(8, affine=True), nn.PReLU(8), conv(8, 8, s=2), nn.Softplus(), head(8)
    ),
    "shufflenet": lambda: S(cbr(3, 8, s=2), cbr(8, 8, 1, g=2), Fn(shuffle), cbr(8, 8, g=8), cbr(8, 8, 1, g=2), head(8)),
    "inception": lambda: S(
        cbr(3, 8), Branches(cbr(8, 4, 1), S(cbr(8, 4, 1), cbr(4, 4, 5)), S(nn.AvgPool2d(3, 1, 1), cbr(8, 4, 1))),
        head(12)
    ),
    "squeezenet": lambda: S(
        nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), fire(8), fire(16), nn.Conv2d(16, 10, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    ),
    "unet": UNet,
    "swin": lambda: S(nn.Conv2d(3, 12, 2, 2), Windows(12, 4, 0), Windows(12, 4, 2), head(12)),
    "transposed": lambda: S(cbr(3, 8, s=2), nn.ConvTranspose2d(8, 6, 3, 2, 1, 1), nn.Mish(), cbr(6, 6), head(6)),
    "pixel_shuffle": lambda: S(
        cbr(3, 16, s=2), nn.PixelShuffle(2), cbr(4, 8), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    ),
    "gru_rows": lambda: Rows(),  # noqa: PLW0108 - it is defined below
}  # fmt: skip


class Rows(nn.Module):
    """Reads an image row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.lstm, self.out = (
            nn.GRU(48, 12, batch_first=True),
            nn.LSTM(12, 8, batch_first=True),
            nn.Linear(8, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.gru(x.transpose(1, 2).flatten(2))
        answer: Tensor = self.out(self.lstm(y)[0][:, -1])
        return answer


def make(name: str, seed: int = 0) -> nn.Module:
    """A member of the zoo in inference mode, with lively batch statistics; input [B, 3, 16, 16]."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = ZOO[name]()
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.uniform_(sure(layer.running_mean), -0.5, 0.5)
                nn.init.uniform_(sure(layer.running_var), 0.5, 2.0)
                nn.init.uniform_(layer.weight, 0.5, 1.5)
    return module.eval()
