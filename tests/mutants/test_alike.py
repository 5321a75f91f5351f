"""Which mutants may live by their text alone: words and places, and nothing that is compared or looked up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants import check
from tests.mutants.alike import kind


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('raise E("No such file.")', 'raise E("no such file.")', "words"),
        ('return f"{x} of " + "the samples"', 'return f"{x} of " + "THE SAMPLES"', "words"),
        ('say(x, "a " if y else "with gradients")', 'say(x, "a " if y else "XXwith gradientsXX")', "words"),
        ('say("code")', 'say("CODE")', ""),  # no sentence
        ('say("fail")', 'say("XXfailXX")', ""),
        ('say("No such file.")', "say(None)", ""),
        ('say("No such file.", 1)', 'say("no such file.", 2)', ""),
        ('x["not a win"]', 'x["NOT A WIN"]', ""),  # a key
        ('x.update({"not a win": 1})', 'x.update({"XXnot a winXX": 1})', ""),
        ('if x == "not a win": pass', 'if x == "NOT A WIN": pass', ""),
        ('for x in ("Robust accuracy", "Low"): pass', 'for x in ("robust accuracy", "Low"): pass', ""),
        ('name = "worst case"', 'name = "WORST CASE"', ""),
        ("say(f'{100 * x} % of')", "say(f'{100 / x} % of')", ""),
        ("f(x, device=y)", "f(x, device=None)", "device"),
        ("f(x, device=y)", "f(x)", "device"),
        ("f(x, device=y)", "f(z, device=y)", ""),
        ("f(x, dtype=y)", "f(x)", ""),
        ("x.astype(np.float64) - y", "x.astype(None) - y", "float64"),
        ("x.astype(np.float32) - y", "x.astype(None) - y", ""),
        ("x.astype(np.float64) - y", "x.astype(None) + y", ""),
        ("f(np.float64)", "f(None)", ""),
        ("x.view(np.float64)", "x.view(None)", ""),
        ("f(x, strict=True)", "f(x, strict=False)", ""),
        ("x + 1", "x - 1", ""),
    ],
)
def test_words_and_places(old: str, new: str, expected: str) -> None:
    body = "def f():\n    {}\n"
    assert kind(body.format(old), body.format(new)) == expected


def test_a_method_is_read_with_its_indentation() -> None:
    assert kind("    def f(self):\n        g(x, device=y)\n", "    def f(self):\n        g(x)\n") == "device"


def test_the_list_gives_a_reason_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "survivors.txt"
    monkeypatch.setattr(check, "LIST", path)
    path.write_text("# Because.\na.py f\n- x > 1\n+ x >= 1\n\na.py f\n- x > 1\n+ x >= 1\n\n# Else.\nb.py C.g\n-\n+ y\n")
    assert check.listed() == {check.Key("a.py", "f", "x > 1", "x >= 1"): 2, check.Key("b.py", "C.g", "", "y"): 1}
    for wrong in ("a.py f\n- x\n+ y\n", "# Because.\na.py f\n- x\n", "# Because.\na.py f\n+ x\n- y\n"):
        path.write_text(wrong)
        with pytest.raises(ValueError, match="wants a reason"):
            check.listed()


def test_the_committed_list_can_be_read() -> None:
    assert all(key.path.endswith(".py") and key.old != key.new for key in check.listed())
