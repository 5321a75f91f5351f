"""The page's words are in one place, and each of them is said somewhere."""

from __future__ import annotations

import re
from pathlib import Path

from robusteval.report import words

TEMPLATES = Path(words.__file__).parent / "templates"


def read(pattern: str) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(TEMPLATES.glob(pattern)))


def test_templates_say_each_word_and_no_other() -> None:
    said = set(re.findall(r"words\.([A-Z_]+)", read("*.j2")))
    assert said == {name for name in vars(words) if name.isupper()} - {"SCRIPT"}


def test_the_script_says_each_word_and_no_other() -> None:
    script = read("*.js")
    said = set(re.findall(r'R\.words\.(\w+)|R\.say\(\s*"(\w+)"', script))
    named = {first or second for first, second in said} | set(re.findall(r': "(attack|class|image)"', script))
    named |= set(re.findall(r'R\.say\(\w+ === "cell" \? "(\w+)"', script))
    assert named == set(words.SCRIPT)
