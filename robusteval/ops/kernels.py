"""Convolution and pooling by other arithmetic than torch's, for the passes of an attack on a processor.

An attack needs gradients by the input only, and many of them on the same few shapes. Torch's max pooling is scalar
where images are laid out channels first, and its gradient of a convolution by the input goes through a matrix of
patches; the ones here are several times faster there. They change results by rounding at most; where one does not
apply, torch's does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_FEW = 4  # input channels below which patches beat a convolution with flipped weights
_BELOW_ZERO = -1e-45  # the largest float32 below 0
_BATCH = 16  # samples below which there is nothing to gain; from there on torch has its fast convolution


class OwnKernels(TorchFunctionMode):
    """While it is entered, convolutions and max poolings that these kernels can do are done by them."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.conv2d:
            out = _convolution(*args, **(kwargs or {}))
        elif func is F.max_pool2d or func is torch.max_pool2d:
            out = _pooling(*args, **(kwargs or {}))
        else:
            out = None
        return func(*args, **(kwargs or {})) if out is None else out


def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    """As torch.conv2d; None where it does not apply."""
    around = _pair(padding)
    sides = weight.shape[2:]
    plain = _pair(stride) == (1, 1) and _pair(dilation) == (1, 1) and groups == 1
    constant = not weight.requires_grad and (bias is None or not bias.requires_grad)
    if not (plain and constant and _usable(input) and weight.dtype is torch.float32):
        return None
    if around is None or around[0] >= sides[0] or around[1] >= sides[1] or max(sides) < 2:
        return None
    out: Tensor = _Convolution.apply(input, weight, bias, around)  # type: ignore[no-untyped-call]
    return out


def _pooling(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | None:
    """As torch's max_pool2d for windows of 2 x 2 side by side; None for others."""
    stride = kernel_size if stride is None or stride == [] else stride
    side_by_side = (
        _pair(kernel_size) == (2, 2) == _pair(stride) and _pair(padding) == (0, 0) and _pair(dilation) == (1, 1)
    )
    if not side_by_side or ceil_mode or return_indices or not _usable(input) or min(input.shape[2:]) < 2:
        return None
    out: Tensor = _Pooling.apply(input)  # type: ignore[no-untyped-call]
    return out


class _Convolution(torch.autograd.Function):
    """Stride 1. The gradient by the input is a convolution of the output's with the flipped weights."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.padding, ctx.sides = padding, x.shape[2:]
        if weight.shape[1] < _FEW and torch.backends.mkldnn.is_available():
            out: Tensor = torch.mkldnn_convolution(x, weight, bias, padding, (1, 1), (1, 1), 1)
            return out
        return torch.conv2d(x, weight, bias, padding=padding)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        (high, wide), (above, aside) = weight.shape[2:], ctx.padding
        if weight.shape[1] < _FEW:
            return _patches(grads[0], weight, ctx.padding, ctx.sides), None, None, None
        flipped = weight.flip(2, 3).transpose(0, 1).contiguous()
        return torch.conv2d(grads[0], flipped, padding=(high - 1 - above, wide - 1 - aside)), None, None, None


def _patches(grad: Tensor, weight: Tensor, padding: tuple[int, int], sides: tuple[int, int]) -> Tensor:
    """The same as shifted sums of what each of the weights' places contributes."""
    batch, out, rows, columns = grad.shape
    channels, high, wide = weight.shape[1:]
    each = weight.permute(2, 3, 1, 0).reshape(-1, out) @ grad.reshape(batch, out, rows * columns)
    each = each.view(batch, high, wide, channels, rows, columns)
    total = each.new_zeros(batch, channels, rows + high - 1, columns + wide - 1)
    for i in range(high):
        for j in range(wide):
            total[:, :, i : i + rows, j : j + columns] += each[:, i, j]
    return total[:, :, padding[0] : padding[0] + sides[0], padding[1] : padding[1] + sides[1]]


class _Pooling(torch.autograd.Function):
    """The largest of 2 x 2 values; the gradient goes to the first of them in reading order, as torch's does."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        a, b, c, d = _quarters(x)
        out = torch.maximum(torch.maximum(a, b), torch.maximum(c, d))
        ctx.save_for_backward(x, out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        x, out = ctx.saved_tensors
        whole = torch.zeros_like(x) if x.shape[2] % 2 or x.shape[3] % 2 else torch.empty_like(x)
        rest = grads[0]
        *values, _ = _quarters(x)
        *places, last = _quarters(whole)
        for value, slot in zip(values, places, strict=True):
            # where the value is the largest the difference is 0, above the threshold, and elsewhere at most -2^-149
            mine = torch.ops.aten.threshold_backward(rest, value - out, _BELOW_ZERO)
            slot.copy_(mine)
            rest = rest - mine
        last.copy_(rest)
        return whole


def _quarters(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The four places of each window as views, in reading order."""
    rows, columns = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
    upper, lower = x[:, :, 0:rows:2], x[:, :, 1:rows:2]
    return upper[..., 0:columns:2], upper[..., 1:columns:2], lower[..., 0:columns:2], lower[..., 1:columns:2]


def _usable(x: Tensor) -> bool:
    return x.dim() == 4 and len(x) >= _BATCH and x.dtype is torch.float32 and x.device.type == "cpu"


def _pair(value: Any) -> tuple[int, int] | None:
    """Two numbers out of one or two; None for anything else, such as "same"."""
    if isinstance(value, int):
        return value, value
    if isinstance(value, (tuple, list)) and 0 < len(value) <= 2 and all(isinstance(element, int) for element in value):
        return value[0], value[-1]
    return None
