"""The checks of a model loader."""

from __future__ import annotations

import pickle
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from robusteval.contracts.classifier import GRADIENTS, Classifier, LoadOptions
from robusteval.contracts.plugins import Loader
from robusteval.errors import AccessError, RobustEvalError
from robusteval.testing.checks import applies, case, fail, require
from robusteval.testing.facts import FACTS, built, global_randomness, split
from robusteval.testing.problems import inputs


@dataclass
class LoaderSubject:
    """A loader, and a good file for it with the options that it takes."""

    given: object
    path: Path | None = None
    options: LoadOptions = field(default_factory=LoadOptions)
    loaded: list[Classifier] = field(default_factory=list)

    @property
    def plugin(self) -> type:
        return split(self.given)[0]

    @property
    def info(self) -> Any:
        return self.plugin.info  # type: ignore[attr-defined]

    def make(self) -> Loader:
        made: Loader = built(self.given)
        return made

    def classifier(self) -> Classifier:
        """The classifier in the good file, loaded once."""
        applies(self.path is not None, "No good file was given to the kit.")
        if not self.loaded and self.path is not None:
            self.loaded.append(self.make().load(self.path, self.options))
        return self.loaded[0]

    def stated(self, **options: Any) -> Classifier | None:
        """The classifier read with other options; None where the loader refuses them."""
        applies(self.path is not None, "No good file was given to the kit.")
        try:
            return self.make().load(self.path or Path(), replace(self.options, **options))
        except RobustEvalError as error:
            require(bool(error.message.strip()), f"Its refusal of {', '.join(options)} says nothing.")
            return None

    def samples(self, batch: int = 4) -> torch.Tensor:
        """Inputs for the classifier; one sample where the file takes no other batch."""
        info = self.classifier().info
        return inputs(info, info.batch or batch, spread=0.4)


def names_its_endings(subject: LoaderSubject) -> None:
    """info.suffixes are file endings in lower case, with the dot."""
    suffixes = subject.info.suffixes
    good = suffixes and all(
        suffix.startswith(".") and suffix == suffix.lower() and len(suffix) > 1 for suffix in suffixes
    )
    require(bool(good), f"info.suffixes is {suffixes!r}.")


def _refuses(subject: LoaderSubject, content: bytes | None, what: str) -> None:
    for suffix in subject.info.suffixes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"model{suffix}"
            if content is not None:
                path.write_bytes(content)
            try:
                subject.make().load(path, subject.options)
            except RobustEvalError as error:
                require(bool(error.message.strip()), f"Its error about {what} says nothing.")
            except Exception as error:  # noqa: BLE001 - any other type is the finding
                fail(f"{what} ({suffix}) raises {type(error).__name__}, not ModelError.")
            else:
                fail(f"{what} ({suffix}) is loaded as if it were a model.")


def refuses_garbage(subject: LoaderSubject) -> None:
    """A file that is no model raises ModelError with a sentence, not a traceback."""
    _refuses(subject, bytes(range(256)) * 4, "A file of garbage")


def refuses_an_empty_file(subject: LoaderSubject) -> None:
    """An empty file raises ModelError."""
    _refuses(subject, b"", "An empty file")


def refuses_a_missing_file(subject: LoaderSubject) -> None:
    """A path where there is no file raises ModelError."""
    _refuses(subject, None, "A missing file")


def tells_the_facts(subject: LoaderSubject) -> None:
    """The classifier's info has a hash, a shape, a range and a known word on gradients."""
    info = subject.classifier().info
    require(len(info.sha256) == 64, f"info.sha256 is {info.sha256!r}.")
    require(len(info.input_shape) in (1, 3), f"info.input_shape is {info.input_shape}, neither (D,) nor (C, H, W).")
    require(info.classes >= 2, f"info.classes is {info.classes}.")
    require(info.bounds[0] < info.bounds[1], f"info.bounds is {info.bounds}.")
    require(info.gradients in GRADIENTS, f"info.gradients is {info.gradients!r}.")
    explained = info.gradients == "exact" or info.gradients_reason.strip() != ""
    require(explained, "info.gradients_reason does not say why gradients are not exact.")


def answers_with_logits(subject: LoaderSubject) -> None:
    """logits gives finite float32 [B, K] without a gradient."""
    x = subject.samples()
    logits = subject.classifier().logits(x)
    expected = (len(x), subject.classifier().info.classes)
    require(tuple(logits.shape) == expected, f"logits has shape {tuple(logits.shape)}, not {expected}.")
    require(logits.dtype == torch.float32, f"logits is {logits.dtype}.")
    require(bool(torch.isfinite(logits).all()), "logits holds NaN or infinity.")
    require(not logits.requires_grad, "logits carries a gradient.")


def has_a_twin_that_agrees(subject: LoaderSubject) -> None:
    """twin gives the same scores with a gradient, or AccessError where there is none."""
    model, x = subject.classifier(), subject.samples()
    if model.info.gradients == "none":
        try:
            model.twin(x)
        except AccessError:
            case()
            return
        fail("info.gradients is 'none' but twin answers.")
    leaf = x.clone().requires_grad_(True)
    scores, truth = model.twin(leaf), model.logits(x)
    differs = model.info.gradients == "surrogate"  # by its own account
    near = differs or torch.allclose(scores.detach(), truth, rtol=1e-2, atol=1e-2 * float(truth.abs().max()) + 1e-5)
    require(near, f"twin and logits differ by up to {float((scores.detach() - truth).abs().max()):.3g}.")
    require(scores.requires_grad, "twin's scores carry no gradient.")
    (grad,) = torch.autograd.grad(scores.sum(), leaf, allow_unused=True)
    require(grad is not None and bool(torch.isfinite(grad).all()), "twin's gradient is missing or not finite.")


def heeds_the_range(subject: LoaderSubject) -> None:
    """Another stated pixel range is the classifier's, or refused."""
    old = subject.options.bounds
    other = (0.0, 255.0) if old != (0.0, 255.0) else (0.0, 1.0)
    model = subject.stated(bounds=other)
    said = model.info.bounds if model is not None else other
    require(tuple(said) == other, f"The range {other} was stated, and info.bounds is {said}: heed it, or refuse it.")


def heeds_normalisation(subject: LoaderSubject) -> None:
    """A stated mean and std are applied before the file is asked, and told in info, or refused."""
    applies(not (subject.options.mean or subject.options.std), "They are among the options of the good file.")
    plain, x = subject.classifier(), subject.samples()
    shape, (low, high) = plain.info.input_shape, plain.info.bounds
    channels = shape[0] if len(shape) == 3 else 1
    mean, std = (low + 0.3 * (high - low),) * channels, (0.4 * (high - low),) * channels
    model = subject.stated(mean=mean, std=std)
    if model is None:
        return
    expected, answer = plain.logits((x - mean[0]) / std[0]), model.logits(x)
    near = torch.allclose(answer, expected, rtol=1e-2, atol=1e-2 * float(expected.abs().max()) + 1e-5)
    require(near, "A mean and std were stated, and the scores are not those of (x - mean) / std: heed them, or refuse.")
    told = (tuple(model.info.mean), tuple(model.info.std))
    require(
        told == (mean, std),
        f"A mean and std were stated, and info.mean and info.std are {told}: say there what is applied, or refuse.",
    )


def minds_each_sample_alone(subject: LoaderSubject) -> None:
    """A sample's logits do not depend on the batch, and asking twice gives the same."""
    model, x = subject.classifier(), subject.samples()
    truth = model.logits(x)
    require(torch.equal(model.logits(x), truth), "The same input gives other logits the second time.")
    applies(model.info.batch is None, "The file takes one batch size only.")
    require(torch.allclose(model.logits(x[1:2]), truth[1:2], rtol=1e-3, atol=1e-4), "Logits depend on the batch.")


def makes_classifiers_that_travel(subject: LoaderSubject) -> None:
    """The classifier can be pickled and answers the same afterwards."""
    model, x = subject.classifier(), subject.samples()
    again = pickle.loads(pickle.dumps(model))  # noqa: S301 - of its own making
    require(torch.allclose(again.logits(x), model.logits(x), rtol=1e-5, atol=1e-6), "After pickling it differs.")


def leaves_global_randomness_alone(subject: LoaderSubject) -> None:
    """Loading and asking leave the global generators of torch, numpy and random untouched."""
    subject.classifier()
    touched: list[str] = []
    with global_randomness(touched):
        if subject.path is not None:
            subject.make().load(subject.path, subject.options).logits(subject.samples())
    require(not touched, f"It touched the global generator of {', '.join(touched)}.")


LOADER_CHECKS = (
    *FACTS,
    names_its_endings,
    refuses_garbage,
    refuses_an_empty_file,
    refuses_a_missing_file,
    tells_the_facts,
    answers_with_logits,
    has_a_twin_that_agrees,
    heeds_the_range,
    heeds_normalisation,
    minds_each_sample_alone,
    makes_classifiers_that_travel,
    leaves_global_randomness_alone,
)
