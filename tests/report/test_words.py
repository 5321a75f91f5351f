"""The page's words are in one place, and each of them is said somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from robusteval.report import words

TEMPLATES = Path(words.__file__).parent / "templates"


# Jinja's own, script, style, comments, and tags with what Jinja makes of them: what is left is read by people
NOT_TEXT = re.compile(
    r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|<script.*?</script>|<style.*?</style>|<!--.*?-->|<(?:[^>{]|\{[{%].*?[%}]\})*>",
    re.DOTALL,
)
SPOKEN = re.compile(r'(?:aria-label|alt|title|placeholder)="([^"]*)"')  # attributes that are read out or shown
ENTITY = re.compile(r"&\w+;")


def loose(template: str) -> list[str]:
    """Words that a template says itself."""
    said = NOT_TEXT.split(template)
    said += [re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", value) for value in SPOKEN.findall(template)]
    return [text.strip() for text in said if re.search("[A-Za-z]{2}", ENTITY.sub("", text)) and "data-" not in text]


def read(pattern: str) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(TEMPLATES.glob(pattern)))


def test_templates_say_each_word_and_no_other() -> None:
    said = set(re.findall(r"words\.([A-Z_0-9]+)", read("*.j2")))
    assert said - {"SCRIPT"} == {name for name in vars(words) if name.isupper()} - {"SCRIPT"}


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.j2")), ids=lambda path: path.name)
def test_no_template_has_words_of_its_own(path: Path) -> None:
    assert loose(path.read_text(encoding="utf-8")) == []


def test_a_word_in_a_template_is_seen() -> None:
    assert loose('<h2 class="{{ a }}">{{ words.X }} Accuracy</h2>') == ["Accuracy"]
    assert loose('<img alt="Image {{ number }}">') == ["Image"]
    assert loose("{% if a %}<p>{{ a }} &le; 3</p>{% endif %}") == []


def test_the_script_says_each_word_and_no_other() -> None:
    script = read("*.js")
    said = set(re.findall(r'R\.words\.(\w+)|R\.say\(\s*"(\w+)"', script))
    named = {first or second for first, second in said} | set(re.findall(r': "(attack|class|image)"', script))
    named |= set(re.findall(r'R\.say\(\w+ === "cell" \? "(\w+)"', script))
    assert named == set(words.SCRIPT)
