"""Trains the adversarially trained MNIST LeNet that the benchmarks use beside the plain one (linf, eps 0.3, PGD).

    ROBUSTEVAL_TEST_DATA=... python benchmarks/train_robust_lenet.py

Writes benchmarks/out/robust-lenet.pt (a state dict) and robust-lenet.onnx, and prints clean accuracy and robust
accuracy under PGD-40 at 0.3 on 1,000 test images. One thread, one seed: about ten minutes on one core, the same file
every time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from setting import OUT, load_images, new_lenet
from torch import Tensor, nn

BATCH = 100
SEED = 0


def perturb(model: nn.Module, x: Tensor, y: Tensor, eps: float, steps: int, rng: torch.Generator) -> Tensor:
    """PGD in linf from a random start, steps of 2.5 eps / steps: [B, 1, 28, 28] -> [B, 1, 28, 28]."""
    adversarial = (x + (torch.rand(x.shape, generator=rng) * 2 - 1) * eps).clamp(0, 1)
    for _ in range(steps):
        leaf = adversarial.detach().requires_grad_(True)
        (grad,) = torch.autograd.grad(nn.functional.cross_entropy(model(leaf), y, reduction="sum"), leaf)
        adversarial = adversarial + 2.5 * eps / steps * grad.sign()
        adversarial = torch.minimum(torch.maximum(adversarial, x - eps), x + eps).clamp(0, 1)
    return adversarial.detach()


def batches(x: Tensor, y: Tensor, rng: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    order = torch.randperm(len(x), generator=rng)
    for start in range(0, len(x) - BATCH + 1, BATCH):
        rows = order[start : start + BATCH]
        yield x[rows], y[rows]


def train(model: nn.Module, x: Tensor, y: Tensor, epochs: int, eps: float, steps: int) -> None:
    rng = torch.Generator().manual_seed(SEED)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    total = epochs * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=total)
    step, began = 0, time.process_time()
    for epoch in range(epochs):
        for images, labels in batches(x, y, rng):
            now = eps * min(1.0, step / (0.4 * total))
            adversarial = perturb(model, images, labels, now, steps, rng)
            loss = nn.functional.cross_entropy(model(adversarial), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
        print(
            f"epoch {epoch + 1}: loss {float(loss.detach()):.3f}, {time.process_time() - began:.0f} CPU s", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--eps", type=float, default=0.3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)  # the initial weights
    model = new_lenet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    train(model, *load_images("train"), options.epochs, options.eps, options.steps)
    model.eval()
    x, y = load_images("test")
    clean = (model(x).argmax(1) == y).float().mean()
    lost = perturb(model, x[:1000], y[:1000], options.eps, 40, torch.Generator().manual_seed(SEED + 1))
    robust = (model(lost).argmax(1) == y[:1000]).float().mean()
    print(f"clean accuracy {float(clean):.4f}; under PGD-40 at {options.eps}: {float(robust):.4f}")
    options.out.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), options.out / "robust-lenet.pt")
    torch.onnx.export(
        model,
        (x[:2],),
        options.out / "robust-lenet.onnx",
        input_names=["x"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        verbose=False,
    )


if __name__ == "__main__":
    main()
