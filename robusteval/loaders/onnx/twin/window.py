"""The geometry of sliding windows: explicit padding for convolutions and pools, whatever the file says it is."""

from __future__ import annotations

from dataclasses import dataclass

from robusteval.loaders.onnx.twin.node import Node

Pads = list[tuple[int, int]]


@dataclass(frozen=True)
class Window:
    """Strides, dilations and padding of a convolution or a pool, by spatial axis."""

    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    explicit: tuple[int, ...]
    auto: str
    ceil: bool

    @staticmethod
    def of(node: Node, rank: int) -> Window:
        """Reads the attributes of `node` for `rank` spatial axes."""
        return Window(
            tuple(node.get_ints("strides") or [1] * rank),
            tuple(node.get_ints("dilations") or [1] * rank),
            tuple(node.get_ints("pads") or [0] * (2 * rank)),
            node.get_str("auto_pad", "NOTSET"),
            bool(node.get_int("ceil_mode")),
        )

    @property
    def symmetric(self) -> tuple[int, ...] | None:
        """The padding as torch's own convolutions take it, or None where it must be done apart."""
        half = len(self.explicit) // 2
        if self.auto == "VALID":
            return (0,) * half
        if self.auto == "NOTSET" and self.explicit[:half] == self.explicit[half:] and min(self.explicit) >= 0:
            return self.explicit[:half]
        return None

    def pads(self, sizes: list[int], kernel: list[int]) -> Pads:
        """Padding before and after each spatial axis, without what `ceil_mode` adds."""
        half = len(self.explicit) // 2
        if self.auto == "VALID":
            return [(0, 0)] * half
        if self.auto in ("NOTSET", ""):
            return [(self.explicit[i], self.explicit[i + half]) for i in range(half)]
        out = []
        for n, k, s, d in zip(sizes, kernel, self.strides, self.dilations, strict=True):
            total = max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)
            small = total // 2
            out.append((small, total - small) if self.auto == "SAME_UPPER" else (total - small, small))
        return out

    def overhang(self, sizes: list[int], kernel: list[int], pads: Pads) -> list[int]:
        """How far the last window reaches beyond the padded input with `ceil_mode`; 0 without it."""
        out = []
        for n, k, s, d, (a, b) in zip(sizes, kernel, self.strides, self.dilations, pads, strict=True):
            span = (k - 1) * d + 1
            free = n + a + b - span
            count = -(-free // s) if self.ceil else free // s
            if self.ceil and count * s >= n + a:  # a window may not start in the padding behind the input
                count -= 1
            out.append(max(0, count * s - free))
        return out
