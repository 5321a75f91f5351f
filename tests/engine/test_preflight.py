"""Preflight: the settings it names are followed to the letter here, and must then give what it promised."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from robusteval.contracts.classifier import ModelInfo
from robusteval.engine.data.find import prepare
from robusteval.engine.preflight.clean_accuracy import clean_report
from robusteval.engine.preflight.label_variants import relabelled
from tests.engine.preflight_models import IMAGENET, SIDE, Wavy, data, follow, model, report, templates


class TestGood:
    def test_nothing_to_say(self) -> None:
        found = report(model(), data())
        assert (found.accuracy, found.chance, found.samples) == (1.0, 0.1, 120)
        assert found.interval == pytest.approx((0.9697, 1.0), abs=1e-4)
        assert not found.near_chance
        assert (found.suggestions, found.notes) == ((), ())
        assert found.sentence == "Clean accuracy is 100.0 % (chance is 10 %)."

    def test_one_sample_is_not_near_chance(self) -> None:
        assert not report(model(), data(number=1)).near_chance

    def test_ranges_that_accuracy_cannot_tell_apart(self) -> None:
        class Linear:
            info = ModelInfo("m", "onnx", "", (1, SIDE, SIDE), 10)

            def logits(self, x: Tensor) -> Tensor:
                known = torch.from_numpy(templates(10, 1)).flatten(1).float()
                return x.flatten(1) @ torch.nn.functional.normalize(known).T

            twin = logits

        raw = data()
        found = report(Linear(), raw)
        assert found.accuracy == 1.0
        assert found.suggestions == ()
        tie = next(note for note in found.notes if "0..255" in note)
        assert "0..1 and 0..255 give the same accuracy (100.0 %)" in tie
        assert "255 times less with --range 0,255." in tie

    def test_data_that_fill_a_corner_of_the_range(self) -> None:
        raw = replace(data(), images=np.asarray(data().images) / 255)
        found = report(model(trained=((0.0, 1.0), (), ()), bounds=(0.0, 255.0)), raw)
        assert found.accuracy == 1.0
        assert found.notes[0] == (
            "The pixels run from 0 to 1, 0.392 % of the stated range 0..255, so an eps in its units would mean far "
            "more than it seems to; state what the data are with --data-range, or the model's range with --range."
        )


class TestInput:
    @pytest.mark.parametrize("trained", [(0.0, 255.0), (-1.0, 1.0)])
    @pytest.mark.parametrize("flat", [False, True])
    def test_range(self, trained: tuple[float, float], flat: bool) -> None:
        classifier, raw = model(trained=(trained, (), ()), flat=flat), data()
        found = report(classifier, raw)
        assert found.near_chance
        best = found.suggestions[0]
        assert best.flags == f"--range {trained[0]:g},{trained[1]:g}"
        assert f"{best.flags} would give 100.0 %" in found.sentence
        assert follow(classifier, raw, best.flags) == best.accuracy == 1.0

    def test_floats_in_another_range_than_the_model(self) -> None:
        classifier = model(trained=((0.0, 255.0), (), ()), bounds=(0.0, 255.0))
        raw = replace(data(), images=np.asarray(data().images) / 255)
        best = report(classifier, raw).suggestions[0]
        assert best.flags == "--data-range 0,1"
        assert follow(classifier, raw, best.flags) == best.accuracy == 1.0

    def test_floats_and_the_models_range(self) -> None:
        classifier = model(trained=((0.0, 255.0), (), ()))
        raw = replace(data(), images=np.asarray(data().images) / 255)
        best = report(classifier, raw).suggestions[0]
        assert best.flags == "--range 0,255 --data-range 0,1"  # the first alone would feed the model the same numbers
        assert follow(classifier, raw, best.flags) == best.accuracy == 1.0
        assert follow(classifier, raw, "--range 0,255") < 0.4

    def test_a_stated_range_of_the_data_is_kept(self) -> None:
        classifier = model(trained=((0.0, 255.0), (), ()))
        raw = replace(data(), images=np.asarray(data().images).astype(np.int32))
        best = report(classifier, raw, (0.0, 255.0)).suggestions[0]
        assert best.flags in ("--range 0,255", "--range 0,255 --data-range 0,255")
        assert follow(classifier, raw, best.flags, (0.0, 255.0)) == best.accuracy == 1.0

    def test_mean_and_std_that_are_missing(self) -> None:
        classifier, raw = model(3, trained=((0.0, 1.0), *IMAGENET)), data(channels=3)
        found = report(classifier, raw).suggestions  # CIFAR-10's are so close that they do as well here
        best = next(item for item in found if item.setting == "the mean and std of ImageNet")
        assert best.flags == "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"
        assert follow(classifier, raw, best.flags) == best.accuracy == 1.0

    def test_mean_and_std_that_are_too_many(self) -> None:
        classifier, raw = model(3, mean=IMAGENET[0], std=IMAGENET[1]), data(channels=3)
        best = report(classifier, raw).suggestions[0]
        assert best.flags == "without --mean and --std"
        assert follow(classifier, raw, best.flags) == best.accuracy == 1.0

    def test_mean_and_std_with_another_range(self) -> None:
        classifier, raw = model(trained=((0.0, 1.0), (0.1307,), (0.3081,)), bounds=(0.0, 255.0)), data()
        best = report(classifier, raw).suggestions[0]
        assert best.flags == "--range 0,1 --mean 0.1307 --std 0.3081"
        assert follow(classifier, raw, best.flags) == best.accuracy == 1.0

    def test_the_stated_mean_and_std_with_another_range(self) -> None:
        mean, std = (127.5, 120.0, 110.0), (60.0, 61.0, 62.0)
        classifier, raw = model(3, trained=((0.0, 255.0), mean, std), mean=mean, std=std), data(channels=3)
        best = report(classifier, raw).suggestions[0]
        assert best.flags == "--range 0,255"
        assert follow(classifier, raw, best.flags) == best.accuracy == 1.0

    def test_inverted(self) -> None:
        classifier, raw = model(feed=lambda pixels: 1 - pixels), data()
        best = report(classifier, raw).suggestions[0]
        assert best.flags == "--data-range 255,0"
        assert follow(classifier, raw, best.flags) == best.accuracy == 1.0

    def test_channel_order(self) -> None:
        classifier, raw = model(3, feed=lambda pixels: pixels.flip(1)), data(channels=3)
        best = report(classifier, raw).suggestions[0]
        assert (best.flags, best.by_hand) == ("", "storing the colour channels in reverse order")
        assert report(classifier, replace(raw, images=raw.images[..., ::-1])).accuracy == best.accuracy == 1.0

    def test_channel_order_and_range(self) -> None:
        classifier = model(3, feed=lambda pixels: pixels.flip(1), trained=((0.0, 255.0), (), ()))
        best = report(classifier, data(channels=3)).suggestions[0]
        assert best.how == "--range 0,255 and storing the colour channels in reverse order"
        assert (best.accuracy, best.changes) == (1.0, 2)

    @pytest.mark.parametrize("flat", [False, True])
    def test_transposed(self, flat: bool) -> None:
        classifier, raw = model(feed=lambda pixels: pixels.transpose(2, 3), flat=flat), data()
        best = report(classifier, raw).suggestions[0]
        assert best.how == "storing the images transposed"
        assert (
            report(classifier, replace(raw, images=np.asarray(raw.images).transpose(0, 2, 1))).accuracy
            == best.accuracy
            == 1.0
        )

    def test_ties_are_all_given(self) -> None:
        cifar = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
        close = tuple((a + b) / 2 for a, b in zip(IMAGENET[0], cifar[0], strict=True))
        spread = tuple((a + b) / 2 for a, b in zip(IMAGENET[1], cifar[1], strict=True))
        raw = data(channels=3)
        classifier = model(3, trained=((0.0, 1.0), close, spread))
        settings = {item.setting for item in report(classifier, raw).suggestions}
        assert {"the mean and std of ImageNet", "the mean and std of CIFAR-10"} <= settings


class TestLabels:
    @pytest.mark.parametrize(("step", "text"), [(1, "adding 1 to every label"), (9, "subtracting 1 from every label")])
    def test_shifted(self, step: int, text: str) -> None:
        classifier, raw = model(number=lambda index: (index + step) % 10), data()
        found = report(classifier, raw)
        assert found.suggestions[0].how == text
        moved = (raw.labels + (1 if text.startswith("adding") else -1)) % 10
        assert report(classifier, replace(raw, labels=moved)).accuracy == found.suggestions[0].accuracy == 1.0
        assert len(found.suggestions) == 1

    def test_text_order(self) -> None:
        order = sorted(range(12), key=str)
        best = report(model(classes=12, number=order.index), data(12)).suggestions[0]
        assert best.setting == "classes in text order"
        assert best.accuracy == 1.0

    def test_any_order(self) -> None:
        order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
        best = report(model(number=order.__getitem__), data()).suggestions[0]
        assert best.by_hand == "renumbering the labels (0>3, 2>4, 3>0, 4>5, 5>9, 6>2, 7>6, 9>7)"
        assert best.accuracy == 1.0

    def test_an_order_is_never_fitted_to_noise(self) -> None:
        rng = np.random.default_rng(3)
        answers, labels = rng.integers(0, 10, 200), np.arange(200) % 10
        renumbered = [fix for fix in relabelled(answers, labels, 10) if fix.setting == "labels renumbered"]
        assert renumbered[0].accuracy < 0.17  # fitted and measured on the same samples it would be above 0.2
        assert not [fix for fix in relabelled(answers[:49], labels[:49], 10) if fix.setting == "labels renumbered"]


class TestHopeless:
    class Constant:
        info = ModelInfo("m", "onnx", "", (1, SIDE, SIDE), 10)

        def __init__(self, fill: float) -> None:
            self.fill = fill

        def logits(self, x: Tensor) -> Tensor:
            scores = torch.zeros(len(x), 10)
            scores[:, 4] = self.fill
            return scores

        twin = logits

    def test_one_answer(self) -> None:
        found = report(self.Constant(1.0), data())
        assert found.near_chance
        assert found.suggestions == ()
        assert found.sentence.startswith("Clean accuracy is 10.0 % (chance is 10 %). None of the usual settings")
        assert found.notes == ("The model answers class 4 for every sample.",)

    def test_not_finite(self) -> None:
        found = report(self.Constant(float("nan")), data())
        assert found.accuracy == 0
        assert found.notes == ("The model answers scores that are not finite for every sample.",)


class Half:
    """Right on all that it is fed as it was trained; on three images in four otherwise, as many a real file is."""

    def __init__(self, inner: Wavy) -> None:
        self.inner, self.info = inner, inner.info

    def logits(self, x: Tensor) -> Tensor:
        wavy = self.inner.logits(x)
        easy = torch.zeros_like(wavy)
        right = torch.arange(len(x)) % self.info.classes
        easy[torch.arange(len(x)), right] = 1.0 * (torch.arange(len(x)) % 4 != 0)
        return wavy if bool((wavy.argmax(1) == right).float().mean() > 0.9) else easy

    def twin(self, x: Tensor) -> Tensor:
        return self.inner.twin(x)


def test_mean_and_std_are_tried_also_where_the_accuracy_is_high() -> None:
    raw = data(channels=3, number=200)
    stated = ModelInfo("m", "test", "", (3, SIDE, SIDE), 10, mean=IMAGENET[0], std=IMAGENET[1])
    samples, _ = prepare(raw, stated)
    samples = samples[torch.arange(200)]
    wavy = Wavy(stated, trained=((-1.0, 1.0), (), ()))
    report = clean_report(Half(wavy), raw, samples)  # its usual normalisation, where it has none and another range
    assert not report.low
    assert any(
        "--range -1,1" in suggestion.flags and "without --mean" in suggestion.flags for suggestion in report.suggestions
    ), report
