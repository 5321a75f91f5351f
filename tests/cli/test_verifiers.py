"""What a run leaves open, asked of other verifiers: the files say what the model does, and answers stay another's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import safetensors.numpy

from robusteval.errors import RecordError
from robusteval.finished.verifiers.undecided import name_of, named, open_at
from robusteval.finished.verifiers.vnnlib import box, text
from robusteval.metrics._common.bracket import edges_of, shares_at
from robusteval.record.run import Record
from robusteval.record.store import load
from robusteval.runtime.answers import Runtime
from robusteval.runtime.reading import Reading
from robusteval.verify.parts.asking import reopened
from tests import records
from tests.cli.conftest import CNN, Command
from tests.finished.attacked import attacked
from tests.sure import sure

SUITE = """
name = "bracket"
version = "1"
norms = ["linf"]
samples = 12
probe_samples = 0
certify = { samples = 12, seconds = 600, halvings = 2, certifiers = ["ibp"], norms = ["linf"] }
[[attack]]
plugin = "pgd"
search = 3
params = { steps = 8 }
"""
EPS = 2 / 255


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    return attacked(tmp_path_factory.mktemp("verifiers"), SUITE, cache)


@pytest.fixture(scope="module")
def record(run: Path) -> Record:
    return load(run)


def parsed(source: str) -> list[Any]:
    """The expressions of a file, as nested lists."""
    stack: list[list[Any]] = [[]]
    for word in re.findall(r"[()]|[^\s()]+", source):
        if word == "(":
            stack.append([])
        elif word == ")":
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(word)
    assert len(stack) == 1
    return stack[0]


def holds(expression: Any, values: dict[str, float]) -> bool:
    """Whether an assertion is true of these values."""
    head, *rest = expression
    if head in ("and", "or"):
        return (all if head == "and" else any)(holds(part, values) for part in rest)
    first, second = (values[part] if part in values else float(part) for part in rest)
    return first <= second if head == "<=" else {">=": first >= second}[head]


def refuted(source: str, x: Any, y: Any) -> bool:
    """Whether input and scores are what the file asks for."""
    expressions = parsed(source)
    values = {f"X_{place}": float(value) for place, value in enumerate(np.ravel(x))}
    values |= {f"Y_{place}": float(value) for place, value in enumerate(np.ravel(y))}
    assert [row[1] for row in expressions if row[0] == "declare-const"] == list(values)
    return all(holds(row[1], values) for row in expressions if row[0] == "assert")


def test_a_question_is_answered_by_adversarials_and_by_nothing_nearer(run: Path, record: Record) -> None:
    model = reopened(CNN, record)
    tensors = safetensors.numpy.load_file(run / "witnesses.safetensors")
    seen = 0
    for entry in sure(record.witnesses).entries:
        sample, label = entry.sample, record.data.labels[entry.sample]
        clean, broken = tensors["clean"][sample], tensors[entry.tensor][entry.row]
        near = float(np.abs(clean.astype(np.float64) - broken).max())
        source = text(*box(model, clean, near), label, 10)
        assert refuted(source, model.feed(broken[None]), model.scores(broken[None]))
        assert not refuted(source, model.feed(clean[None]), model.scores(clean[None]))
        inner = text(*box(model, clean, near * 0.999), label, 10)
        assert not refuted(inner, model.feed(broken[None]), model.scores(broken[None]))
        seen += 1
    assert seen > 3


@pytest.mark.parametrize("kind", ["tensor(float)", "tensor(double)"])
def test_the_box_holds_every_image_of_the_ball(kind: str) -> None:
    """Normalised outside the file, and turned to (H, W, C)."""
    mean, std = (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)
    reading = Reading("x", kind, (3, 5, 4), (5, 4, 3), (0.0, 1.0), "y", 10, mean, std, channels_last=True)
    model = Runtime(None, reading)  # nothing is asked of the file
    rng = np.random.default_rng(0)
    x = rng.random((3, 5, 4)).astype(np.float32)
    eps = 0.1
    low, high = box(model, x, eps)
    ends = np.stack([np.clip(x.astype(np.float64) + sign * eps, 0, 1) for sign in (-1, 1)])
    for share in (0.0, 1.0, *rng.random(50)):
        image = ends[0] + share * (ends[1] - ends[0])
        real = (image - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
        for fed in (model.feed(image[None])[0], real.transpose(1, 2, 0)):
            assert (fed >= low).all()
            assert (fed <= high).all()
    wide = (ends[1] - ends[0]) / np.reshape(std, (3, 1, 1))
    assert np.allclose(high.astype(float) - low, wide.transpose(1, 2, 0), atol=2e-6)


def test_numbers_have_no_exponents_and_are_exact() -> None:
    low = np.asarray([-1e-7, 1e-30, 0.1], np.float32)
    source = text(low, low, 0, 2)
    written = re.findall(r"X_\d (-?[0-9.]+)\)\)", source)
    assert [np.float32(value) for value in written] == [value for value in low for _ in range(2)]
    assert [float(value) for value in written[::2]] == [float(value) for value in low]


def test_names_tell_run_budget_and_sample(record: Record) -> None:
    for eps in (EPS, 1e-7, 3.0, 0.1):
        assert named(name_of(record, eps, 7)) == (name_of(record, eps, 7)[:12], eps, 7)
    for other in ("", "x.vnnlib", "../" + name_of(record, EPS, 1), name_of(record, EPS, 1) + "x"):
        assert named(other) is None


def test_what_is_undecided_is_written_and_answers_come_back(robusteval: Command, run: Path, record: Record) -> None:
    before = (run / "record.json").read_bytes()
    screen = robusteval("export", run, "--vnnlib", "asked", "--eps", "2/255")
    assert screen.code == 0, screen.err
    rows = [row.split(",") for row in Path("asked/instances.csv").read_text().splitlines()]
    shares = shares_at(sure(edges_of(record, "linf")), EPS)
    assert len(rows) == round(12 * shares.unknown) > 2
    assert f"{len(rows)} undecided" in " ".join(screen.out.split())
    assert {path.name for path in Path("asked").iterdir()} == {"model.onnx", "instances.csv", *(row[1] for row in rows)}
    assert Path("asked/model.onnx").read_bytes() == CNN.read_bytes()
    session = onnxruntime.InferenceSession("asked/model.onnx")
    clean = safetensors.numpy.load_file(run / "witnesses.safetensors")["clean"]
    for _, name, _ in rows:
        sample = int(re.sub(r".*-sample-(\d+)\.vnnlib", r"\1", name))
        (scores,) = session.run(None, {session.get_inputs()[0].name: clean[sample][None]})
        assert not refuted(Path("asked", name).read_text(), clean[sample], scores)
    answers = ["unsat", "sat", "timeout"]
    listed = [f"b,./model.onnx,./{row[1]},0.1,{said},2.5\n" for row, said in zip(rows, answers, strict=False)]
    Path("results.csv").write_text("category,onnx,vnnlib,prepare,result,time\n" + "".join(listed))
    screen = robusteval("export", run, "--import-verdicts", "results.csv", "--verifier", "other\x1b[0m")
    assert screen.code == 0, screen.err
    told = " ".join(screen.out.split())
    assert "says unsat of 1 and sat of 1 of the others" in told
    assert f"and {len(rows) - 2} are left" in told
    assert "None counts as proved or broken" in told
    kept = json.loads((run / "verdicts-of-others.json").read_text())
    assert kept["verifier"] == "other\\x1b[0m"
    assert [row["verdict"] for row in kept["verdicts"]] == ["unsat", "sat", "unknown"]
    assert kept["budgets"][0]["undecided"] == len(rows) - 2
    assert (run / "record.json").read_bytes() == before, "answers of others are no part of the record"
    assert robusteval("verify", run).code == 0


def test_answers_to_other_questions_are_refused(robusteval: Command, run: Path, record: Record) -> None:
    state = open_at(record, EPS)
    here = name_of(record, EPS, state.undecided[0])
    closed = next(sample for sample in range(12) if sample not in state.undecided)
    wrong = {
        "about nothing": f"m,{name_of(record, EPS, closed)},unsat\n",
        "that this run leaves open": f"m,{'0' * 12}{here[12:]},unsat\n",
        "is no answer": f"m,{here},maybe\n",
        "Row 2": f"m,{here},unsat\nm,other.vnnlib,unsat\n",
        "two things": f"m,{here},unsat\nm,{here},sat\n",
        "no answers": "",
        "Cannot read": "\udcff",
    }
    for said, content in wrong.items():
        Path("a.csv").write_bytes(content.encode("utf-8", "surrogateescape"))
        screen = robusteval("export", run, "--import-verdicts", "a.csv", "--verifier", "x")
        assert screen.code == 2, said
        assert said in " ".join(screen.err.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--vnnlib", "full"), "not empty"),
        (("--vnnlib", "v", "--eps", "8"), "share of the pixel range"),
        (("--vnnlib", "v", "--eps", "nan"), "share of the pixel range"),
        (("--vnnlib", "v", "--model", "no.onnx"), "--model MODEL"),
        (("--eps", "0.1"), "Give a format"),
        (("--csv", "x.csv", "--eps", "0.1"), "are for --vnnlib"),
        (("--import-verdicts", "a.csv"), "go together"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(
    robusteval: Command, run: Path, words: tuple[str, ...], said: str
) -> None:
    Path("full").mkdir()
    Path("full/file").touch()
    screen = robusteval("export", run, *words)
    assert screen.code == 2
    assert said in " ".join(screen.err.split())


def test_without_certificates_nothing_is_known_to_be_undecided() -> None:
    with pytest.raises(RecordError, match="no certificates in Linf"):
        open_at(records.with_results(records.make(40)), EPS)
