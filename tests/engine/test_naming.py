"""A variant of an attack has a hash of its own, whatever it is called."""

from __future__ import annotations

from pathlib import Path

from robusteval.contracts.classifier import ModelInfo
from robusteval.engine.plan.plan import make_plan
from robusteval.engine.suite.suite import read
from tests.engine.toys import catalogue

INFO = ModelInfo("m", "test", "0" * 64, (1, 4, 4), 3)


def variants(tmp_path: Path, params: str) -> dict[str, str]:
    path = tmp_path / "suite.toml"
    path.write_text(
        'name = "s"\nversion = "1"\nnorms = ["l2"]\nprobe_samples = 0\n'
        f'[[attack]]\nplugin = "pgd"\nparams = {{ {params} }}\n[[attack]]\nplugin = "fgsm"\n'
    )
    plan = make_plan(read(str(path), catalogue()), catalogue(), INFO, "untargeted", {})
    return {planned.cell.attack: planned.cell.sha256 for planned in plan.planned}


def test_parameters_decide_the_hash_of_a_variant(tmp_path: Path) -> None:
    first, again = variants(tmp_path, "steps = 20"), variants(tmp_path, "steps = 20")
    other = variants(tmp_path, "steps = 21")
    assert first == again
    assert other["pgd"] != first["pgd"]
    assert other["fgsm"] == first["fgsm"]
    assert len(set(first.values())) == 2


def test_against_a_defence_the_budget_may_be_searched_in_fewer_halvings(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    text = (
        'name = "s"\nversion = "1"\nnorms = ["l2"]\nprobe_samples = 0\n[[attack]]\nplugin = "pgd"\nsearch = 4\n'
        '[[defense]]\nplugin = "bit-depth"\n[[defense]]\nplugin = "bit-depth"\nname = "brief"\nsearch = 0\n'
    )
    path.write_text(text)
    plan = make_plan(read(str(path), catalogue()), catalogue(), INFO, "untargeted", {})
    searched = {planned.cell.id: planned.search for planned in plan.planned if planned.attack is not None}
    assert searched == {"none/pgd/l2": 4, "bit-depth/pgd/l2/adaptive": 4, "brief/pgd/l2/adaptive": 0}
    path.write_text(text.replace("search = 0", "search = 1"))
    assert make_plan(read(str(path), catalogue()), catalogue(), INFO, "untargeted", {}).sha256 != plan.sha256
