"""Runs that an earlier version made: checked as our own, and told of where something does not hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from robusteval import __version__
from robusteval.verify.parts.facts import EARLIER, check_facts, earlier
from robusteval.verify.parts.result import Verification
from tests.verify.tiny import tiny


def judged(version: str) -> list[str]:
    """What is said of the tool of a run that this version made."""
    record = replace(tiny()[0], tool={"name": "robusteval", "version": version})
    result = Verification()
    check_facts(record, result)
    return [failure for failure in result.failures if "verify with the version that wrote it" in failure]


@pytest.mark.parametrize("version", [__version__, *EARLIER])
def test_this_version_and_the_earlier_ones_are_checked(version: str) -> None:
    assert judged(version) == []


@pytest.mark.parametrize("version", ["", "0", "0.0.9", "9.9.9", f"{__version__}.1"])
def test_any_other_version_is_refused_with_the_way_out(version: str) -> None:
    (failure,) = judged(version)
    assert repr(version) in failure
    assert __version__ in failure


def test_no_version_is_earlier_than_itself() -> None:
    assert __version__ not in EARLIER


@pytest.mark.parametrize(("held", "words"), [(True, "all that was compared is the same"), (False, "CHANGELOG.md")])
def test_what_is_said_of_an_earlier_run(held: bool, words: str) -> None:
    record, result = tiny()[0], Verification()
    result.judge([] if held else ["it is another"], "verdict")
    record.tool = {"name": "robusteval", "version": EARLIER[-1]}
    (sentence,) = earlier(record, result)
    assert words in sentence
    assert EARLIER[-1] in sentence
    record.tool = {"name": "robusteval", "version": __version__}
    assert earlier(record, result) == []
