"""What is made of finished runs: gates at the end, comparisons, baselines, samples and other formats."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import safetensors.numpy
from PIL import Image

from robusteval.finished.paired.document import DOCUMENT
from robusteval.record.store import load
from tests.cli.conftest import CNN, Command

GATED = """
name = "gated"
version = "1"
norms = ["l2", "linf"]
samples = 60
probe_samples = 0
[gates]
fail_under = ["linf@8/255>=0"]
[[attack]]
plugin = "fgsm"
search = 2
[[attack]]
plugin = "deepfool"
params = { steps = 5 }
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A finished run of 60 samples, with a gate of its suite."""
    from tests.finished.attacked import attacked

    return attacked(tmp_path_factory.mktemp("finished"), GATED, cache)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "gated.toml"
    path.write_text(GATED)
    return path


def test_gates_end_a_run_with_a_table_and_stand_in_the_record(robusteval: Command, suite: Path, run: Path) -> None:
    shutil.copytree(run, "again")
    words = ("run", CNN, "--suite", suite, "--out", "again", "--workers", 1)
    screen = robusteval(*words, "--fail-under", "certified.linf@0.1>=0.3", "--fail-under", "grade>=F")
    assert screen.code == 3
    assert re.search(r"certified\.linf@0\.1 +>= 0\.3 +- +- +lower end +not measured", screen.out)
    assert re.search(r"grade +>= F +[A-F] +- +value +(not )?met", screen.out)
    assert "The gate --fail-under certified.linf@0.1>=0.3 is not met: " in screen.err
    record = load(Path("again"))
    assert [(gate.asked, gate.source) for gate in record.gates] == [
        ("certified.linf@0.1>=0.3", "command"), ("grade>=F", "command"), ("linf@8/255>=0", "suite"),
    ]  # fmt: skip
    said = json.loads(robusteval(*words, "--json").out)["gates"]
    assert [gate["asked"] for gate in said] == ["linf@8/255>=0"]
    assert robusteval("verify", "again").code == 0


@pytest.mark.parametrize("gate", ["linf>=0.4", "linf@8/255>=40", "grade>=E", "nan", "l2.median>=x"])
def test_what_is_no_gate_ends_before_anything_is_attacked(robusteval: Command, quick: Path, gate: str) -> None:
    screen = robusteval("run", CNN, "--suite", quick, "--fail-under", gate)
    assert screen.code == 2
    assert repr(gate)[1:-1] in screen.err
    Path("bad.toml").write_text(
        quick.read_text().replace("[[attack]]", f'[gates]\nfail_under = ["{gate}"]\n[[attack]]', 1)
    )
    screen = robusteval("run", CNN, "--suite", "bad.toml")
    assert screen.code == 2
    assert "gates.fail_under.0" in screen.err


def test_a_run_beside_itself(robusteval: Command, run: Path) -> None:
    screen = robusteval("compare", run, run)
    assert screen.code == 0
    page = Path("compare.html").read_text()
    assert "run-2" in page
    assert 'http-equiv="Content-Security-Policy"' in page
    document = json.loads(robusteval("compare", run, run, run, "--json").out)
    assert DOCUMENT.misfit(document) is None
    assert [pair["second"] for pair in document["pairs"]] == ["run-2", "run-3"]
    assert all(test["lost"] == test["won"] == 0 for pair in document["pairs"] for test in pair["tests"])


def test_images_that_changed_have_pictures(robusteval: Command, run: Path, suite: Path) -> None:
    """The other run saw the same images after eight bits: nothing is comparable but they; so a record is changed."""
    from tests.documents import rewrite, whole

    other = Path(shutil.copytree(run, "other"))
    data = whole(other)
    cells = [cell for cell in data["cells"] if cell["norm"] == "linf"]
    near = min(cell["distance"][n] for cell in cells for n in range(60) if cell["distance"][n])
    for cell in cells:
        cell["distance"] = [value and value + 0.5 - near for value in cell["distance"]]
    rewrite(other, json.dumps(data))
    document = json.loads(robusteval("compare", run, other, "--json").out)
    won = [image for image in document["pairs"][0]["changed"] if image["went"] == "won"]
    assert won
    assert all(image["clean_png"] and image["adversarial_png"] for image in won[:12])
    assert robusteval("compare", run, other).code == 0
    assert Path("compare.html").read_text().count('class="shot"') >= len(won[:12])
    broken = Path(shutil.copytree(run, "broken")) / "witnesses.safetensors"
    tensors = safetensors.numpy.load_file(broken)
    tensors["clean"][0] = 0.5
    safetensors.numpy.save_file(tensors, broken)
    for why in ("The hash of witnesses.safetensors differs", "Cannot read"):
        screen = robusteval("compare", "broken", other)
        assert screen.code == 0
        assert f"Not every picture is shown: {why}" in " ".join(screen.out.split())
        shutil.copy(CNN, broken)


def test_other_attacks_are_refused_with_what_can_be_said(robusteval: Command, run: Path) -> None:
    Path("other.toml").write_text(GATED.replace('name = "gated"', 'name = "other"').replace("search = 2", "search = 3"))
    words = ("run", CNN, "--suite", "other.toml", "--workers", 1, "--out", "other")
    refused = robusteval(*words, "--baseline", run)
    assert refused.code == 2
    assert "by the suite gated 1, and by other 1" in refused.err
    assert not Path("other/record.json").exists(), "it is refused before anything is attacked"
    assert robusteval(*words, "--seed", 9, "--baseline", run).code == 2
    robusteval(*words)
    screen = robusteval("compare", run, "other")
    assert screen.code == 2
    told = " ".join(screen.out.split())
    assert (
        "run and other cannot be compared. They were attacked otherwise: by the suite gated 1, and by other 1." in told
    )
    assert "whose budgets and search may differ: deepfool in l2, deepfool in linf, fgsm in l2, fgsm in linf." in told
    assert "Both saw the same images, so clean accuracies are compared image by image." in told


def test_a_baseline_at_the_end_of_a_run(robusteval: Command, run: Path, suite: Path) -> None:
    words = ("run", CNN, "--suite", suite, "--workers", 1, "--out", "next", "--baseline", run)
    screen = robusteval(*words, "--summary", "summary.md", "--junit", "junit.xml")
    assert screen.code == 0
    assert DOCUMENT.misfit(json.loads(Path("next/compare.json").read_text())) is None
    assert Path("next/compare.html").is_file()
    assert "Since the baseline" in Path("summary.md").read_text()
    assert "<testsuites" in Path("junit.xml").read_text()
    undecided = robusteval(*words, "--fail-on-regression")
    record = load(Path("next"))
    assert record.verdict is not None
    assert undecided.code == (3 if record.verdict.status == "inconclusive" else 0)
    robusteval("run", CNN, "--suite", suite, "--workers", 1, "--out", "next", "--samples", 20, "--overwrite")
    assert not list(Path("next").glob("compare.*")), "it was of the run before"
    assert robusteval("run", CNN, "--fail-on-regression").code == 2
    assert robusteval("run", CNN, CNN, "--baseline", run).code == 2
    assert robusteval("run", CNN, "--baseline", "nothing").code == 2


def test_the_least_robust_samples(robusteval: Command, run: Path) -> None:
    screen = robusteval("samples", run, "--least-robust", 5, "--csv", "hard.csv", "--images", "hard")
    assert screen.code == 0
    assert "5 samples by their distance in linf" in screen.out
    rows = list(csv.DictReader(Path("hard.csv").read_text().splitlines()))
    distances = [float(row["distance@linf"]) for row in rows]
    assert len(rows) == 5
    assert distances == sorted(distances)
    images = sorted(path.name for path in Path("hard").iterdir())
    assert images == sorted(f"{n + 1:04d}-{row['sample']}-{what}.png" for n, row in enumerate(rows)
                            for what in ("clean", "adversarial"))  # fmt: skip
    with Image.open(Path("hard") / images[0]) as image:
        assert image.size == (28, 28)
    assert robusteval("samples", run, "--images", "hard").code == 2
    said = json.loads(robusteval("samples", run, "--norm", "l2", "--json").out)
    assert said["norm"] == "l2"
    assert len(said["samples"]) == 50
    assert robusteval("samples", run, "--norm", "l1").code == 2


def test_all_formats_at_once(robusteval: Command, run: Path) -> None:
    names = ("junit", "sarif", "summary", "model-index", "eval-results", "cyclonedx", "csv", "parquet", "standards")
    words = [word for name in names for word in (f"--{name}", f"out.{name}")]
    assert robusteval("export", run, *words).code == 0
    assert all(Path(f"out.{name}").stat().st_size > 100 for name in names)
    assert robusteval("export", run).code == 2
    assert robusteval("export", run, "--csv", "no/such/folder").code == 2
    assert robusteval("export", "nothing", "--csv", "x").code == 2


@pytest.mark.parametrize("command", ["compare", "samples", "export"])
@pytest.mark.parametrize("kind", ["deep", "half", "nan", "pipe", "holes", "esc"])
def test_a_hostile_record_is_one_sentence(robusteval: Command, command: str, kind: str, tmp_path: Path) -> None:
    from tests.cli.test_hostile_files import made, refused

    folder = tmp_path / "run"
    made(kind, folder / "record.json")
    words = {"compare": (folder, folder), "samples": (folder,), "export": (folder, "--csv", "out.csv")}
    refused(robusteval(command, *words[command]))
    assert not (tmp_path / "out.csv").exists()
