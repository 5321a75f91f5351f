"""What a suite may say is declared once: reading, the published schema and the sentences about faults agree."""

from __future__ import annotations

import dataclasses
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest

from robusteval.cli import main
from robusteval.engine.catalogue.catalogue import discover
from robusteval.engine.plan.fingerprint import attacks_sha256
from robusteval.engine.suite.declared import EVERY, Settings
from robusteval.engine.suite.schema import declared, schema, settings_at
from robusteval.engine.suite.suite import names, parse, text
from robusteval.errors import RobustEvalError

HEAD = 'name = "a"\nversion = "1"\n'
TOP = HEAD + 'norms = ["l2"]\n'
PGD = '[[attack]]\nplugin = "pgd"\n'
CASCADE = '[[cascade]]\nname = "c"\neps = { l2 = [1.0] }\n[[cascade.member]]\nplugin = "pgd"\n'
BLUR = '[[defense]]\nplugin = "blur"\n'

# what is written, where it is said to be wrong, and what else is said; each is refused by the published schema too
FAULTS = {
    "a slip": (TOP + "sampels = 3\n" + PGD, "the top level", ["no setting 'sampels'", "did you mean 'samples'"]),
    "a slip in what is needed": (
        'nmae = "a"\nversion = "1"\nnorms = ["l2"]\n' + PGD, "the top level", ["'nmae'", "'name'"],
    ),
    "nothing like it": (TOP + "zzz = 3\n" + PGD, "the top level", ["no setting 'zzz'"]),
    "missing": (HEAD + PGD, "the top level", ["'norms' is missing"]),
    "too small": (TOP + "samples = 0\n" + PGD, "samples", ["1", "not 0"]),
    "too large": (TOP + "levels = 70000\n" + PGD, "levels", ["65535", "not 70000"]),
    "a text": (TOP + 'samples = "10"\n' + PGD, "samples", ["a whole number", "not '10'"]),
    "a truth": (TOP + "samples = true\n" + PGD, "samples", ["a whole number", "not true"]),
    "a number": (TOP + "keep_strengths = 1\n" + PGD, "keep_strengths", ["true or false", "not 1"]),
    "half": (TOP + "probe_samples = 1.5\n" + PGD, "probe_samples", ["a whole number", "not 1.5"]),
    "no version": ('name = "a"\nversion = 1\nnorms = ["l2"]\n' + PGD, "version", ["a text", "not 1"]),
    "no name": ('name = "a b"\nversion = "1"\nnorms = ["l2"]\n' + PGD, "name", ["pattern", "not 'a b'"]),
    "no norm": (HEAD + 'norms = ["l3"]\n' + PGD, "norms.0", ["l0, l1, l2, linf", "not 'l3'"]),
    "no norms": (HEAD + "norms = []\n" + PGD, "norms", ["at least 1"]),
    "a norm twice": (HEAD + 'norms = ["l2", "l2"]\n' + PGD, "norms", ["twice"]),
    "no list": (HEAD + 'norms = "l2"\n' + PGD, "norms", ["a list", "not 'l2'"]),
    "no rows": (TOP + "attack = 3\n", "attack", ["a list", "not 3"]),
    "a budget of nothing": (TOP + "eps = { l2 = 0 }\n" + PGD, "eps.l2", ["greater than 0", "not 0"]),
    "a budget without end": (TOP + "eps = { l2 = 1e7 }\n" + PGD, "eps.l2", ["1000000", "not 10000000.0"]),
    "a budget in no norm": (TOP + "eps = { l3 = 1.0 }\n" + PGD, "eps.l3", ["l0, l1, l2, linf"]),
    "clever, a slip": (TOP + "clever = { sample = 3 }\n" + PGD, "clever", ["no setting 'sample'", "'samples'"]),
    "clever, a number": (TOP + "clever = 3\n" + PGD, "clever", ["a table", "not 3"]),
    "clever, a choice": (TOP + 'clever = { targets = "some" }\n' + PGD, "clever.targets", ["'runner-up' or 'all'"]),
    "planted": (TOP + "planted = { inner = 3 }\n" + PGD, "planted.inner", ["20", "not 3"]),
    "noise_draws": (TOP + "noise_draws = { draws = 0 }\n" + PGD, "noise_draws.draws", ["1", "not 0"]),
    "transfer": (TOP + 'transfer = { norm = "l3" }\n' + PGD, "transfer.norm", ["l0, l1, l2, linf"]),
    "attack, a slip": (TOP + PGD + "serach = 3\n", "attack.0", ["no setting 'serach'", "'search'"]),
    "attack, no plugin": (TOP + PGD + "[[attack]]\nsearch = 3\n", "attack.1", ["'plugin' is missing"]),
    "attack, when": (TOP + PGD + 'when = "never"\n', "attack.0.when", ["'no-gradients'", "not 'never'"]),
    "attack, unknown": (TOP + '[[attack]]\nplugin = "pdg"\n', "attack.0.plugin", ["no attack named 'pdg'"]),
    "a parameter, a slip": (TOP + PGD + "params = { stepss = 3 }\n", "attack.0.params", ["'stepss'", "'steps'"]),
    "a parameter": (TOP + PGD + "params = { steps = 0 }\n", "attack.0.params.steps", ["minimum of 1"]),
    "cascade, no member": (
        TOP + '[[cascade]]\nname = "c"\neps = { l2 = [1] }\nmember = []\n', "cascade.0.member", ["at least 1"],
    ),
    "cascade, no budget": (TOP + CASCADE.replace("[1.0]", "[]"), "cascade.0.eps.l2", ["at least 1"]),
    "member, more than it has": (TOP + CASCADE + "search = 3\n", "cascade.0.member.0", ["no setting 'search'"]),
    "member, unknown": (TOP + CASCADE.replace("pgd", "pdg"), "cascade.0.member.0.plugin", ["'pdg'"]),
    "defence, unknown": (TOP + PGD + BLUR.replace("blur", "blurr"), "defense.0.plugin", ["no defense named 'blurr'"]),
    "defence, draws": (TOP + PGD + BLUR + "draws = 0\n", "defense.0.draws", ["1", "not 0"]),
    "defence, a slip": (TOP + PGD + BLUR + "obliviuos = []\n", "defense.0", ["'obliviuos'", "'oblivious'"]),
}  # fmt: skip
# what no schema can say
MORE = {
    "no such metric": (TOP + 'metrics = ["cots"]\n' + PGD, "metrics.0", ["no metric named 'cots'"]),
    "defence against nobody": (TOP + PGD + BLUR + 'adaptive = ["x"]\n', "defense.0.adaptive", ["'x'", "blur"]),
    "infinite": (TOP + "samples = inf\n" + PGD, "samples", ["inf"]),
    "grey levels as a budget": (TOP + "eps = { linf = 8 }\n" + PGD, "eps.linf", ["8 is larger", "write 8/255"]),
    "grey levels in a cascade": (
        TOP + CASCADE.replace("l2 = [1.0]", "linf = [0.5, 8]"),
        "cascade.0.eps.linf",
        ["larger than the pixel range"],
    ),
    "grey levels in the matrix": (TOP + "transfer = { eps = 8 }\n" + PGD, "transfer.eps", ["8 is larger"]),
    "a date": (TOP + "samples = 2030-01-01\n" + PGD, "samples", ["a whole number", "2030-01-01"]),
}


@pytest.fixture(scope="module")
def published() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema(discover()))


@pytest.mark.parametrize("name", [*FAULTS, *MORE])
def test_a_fault_is_one_sentence_that_names_the_file_and_the_setting(
    name: str, published: jsonschema.Draft202012Validator
) -> None:
    toml, where, said = (FAULTS | MORE)[name]
    with pytest.raises(RobustEvalError) as caught:
        parse(toml, "my.toml", discover())
    message = caught.value.message
    assert message.startswith(f"The suite my.toml is not valid at {where}: ")
    for words in said:
        assert words in message
    assert "\n" not in message
    assert message.endswith(".")
    assert len(message) < 500
    assert caught.value.hint
    assert name in MORE or not published.is_valid(tomllib.loads(toml))


def test_the_command_ends_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my.toml").write_text(FAULTS["a slip"][0])
    monkeypatch.setattr(sys, "argv", ["robusteval", "suites", "show", str(tmp_path / "my.toml")])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert f"{tmp_path / 'my.toml'} is not valid at the top level: there is no setting 'sampels'" in told.replace(
        "\n", " "
    )


def test_every_installed_suite_fits_the_published_schema(published: jsonschema.Draft202012Validator) -> None:
    for name in names(discover()):
        published.validate(tomllib.loads(text(name, discover())))


def test_defaults_are_those_of_the_declaration() -> None:
    suite = parse(TOP + PGD + CASCADE + BLUR, "here", discover())
    stated = {"name", "version", "norms", "eps", "attacks", "cascades", "defenses"}
    for item in dataclasses.fields(Settings):
        if item.name not in stated:
            default = item.default
            if default is dataclasses.MISSING:
                assert item.default_factory is not dataclasses.MISSING
                default = item.default_factory()
            assert getattr(suite, item.name) == default
    (attack,), (cascade,), (defense,) = suite.attacks, suite.cascades, suite.defenses
    assert (attack.name, attack.norms, attack.search, attack.priority, attack.when) == ("pgd", (), 6, 5, "")
    assert (cascade.members[0].name, cascade.eps) == ("pgd", {"l2": (1.0,)})
    assert (defense.name, defense.oblivious, defense.adaptive, defense.draws) == ("blur", ("pgd",), ("pgd",), 8)
    assert (suite.eps["l2"], suite.stated) == (6.0, frozenset())


def test_a_defence_without_names_is_judged_on_all_and_with_none_on_none() -> None:
    plain = '[[attack]]\nplugin = "noise"\nwhen = "no-gradients"\n' + PGD
    for written, found in (("", ("pgd",)), ('["*"]', ("pgd",)), ("[]", ()), ('["noise"]', ("noise",))):
        more = f"oblivious = {written}\nadaptive = {written}\n" if written else ""
        (defense,) = parse(TOP + plain + BLUR + more, "here", discover()).defenses
        assert (defense.oblivious, defense.adaptive) == (found, found)
    assert EVERY == ("*",)


def test_the_schema_tells_each_setting_with_what_it_means_and_its_default() -> None:
    top = declared()["properties"]
    assert set(top) >= {"attack", "defense", "cascade", "clever", "planted", "noise_draws", "transfer", "metrics"}
    assert (top["samples"]["default"], top["samples"]["minimum"]) == (500, 1)
    assert top["norms"]["uniqueItems"] is True
    assert settings_at(("clever",)) == ["samples", "batches", "batch_size", "radius_l2", "radius_linf", "targets"]
    assert "search" in settings_at(("attack", 3))
    assert "search" not in settings_at(("cascade", 0, "member", 1))
    assert settings_at(("samples",)) == []
    assert settings_at(("eps", "l2")) == []


ODD = """
name = "x"
version = "1"
norms = ["linf", "l2", "l0"]
eps = { l0 = 20, l2 = 3 }
strengths = [1, 0.5]
clever = { samples = 2, radius_l2 = 1 }
[[attack]]
plugin = "pgd"
params = { steps = 4 }
[[attack]]
plugin = "noise"
when = "no-gradients"
[[cascade]]
name = "c"
eps = { linf = [1, 0.5], l0 = [3] }
[[cascade.member]]
plugin = "pgd"
"""


def test_whole_numbers_stay_what_they_are_so_that_hashes_do() -> None:
    """A budget of 3 hashes as 3, not as 3.0; the hash is what it was before settings were declared."""
    suite = parse(ODD, "here", discover())
    assert [type(suite.eps[norm]) for norm in ("l0", "l2", "linf")] == [int, int, float]
    assert [type(item) for item in suite.cascades[0].eps["linf"]] == [int, float]
    assert attacks_sha256(suite, discover(), "untargeted", (3, 32, 32)).startswith("441513cc79e82e7732c69629")
