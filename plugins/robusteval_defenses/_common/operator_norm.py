"""Largest factors by which linear layers can stretch an input in L2: exact for matrices, tight bounds for
convolutions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_LARGEST = 2**24  # entries of a convolution's spectrum, above which the coarser bound is taken


def matrix_norm(weight: Tensor) -> Tensor:
    """The spectral norm of a matrix or the largest of several, [..., A, B] -> [], with a gradient; complex too.

    Singular vectors are constants for the gradient, which is exact where the largest value is single.
    """
    flat = weight.reshape(-1, *weight.shape[-2:])
    with torch.no_grad():
        wide = flat.shape[1] <= flat.shape[2]
        gram = flat @ flat.mH if wide else flat.mH @ flat
        values, vectors = torch.linalg.eigh(gram)
        top = int(values[:, -1].argmax())
        one = vectors[top, :, -1]
        other = (flat[top].mH if wide else flat[top]) @ one
        other = other / torch.linalg.vector_norm(other).clamp_min(torch.finfo(other.real.dtype).tiny)
        left, right = (one, other) if wide else (other, one)
    norm: Tensor = (left.conj() @ (flat[top] @ right)).real
    return norm


def conv_norm(weight: Tensor, size: tuple[int, ...], stride: list[int], dilation: list[int], groups: int) -> Tensor:
    """An upper bound of the spectral norm of a zero-padded 2-D convolution, whatever its padding; [].

    weight: [out, in / groups, kh, kw]; size: (H, W) of the input. The layer is a part of a circular convolution on a
    torus so large that nothing wraps, with a stride taken apart into phases (which only rearranges the input); that
    one's norm is the largest over frequencies. Where its spectrum is too large: sqrt(||.||_1 ||.||_inf).
    """
    parts = weight.reshape(groups, -1, *weight.shape[1:])
    bounds = [_one_conv_norm(part, size, stride, dilation) for part in parts]
    return torch.stack(bounds).amax()


def _one_conv_norm(weight: Tensor, size: tuple[int, ...], stride: list[int], dilation: list[int]) -> Tensor:
    spread = weight.new_zeros(
        *weight.shape[:2],
        *[math.ceil((d * (k - 1) + 1) / s) * s for k, d, s in zip(weight.shape[2:], dilation, stride, strict=True)],
    )
    height, width = (d * (k - 1) + 1 for k, d in zip(weight.shape[2:], dilation, strict=True))
    spread[:, :, :height:dilation[0], :width:dilation[1]] = weight  # fmt: skip
    out, into, rows, columns = spread.shape
    phases = spread.reshape(out, into, rows // stride[0], stride[0], columns // stride[1], stride[1])
    kernel = phases.permute(0, 1, 3, 5, 2, 4).reshape(out, -1, rows // stride[0], columns // stride[1])
    torus = [math.ceil(length / step) + taps for length, step, taps in zip(size, stride, kernel.shape[2:], strict=True)]
    if kernel.shape[0] * kernel.shape[1] * math.prod(torus) > _LARGEST:
        absolute = weight.abs()
        return (absolute.sum((1, 2, 3)).amax() * absolute.sum((0, 2, 3)).amax()).sqrt()
    return matrix_norm(torch.fft.rfft2(kernel, s=torus).permute(2, 3, 0, 1))
