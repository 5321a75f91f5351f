"""What the record says of the run beside its columns, as far as it can be told: suite, variants, plugins, ids,
versions."""

from __future__ import annotations

import functools
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from robusteval import __version__
from robusteval.assessment.evidence.hashes import suite_sha256, variant_sha256
from robusteval.record.run import Cell, Record
from robusteval.verify.parts.result import Verification

SUITE = "the suite is a plugin's or the user's own, so that its hash and what it asks for were not checked"
PLAN = "the hash of the plan, which needs the plugins and the loaded model"
ATTACKS = "the hash of the attacks' variants together, which needs the plugins"
KINDS = ("attack", "defense", "metric", "certifier")
_ROW = {"kind", "name", "version", "distribution"}  # of a plugin; since 0.3 with the sha256 of its file
_OF_CELL = (
    "attack", "plugin", "version", "family", "needs", "defense", "knowledge", "norm", "threat", "eps", "target",
)  # fmt: skip
# Versions whose records this one checks as its own: columns and words of the record mean the same. What it derives
# otherwise since then is found where it is compared, and `earlier` says why that may be.
EARLIER = ("0.1.0", "0.2.0")
_OWN_ATTACK = "bare-adversarials"  # the core's own, which no plugin makes


def check_facts(record: Record, result: Verification) -> None:
    """Every claim that needs neither the model nor the images."""
    _suite(record, result)
    _cells(record, result)
    _plugins(record, result)
    _clock(record, result)
    _self_tests(record, result)
    faults = []
    if record.tool.get("name") != "robusteval" or record.tool.get("version") not in (__version__, *EARLIER):
        faults.append(
            f"it is {record.tool}, and this is robusteval {__version__}: verify with the version that wrote it"
        )
    if set(record.tool) - {"name", "version"}:
        faults.append("it says more than name and version")
    if record.model.format != "onnx" and (record.model.reading or record.model.provider.startswith("onnxruntime")):
        faults.append(f"the model is said to be {record.model.format}, and was answered by ONNX Runtime")
    if record.model.grid and (len(record.model.grid) != 3 or not record.model.reading.get("whole")):
        faults.append("model.grid is of a file that takes whole numbers, and its reading says that it takes none")
    elif record.model.reading.get("whole") and not record.model.grid and not record.model.mean:
        faults.append("the file takes whole numbers, and model.grid is empty")
    if record.model.path and Path(record.model.path).name != record.model.file:
        faults.append(f"the model's file is {record.model.file}, and its path {record.model.path}")
    bare = record.pipeline("none")
    if (bare.plugin, bare.version, bare.kind, bare.params, bare.draws, bare.stochastic, bare.threshold) != (
        ("", "", "model", {}, 1, False, None)
    ):
        faults.append("the bare model's pipeline is described as a defence")
    told: tuple[Any, ...] = (*record.pipelines, *record.cells, *record.probes, *record.estimates, *record.planted)
    told = (*told, *record.certificates, *record.certificates_behind)
    if any(row.status == "done" and row.reason for row in told):
        faults.append("something that is done has a reason why not")
    result.judge(faults, "tool and model")
    _probes(record, result)
    result.leave(PLAN)
    result.leave(ATTACKS)


def earlier(record: Record, result: Verification) -> list[str]:
    """One sentence where the run was made by an earlier version: whether that may be why something does not hold."""
    version = record.tool.get("version")
    if version == __version__ or version not in EARLIER:
        return []
    wrote = f"The run was made by robusteval {version}, and this is {__version__}"
    if result.held:
        return [f"{wrote}: all that was compared is the same in both."]
    return [
        (
            f"{wrote}: figures, checks or words that differ may be what changed since (CHANGELOG.md); to know, verify "
            f"it with robusteval {version}."
        )
    ]


@functools.cache
def shipped_suites() -> tuple[dict[str, Any], ...]:
    """The parsed suites of the core; those of plugins are not asked for, ours neither, as no plugin is imported
    here."""
    folder = resources.files("robusteval").joinpath("engine", "suite", "builtin")
    files = [file for file in folder.iterdir() if file.name.endswith(".toml")]
    return tuple(tomllib.loads(file.read_text(encoding="utf-8")) for file in files)


def _suite(record: Record, result: Verification) -> None:
    """A suite that ships with robusteval is what the record says, and each of its attacks has its cells."""
    known = shipped_suites()
    found = next((suite for suite in known if suite_sha256(suite) == record.suite.sha256), None)
    named = next((suite for suite in known if suite["name"] == record.suite.name), None)
    if found is None and named is not None and named["version"] == record.suite.version:
        fault = f"it is not that of the suite {record.suite.name} {record.suite.version} that ships with robusteval"
        result.judge([fault], "suite.sha256")
        return
    if found is None:
        result.leave(SUITE)
        return
    faults = []
    for name, value in (("name", found["name"]), ("version", found["version"]), ("summary", found.get("summary", ""))):
        if getattr(record.suite, name) != value:
            faults.append(f"its {name} is {value!r}")
    for name, value in (("norms", None), ("levels", 0), ("metrics", [])):
        if getattr(record.suite, name) != found.get(name, value):
            faults.append(f"its {name} are {found.get(name, value)}")
    asked = found.get("gates", {}).get("fail_under", [])
    if [gate.asked for gate in record.gates if gate.source == "suite"] != asked:
        faults.append("its gates are others")
    bare = [cell for cell in record.cells if cell.defense == "none"]
    own = record.model.gradients in ("exact", "straight-through")
    for row in found.get("attack", []):
        if own and row.get("when") == "no-gradients":
            continue  # left out where the model has gradients of its own
        name, norms = row.get("name", row["plugin"]), row.get("norms", [])
        there = {cell.norm for cell in bare if cell.attack == name}
        if not there or set(norms) - there:
            faults.append(f"it runs {name} in {', '.join(norms) or 'some norm'}, and there is no cell of that")
    for row in found.get("cascade", []):
        there = {cell.norm for cell in bare if cell.plugin == row["name"]}
        if set(row["eps"]) - there:
            faults.append(f"it runs {row['name']}, and there is no cell of that")
    defended = {pipeline.defense for pipeline in record.pipelines}
    faults += [
        f"it has the defence {row.get('name', row['plugin'])}, and there is no pipeline of that"
        for row in found.get("defense", [])
        if row.get("name", row["plugin"]) not in defended
    ]
    result.judge(faults, f"The suite {record.suite.name}")


def _cells(record: Record, result: Verification) -> None:
    """Ids, variants, and what cells say to each other."""
    kinds = {"none": "", "adaptive": "/adaptive", "oblivious": "/oblivious"}
    low, high = record.model.bounds
    for cell in record.cells:
        faults = []
        if cell.id != f"{cell.defense}/{cell.attack}/{cell.norm}{kinds[cell.knowledge]}":
            faults.append(f"its id does not go with {cell.attack}, {cell.norm}, {cell.defense}, {cell.knowledge}")
        if (cell.defense == "none") != (cell.knowledge == "none"):
            faults.append(f"who attacks {cell.defense} cannot be {cell.knowledge}")
        if cell.sha256 and not cell.params.get("models") and cell.sha256 != variant_sha256(cell, {}):
            faults.append("its sha256 is not that of its plugin, version and parameters")
        if cell.family not in ("minimal", "fixed", "cascade") or (cell.family == "cascade") != (
            cell.threat == "budget"
        ):
            faults.append(f"a cell of family {cell.family} and threat {cell.threat} is none")
        if cell.needs not in ("gradient", "scores", "decision"):
            faults.append(f"nothing needs {cell.needs}")
        if (cell.eps is None) != (cell.family == "minimal"):
            faults.append(f"the budget of a cell of family {cell.family} is not {cell.eps}")
        if cell.eps is not None and cell.norm == "linf" and cell.eps > (high - low) * (1 + 1e-9):
            faults.append(f"its budget {cell.eps:g} is larger than the pixel range")
        if cell.knowledge == "none" and cell.norm == "l2":
            faults += [
                f"at strength {strength.strength:g} two means of one thing differ"
                for strength in cell.strengths
                if abs(strength.mean_l2 - strength.mean_distance) > 1e-9 * max(1.0, strength.mean_l2)
            ]
        if cell.knowledge == "none":
            faults += [
                f"at strength {strength.strength:g} it fools the model with the right answer"
                for strength in cell.strengths
                for fools, answer, label in zip(
                    strength.fools_model, strength.prediction, record.data.labels, strict=True
                )
                if fools and answer in (label, -1)
            ][:3]
        if cell.knowledge == "oblivious":
            faults += _judged_only(record, cell)
        result.judge(faults, cell.id)
    targets = {cell.target for cell in (*record.cells, *record.probes)}
    result.judge([f"they are {', '.join(sorted(targets))}"] if len(targets) > 1 else [], "The cells' targets")


def _judged_only(record: Record, cell: Cell) -> list[str]:
    """An oblivious cell asks nothing of its own: it judges what its bare cell kept."""
    bare = next((bare for bare in record.cells if bare.id == f"none/{cell.attack}/{cell.norm}"), None)
    if bare is None:
        return ["there is no cell whose adversarials it judges"]
    faults = [] if cell.eps == bare.eps else ["its budget is not that of the cell whose adversarials it judges"]
    same = [strength.strength for strength in cell.strengths] == [strength.strength for strength in bare.strengths]
    if cell.status == bare.status == "done" and not same:
        faults.append("its strengths are not those of the cell whose adversarials it judges")
    if cell.zero_gradients or cell.bad_gradients or cell.rejected or cell.watched:
        faults.append("it counts what only an attack does")
    return faults


def _probes(record: Record, result: Verification) -> None:
    """Each is its attack again, with twice the steps or from another start."""
    cells = {cell.id: cell for cell in record.cells}
    places = list(cells)
    for probe in record.probes:
        parts = probe.id.split("/", 2)
        base = cells.get(parts[2]) if len(parts) == 3 and parts[0] == "probe" else None
        if base is None or parts[1] not in ("twice-steps", "other-start"):
            result.judge(["it is a probe of no cell"], probe.id)
            continue
        steps = {"steps": 2 * base.params.get("steps", 0)} if parts[1] == "twice-steps" else {}
        faults = [] if probe.params == base.params | steps else ["its parameters are not those of its cell"]
        faults.extend(
            f"its {name} is not that of its cell" for name in _OF_CELL if getattr(probe, name) != getattr(base, name)
        )
        if probe.sha256 and probe.sha256 != variant_sha256(probe, {}):
            faults.append("its sha256 is not that of its plugin, version and parameters")
        result.judge(faults, probe.id)
    last = [places.index(probe.id.split("/", 2)[-1]) for probe in record.probes if probe.id.split("/", 2)[-1] in cells]
    result.judge(["they are in another order than their cells"] if last != sorted(last) else [], "probes")


def _plugins(record: Record, result: Verification) -> None:
    """Every attack and defence that ran is listed with its version, and nothing else is."""
    used: set[tuple[str, str, str]] = set()
    for cell in (*record.cells, *record.probes):
        if cell.family == "cascade":
            rows = [value for value in cell.params.values() if isinstance(value, dict)]
            used |= {("attack", str(row.get("plugin")), str(row.get("version"))) for row in rows}
        elif cell.plugin != _OWN_ATTACK:
            used.add(("attack", cell.plugin, cell.version))
    used |= {("defense", row.plugin, row.version) for row in record.pipelines if row.defense != "none"}
    used |= {("certifier", row.certifier, row.version) for row in (*record.certificates, *record.certificates_behind)}
    listed = [(row.get("kind", ""), row.get("name", ""), row.get("version", "")) for row in record.plugins]
    done = {("attack", cell.plugin, cell.version) for cell in record.cells if cell.status != "excluded"}
    needed = {plugin for plugin in used if plugin[0] == "defense" or plugin in done}
    faults = [f"{' '.join(plugin)} ran, and is not listed" for plugin in sorted(needed - set(listed)) if plugin[2]]
    faults += [
        f"{' '.join(plugin)} is listed, and ran nowhere"
        for plugin in listed
        if plugin[0] != "metric" and plugin not in used
    ]
    if len(set(listed)) != len(listed):
        faults.append("a row is there twice")
    if any(row.keys() - {"sha256"} != _ROW or row["kind"] not in KINDS for row in record.plugins):
        faults.append("a row is not of kind, name, version and distribution")
    if any(not re.fullmatch(r"([0-9a-f]{64})?", row.get("sha256", "")) for row in record.plugins):
        faults.append("the sha256 of a plugin's file is none")
    result.judge(faults, "plugins")


def _clock(record: Record, result: Verification) -> None:
    """What was timed is what ran, and nothing was left out for want of time where there was no time budget."""
    faults = []
    timed = set(record.times.cells_s)
    there = {cell.id for cell in (*record.cells, *record.probes) if cell.status in ("done", "skipped", "failed")}
    faults += [f"{name} was timed, and is no cell that ran" for name in sorted(timed - there)]
    done = {cell.id for cell in (*record.cells, *record.probes) if cell.status == "done"}
    if timed:
        faults += [f"{name} ran, and was not timed" for name in sorted(done - timed)]
    late = record.skipped or any(cell.status == "skipped" for cell in (*record.cells, *record.probes))
    if late and record.times.budget_s is None:
        faults.append("something was left out for want of time, and there was no time budget")
    result.judge(faults[:5], "What ran")


def _self_tests(record: Record, result: Verification) -> None:
    """The tests of the evaluation go with the columns as far as those tell."""
    bare = record.pipeline("none").prediction
    right = [a == b for a, b in zip(bare, record.data.labels, strict=True)]
    for index, row in enumerate(record.planted):
        faults = []
        needs = {cell.attack: cell.needs for cell in record.cells if cell.defense == "none"}
        if any(needs.get(name, need) != need for name, need in row.needs.items()):
            faults.append("an attack needs something else in its cell")
        if row.found.keys() != row.needs.keys():
            faults.append("some attacks have no access, or none are found by them")
        if len(set(row.samples)) != len(row.samples) or not all(right[sample] for sample in row.samples):
            faults.append("a sample is there twice, or is wrong when clean")
        result.judge(faults, f"planted[{index}]")
    for index, search in enumerate(record.searches):
        twice = len(set(search.samples)) != len(search.samples)
        wrong = not all(right[sample] for sample in search.samples)
        result.judge(["a sample is there twice, or is wrong when clean"] * (twice or wrong), f"searches[{index}]")
