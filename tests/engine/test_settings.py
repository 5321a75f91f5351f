"""Numbers that are none: NaN, infinities, wrong signs and kinds in suites, parameters and settings, refused before
anything runs."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest

import robusteval
from robusteval.contracts.classifier import LoadOptions
from robusteval.contracts.params import make
from robusteval.engine.catalogue.catalogue import discover
from robusteval.engine.settings import check_options, check_settings
from robusteval.engine.suite.suite import parse
from robusteval.errors import DataError, ModelError, RobustEvalError, SuiteError

SUITE = """
name = "n"
version = "1"
norms = ["linf"]
samples = {samples}
probe_samples = {probe_samples}
fit_samples = {fit_samples}
levels = {levels}
strengths = [{strength}]
stretches = [{stretch}]
eps = {{ linf = {eps} }}
clever = {{ samples = {clever}, radius_l2 = {radius} }}
planted = {{ eps_linf = {planted} }}
transfer = {{ eps = {transfer} }}
noise_draws = {{ draws = {draws} }}
[[attack]]
plugin = "pgd"
search = {search}
priority = {priority}
params = {{ steps = {steps}, step = {step} }}
[[cascade]]
name = "c"
eps = {{ linf = [{budget}] }}
[[cascade.member]]
plugin = "fgsm"
"""
GOOD = {
    "samples": 20, "probe_samples": 0, "fit_samples": 10, "levels": 0, "strength": 0.1, "stretch": 1.5, "eps": 0.1,
    "clever": 0, "radius": 1.0, "planted": 0.1, "transfer": 0.1, "draws": 10, "search": 2, "priority": 5, "steps": 3,
    "step": 0.1, "budget": 0.03,
}  # fmt: skip
BAD = ("nan", "inf", "-inf", "-1", "true", "1e300", "1" + "0" * 30, '"much"')


def test_the_good_suite_is_read() -> None:
    names = {row.name for row in discover().entries}
    assert "pgd" in names
    assert parse(SUITE.format(**_known()), "here", discover()).eps["linf"] == 0.1


def _known() -> dict[str, object]:
    return dict(GOOD)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("field", GOOD)
def test_no_such_number_gets_into_a_suite(field: str, bad: str) -> None:
    with pytest.raises(SuiteError) as caught:
        parse(SUITE.format(**GOOD | {field: bad}), "here", discover())
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
def test_nor_into_a_plugin(value: float) -> None:
    with pytest.raises(SuiteError, match="step"):
        make(discover().get("attack", "pgd"), {"step": value}, "pgd")


@pytest.mark.parametrize(
    "given",
    [
        {"seed": math.nan}, {"seed": 1.5}, {"seed": "1"}, {"seed": True}, {"seed": 2**70},
        {"samples": 0}, {"samples": 2.0}, {"samples": -3}, {"samples": True},
        {"workers": 0}, {"workers": 1.0}, {"workers": 10**6}, {"workers": False},
        {"time_budget": 0}, {"time_budget": math.nan}, {"time_budget": math.inf}, {"time_budget": "1h"},
        {"data_range": (0, math.nan)}, {"data_range": (1, 1)}, {"data_range": (0, 1, 2)},
    ],
)  # fmt: skip
def test_settings_that_are_no_numbers_are_refused(given: dict[str, Any]) -> None:
    good: dict[str, Any] = {"samples": 10, "seed": 0, "workers": 1, "time_budget": 5.0, "data_range": (255, 0)}
    check_settings(**good)
    check_settings(None, np.int64(3), 2, None, None)
    with pytest.raises((SuiteError, DataError)):
        check_settings(**good | given)


@pytest.mark.parametrize(
    "options",
    [
        {"bounds": (math.nan, 1.0)}, {"bounds": (0.0, math.inf)}, {"bounds": (1.0, 0.0)}, {"bounds": (0.0,)},
        {"mean": (math.nan,)}, {"std": (0.0,)}, {"std": (math.inf,)}, {"input_shape": (3, 0, 32)},
        {"input_shape": (3.5, 32, 32)},
    ],
)  # fmt: skip
def test_ways_to_read_a_model_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    check_options(LoadOptions())
    with pytest.raises(ModelError):
        check_options(LoadOptions(**options))


@pytest.mark.parametrize(
    "words",
    [
        ("--range", "nan,1"), ("--range", "0,inf"), ("--mean", "nan"), ("--fail-under", "nan"), ("--fail-under", "inf"),
        ("--time-budget", "9" * 400 + "s"), ("--data-range", "nan,1"), ("--workers", "nan"), ("--seed", "0.5"),
    ],
)  # fmt: skip
def test_the_command_line_refuses_them_too(words: tuple[str, str]) -> None:
    from click.testing import CliRunner

    from robusteval.cli.run_command import command

    done = CliRunner().invoke(command, ["model.onnx", *words])
    assert done.exit_code == 2
    assert "Invalid value" in done.output


def test_a_size_that_is_no_whole_number_is_not_cut_off() -> None:
    from click.testing import CliRunner

    from robusteval.cli.run_command import command

    done = CliRunner().invoke(command, ["examples/fashion-cnn.onnx", "--shape", "1,28.5,28", "--dry-run"])
    assert isinstance(done.exception, ModelError)
    assert "28.5" in done.exception.message


def test_the_api_takes_what_the_command_line_takes() -> None:
    from robusteval.cli.finished.export_command import HELP
    from robusteval.cli.run_command import command

    flags = {option.name for option in command.params}
    flags -= {"models", "only", "dry_run", "fail_under", "as_json", "shard"}  # of a command, not of an evaluation
    flags -= {"baseline", "fail_on_regression", *HELP}  # the same: what is done with the record at the end
    reading = {"bounds", "mean", "std", "layout", "shape", "arch", "trust", "output", "loader"}  # LoadOptions
    names = {"labels": "labels_from_model"}
    wanted = {names.get(flag, flag) for flag in flags - reading}
    for call in (robusteval.evaluate, robusteval.compare):
        missing = wanted - set(inspect.signature(call).parameters)
        assert missing <= ({"labels_from_model"} if call is robusteval.compare else set()), missing
    assert {"bounds", "mean", "std", "layout", "arch", "trust", "output", "loader"} <= set(
        LoadOptions.__dataclass_fields__
    )


def test_a_plugin_that_exits_does_not_end_the_callers_program(monkeypatch: pytest.MonkeyPatch) -> None:
    from robusteval.engine.run import prepare

    def leave(*given: object, **named: object) -> None:
        raise SystemExit(0)

    monkeypatch.setattr(prepare, "gather", leave)
    with pytest.raises(RobustEvalError, match=r"sys\.exit\(0\)"):
        robusteval.evaluate("examples/fashion-cnn.onnx", suite="smoke")
