"""Proposals in bfloat16: taken only where they are faster and point the same way; the record says so."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

import robusteval
from robusteval.api import ModelInfo
from robusteval.assessment.references.compared import ROUNDED, compare
from robusteval.cli.run_command import command
from robusteval.contracts.tuning import AUTO, FULL, FULL_ONLY, REDUCED, Tuning, tuning_of
from robusteval.engine.plan import job as plans
from robusteval.engine.plan.job import plan_of
from robusteval.engine.run.folder import claim, settled
from robusteval.engine.run.runner import run
from robusteval.engine.schedule import pass_timing, precision
from robusteval.engine.schedule.pass_timing import PassTiming, in_words, measure
from robusteval.engine.schedule.precision import computes, rounded, usable
from robusteval.engine.units.chunk import Context
from robusteval.errors import SuiteError
from robusteval.record.reference_set import LoadedSet
from tests import records, references
from tests.engine import toys
from tests.engine.test_runner import make_job, text

ROUGH = Tuning(precision=REDUCED, slack=2**-7)


@dataclass
class Layer:
    """A linear model whose product is done by torch, so that bfloat16 shows."""

    weight: Tensor  # [K, D]
    info: ModelInfo = field(init=False)
    asked: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.info = ModelInfo("layer", "test", "layer", (self.weight.shape[1],), len(self.weight), provider="torch cpu")

    def logits(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.nn.functional.linear(x, self.weight)

    def twin(self, x: Tensor) -> Tensor:
        self.asked.append(len(x))
        return torch.nn.functional.linear(x, self.weight)


def layer() -> Layer:
    return Layer(torch.randn(4, 20, generator=torch.Generator().manual_seed(0)))


def images() -> Tensor:
    """Eight that the layer answers alike in bfloat16; of a hundred draws one has an answer that rounding turns."""
    return torch.rand(8, 20, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the machine multiplied bfloat16 numbers itself."""
    monkeypatch.setattr(precision, "computes", lambda device: True)
    monkeypatch.setattr(pass_timing, "computes", lambda device: True)


def test_where_rounding_may_decide_scores_are_exact_and_gradients_are_those_of_the_rounded_pass() -> None:
    model = layer()
    clear = torch.linspace(0, 1, 20)[None]
    two = model.logits(clear).topk(2).indices[0]
    way = model.weight[two[0]] - model.weight[two[1]]
    lead = float(model.logits(clear)[0, two[0]] - model.logits(clear)[0, two[1]])
    boundary = clear - (lead - 1e-4) * way / way.square().sum()
    x = torch.cat([clear, boundary]).requires_grad_(True)
    scores = ROUGH.scores(model.twin, x)
    assert model.asked == [2, 1]
    assert scores.dtype is x.dtype is torch.float32
    exact = model.logits(x.detach())
    assert torch.equal(scores[1:], model.logits(boundary))
    assert not torch.equal(scores[0], exact[0])
    assert torch.allclose(scores[0], exact[0], rtol=0.02, atol=0.05)
    (grad,) = torch.autograd.grad(scores[1, 0], x)
    assert torch.equal(grad[1], model.weight[0].bfloat16().float())
    assert not torch.equal(grad[1], model.weight[0])
    model.asked.clear()
    for tuning, asked in ((Tuning(), x), (ROUGH, x.detach())):
        assert torch.equal(tuning.scores(model.twin, asked), exact)
    assert model.asked == [2, 2]


def test_scores_that_are_no_numbers_are_left_for_the_attack_to_count() -> None:
    scores = ROUGH.scores(lambda x: x * torch.nan, torch.ones(3, 4))
    assert bool(scores.isnan().all())


@pytest.mark.parametrize(
    ("known", "found"), [((), False), (("_is_avx512_bf16_supported",), True), (("_is_amx_tile_supported",), True)]
)
def test_a_processor_computes_in_bfloat16_where_it_says_so(
    monkeypatch: pytest.MonkeyPatch, known: tuple[str, ...], found: bool
) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda answer=name in known: answer, raising=False)
    assert computes(torch.device("cpu")) is found
    assert computes(torch.device("meta")) is False


@pytest.mark.usefixtures("able")
def test_only_exact_gradients_are_rounded() -> None:
    model = layer()
    x = torch.rand(4, 20)
    assert usable(model, x)
    for kind in ("straight-through", "surrogate", "none"):
        model.info = replace(model.info, gradients=kind)
        assert not usable(model, x)


class Odd(Layer):
    """Answers in another way where it is asked in bfloat16."""

    def __init__(self, weight: Tensor, what: str) -> None:
        super().__init__(weight)
        self.what = what

    def twin(self, x: Tensor) -> Tensor:
        exact = x @ self.weight.T.float() if not torch.is_autocast_enabled("cpu") else None
        if exact is not None:
            return exact
        with torch.autocast("cpu", enabled=False):
            exact = x @ self.weight.T
        if self.what == "raises":
            raise RuntimeError("no bfloat16 here")
        if self.what == "labels":
            return -exact
        if self.what == "gradient":
            return exact.detach() + (x @ self.weight.flip(1).T) - (x @ self.weight.flip(1).T).detach()
        if self.what == "dead":
            return exact.detach() + 0 * exact
        return exact * (torch.inf if self.what == "inf" else 1.0)


@pytest.mark.parametrize("what", ["raises", "labels", "gradient", "dead", "inf", "same"])
def test_gradients_that_point_elsewhere_are_found(what: str) -> None:
    x = torch.rand(32, 20, generator=torch.Generator().manual_seed(1))
    made = rounded(Odd(layer().weight, what), x, Tuning(), ROUGH)
    assert made == (replace(ROUGH, slack=2**-8) if what == "same" else None)


def test_the_slack_is_what_rounding_was_seen_to_do() -> None:
    class Off(Odd):
        by: float

        def twin(self, x: Tensor) -> Tensor:
            exact = super().twin(x)
            moved = torch.zeros_like(exact).scatter(1, exact.argmax(1)[:, None], 1.0) * exact.detach().abs().amax(
                1, True
            )
            return exact + self.by * moved * torch.is_autocast_enabled("cpu")

    x = torch.rand(32, 20, generator=torch.Generator().manual_seed(1))
    for by, slack in ((0.001, 2**-8), (0.02, 0.02), (0.1, None)):
        model = Off(layer().weight, "same")
        model.by = by
        made = rounded(model, x, Tuning(), ROUGH)
        assert (made and made.slack) == (slack and pytest.approx(slack, rel=1e-3))


def costs(monkeypatch: pytest.MonkeyPatch, rounded: float) -> None:
    monkeypatch.setattr(
        pass_timing, "_seconds", lambda work, way, device, best=1.0: rounded if way.precision == REDUCED else 1.0
    )


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize(
    ("asked", "rounded", "chosen"), [(AUTO, 0.5, REDUCED), (AUTO, 0.75, FULL), (FULL_ONLY, 0.5, FULL)]
)
def test_bfloat16_is_chosen_where_it_may_be_and_pays(
    monkeypatch: pytest.MonkeyPatch, asked: str, rounded: float, chosen: str
) -> None:
    costs(monkeypatch, rounded)
    found = measure(layer(), images(), asked)
    assert found.tuning.precision == chosen
    assert found.pass_ms == pytest.approx(1e3 * (rounded if chosen == REDUCED else 1.0) / 8)
    assert ("bfloat16" in in_words(found.tuning)) is (chosen == REDUCED)
    monkeypatch.setattr(pass_timing, "rounded", lambda *way: None)
    assert measure(layer(), images(), asked).tuning.precision == FULL


def test_the_cache_knows_what_was_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = layer(), images()
    for able, kinds in ((True, 2), (False, 1)):
        monkeypatch.setattr(pass_timing, "computes", lambda device, able=able: able)
        assert len({pass_timing.key(model, x, asked) for asked in (AUTO, FULL_ONLY)}) == kinds


@pytest.mark.parametrize(
    "data", [3, {"precision": "float16"}, {"slack": "0"}, {"onednn": 1}, {"nonsense": True}, {"channels_last": "yes"}]
)
def test_what_was_written_down_wrongly_is_no_tuning(data: object) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)):
        tuning_of(data)


@pytest.mark.parametrize("made", [Tuning(), ROUGH, Tuning(False, True, True, True)])
def test_a_tuning_is_written_down_and_read(made: Tuning) -> None:
    assert tuning_of(json.loads(json.dumps(dataclasses.asdict(made)))) == made


def test_a_run_that_goes_on_keeps_its_way(tmp_path: Path) -> None:
    claim(tmp_path, "a" * 64, overwrite=False)
    assert settled(tmp_path, ROUGH) == ROUGH
    assert settled(tmp_path, Tuning()) == ROUGH
    assert claim(tmp_path, "a" * 64, overwrite=False)
    assert settled(tmp_path, Tuning(onednn=False)) == ROUGH
    claim(tmp_path, "a" * 64, overwrite=True)
    assert settled(tmp_path, Tuning()) == Tuning()
    mark = tmp_path / "units" / "plan.json"
    mark.write_text(json.dumps(json.loads(mark.read_text()) | {"passes": {"precision": "float8"}}))
    assert settled(tmp_path, ROUGH) == ROUGH
    assert json.loads(mark.read_text())["plan"] == "a" * 64


def test_pipelines_behind_a_defence_are_asked_in_full() -> None:
    model = toys.linear()
    data = toys.samples(model, 4)
    context = Context({}, data, {}, 0, tuning=replace(ROUGH, channels_last=True))
    assert context.passes("none") == replace(ROUGH, channels_last=True)
    assert context.passes("bit-depth") == Tuning(channels_last=True)


def test_a_run_in_bfloat16_says_so_and_is_taken_up_in_bfloat16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = replace(make_job(tmp_path), precision=AUTO)
    monkeypatch.setattr(pass_timing, "timed", lambda model, x, asked: PassTiming(ROUGH, 1.0, 1.0))
    record = run(job)
    assert record.environment["precision of proposals"] == "bfloat16"
    assert "proposals in bfloat16" in record.environment["passes"]
    for unit in sorted((job.folder / "units").glob("*.npz"))[::2]:
        unit.unlink()
    monkeypatch.setattr(pass_timing, "timed", lambda model, x, asked: PassTiming(Tuning(), 1.0, 1.0))
    assert text(run(job)) == text(record)
    other = run(replace(job, folder=tmp_path / "full"))
    assert other.environment["precision of proposals"] == "float32"
    assert "bfloat16" not in other.environment["passes"]


def test_only_a_plan_that_may_round_knows_a_precision_and_the_attacks_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make_job(tmp_path).precision == FULL_ONLY, "rounding is for those who ask for it"
    job = replace(make_job(tmp_path), precision=AUTO)
    assert plan_of(job).sha256 != plan_of(replace(job, precision=FULL_ONLY)).sha256
    seen: list[dict[str, object]] = []
    with monkeypatch.context() as patched:
        patched.setattr(plans, "make_plan", lambda *given: seen.append(given[4]))
        for asked in (AUTO, FULL_ONLY):
            plan_of(replace(job, precision=asked))
    assert [item.get("precision") for item in seen] == [AUTO, None]  # plans in full keep the hash that they always had
    made = [run(replace(job, precision=asked, folder=tmp_path / asked)) for asked in (AUTO, FULL_ONLY)]
    assert len({item.suite.attacks_sha256 for item in made}) == 1


def test_beside_known_models_a_run_in_bfloat16_says_how_it_differs() -> None:
    record = references.keyed(records.make(80))
    source = LoadedSet("set.json", "12" * 32, False, references.make(record))
    assert compare(source, record).status == "done"
    assert compare(source, record).reason == ""
    record.environment["precision of proposals"] = "float32"
    assert compare(source, record).reason == ""
    record.environment["precision of proposals"] = "bfloat16"
    assert compare(source, record).reason == ROUNDED.format(precision=REDUCED)


def test_another_precision_is_refused_in_one_sentence(tmp_path: Path) -> None:
    x = torch.rand(4, 1, 2, 2)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
    with pytest.raises(SuiteError, match=r"'half' is not a precision of proposals\. Give auto or full\."):
        robusteval.evaluate(net, (x, torch.tensor([0, 1, 2, 0])), precision="half")
    said = CliRunner().invoke(command, ["model.onnx", "--precision", "half"])
    assert said.exit_code == 2
    assert "'half' is not one of 'auto', 'full'" in said.output
