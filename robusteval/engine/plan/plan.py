"""The plan: which cells are run, which are excluded and why, and how they are cut into units."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from typing import Any

from robusteval.contracts.classifier import ModelInfo
from robusteval.contracts.params import make, params_of
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.chunks import CHUNK, chunk_of
from robusteval.engine.plan.cascades import Member, cascade_cell
from robusteval.engine.plan.fingerprint import norms_of, starts, surrogates, variant_sha256
from robusteval.engine.suite.suite import TRANSFER, AttackSpec, CascadeSpec, DefenseSpec, MemberSpec, Suite, applicable
from robusteval.record.run import Cell, Knowledge
from robusteval.record.units import norm_width


@dataclass(frozen=True)
class Planned:
    """A cell to run, with all that a worker needs to know about it."""

    cell: Cell
    attack: Any  # the plugin instance; None for oblivious cells, which only judge, and for transferred ones
    largest: float  # largest budget searched, in pixel units
    search: int
    draws: int
    strengths: tuple[float, ...]  # strengths at which a bare cell keeps candidates for the oblivious ones
    source: str = ""  # oblivious cells: the bare cell whose adversarials they judge
    rows: int | None = None  # only the first so many samples (probes)
    members: tuple[Member, ...] = ()  # of a cascade, in order
    starts: tuple[str, ...] = ()  # transferred cells: the bare cells whose nearest wins they start from
    chunk: int = CHUNK  # samples a unit

    def plugins(self) -> set[str]:
        """Names of the attack plugins that the cell runs."""
        return {member.plugin for member in self.members} or {self.cell.plugin}


@dataclass(frozen=True)
class Plan:
    """Planned cells in order: bare, adaptive, transferred, oblivious, probes; and excluded ones with their reasons."""

    planned: tuple[Planned, ...]
    probes: tuple[Planned, ...]
    excluded: tuple[Cell, ...]
    sha256: str
    chunk: int = CHUNK  # samples a unit
    rest: str = ""  # the same hash of all but the samples: the plans of a run on few and on more of them share it

    @property
    def cells(self) -> list[Cell]:
        """Every cell, excluded ones last."""
        return [planned.cell for planned in self.planned] + list(self.excluded)


def make_plan(
    suite: Suite, catalogue: Catalogue, info: ModelInfo, target: str, identity: dict[str, Any], chunk: int = 0
) -> Plan:
    """The plan of a suite for a model. identity: what else must be the same for units to be re-used (data, seed, ...);
    chunk: samples a unit, 0 for as many as go with the shape of the input.

    Raises SuiteError and PluginError where a plugin or a parameter is not there.
    """
    suite = applicable(suite, info)
    maker = _Maker(suite, catalogue, info, target)
    planned: list[Planned] = []
    excluded: list[Cell] = []
    for spec in suite.attacks:
        for norm in maker.norms(spec):
            _sort(maker.bare(spec, norm), planned, excluded)
    bare = list(planned)
    for cascade in suite.cascades:
        for cell in maker.cascade(cascade, "none", "none", 1):
            _sort(cell, planned, excluded)
    for defense in suite.defenses:
        for cell in maker.adaptive(defense):
            _sort(cell, planned, excluded)
        adaptive = {cell.cell.norm for cell in planned if cell.cell.defense == defense.name}
        planned += maker.transferred(defense, [cell for cell in bare if cell.cell.norm in adaptive])
        planned += maker.oblivious(defense, bare)
    probes = maker.probes(bare)
    models, chunk = surrogates(suite, catalogue), chunk or chunk_of(info.input_shape)
    content = {
        "suite": suite.sha256,
        "cells": [
            [p.cell.id, p.cell.plugin, p.cell.version, p.cell.params, p.largest, p.search, *starts(p.cell.norm)]
            for p in planned + probes
        ],
        "surrogates": models,
        "chunk": chunk,
        **identity,
    }
    digest, rest = _sha256(content), _sha256(content | {"data": ""})
    for variant in [*(item.cell for item in planned + probes), *excluded]:
        variant.sha256 = variant_sha256(variant, models)
    cut, few = ([replace(item, chunk=chunk) for item in items] for items in (planned, probes))
    return Plan(tuple(cut), tuple(few), tuple(excluded), digest, chunk, rest)


def _sha256(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _sort(item: Planned, planned: list[Planned], excluded: list[Cell]) -> None:
    if item.cell.status == "excluded":
        excluded.append(item.cell)
    else:
        planned.append(item)


def file_name(cell_id: str) -> str:
    """A cell's id as a safe file name."""
    return re.sub(r"[^A-Za-z0-9.+-]", "_", cell_id)


@dataclass(frozen=True)
class _Maker:
    suite: Suite
    catalogue: Catalogue
    info: ModelInfo
    target: str

    def norms(self, spec: AttackSpec) -> list[str]:
        """The norms in which the attack runs: its own as far as suite and plugin have them."""
        return norms_of(spec, self.suite, self.catalogue)

    def bare(self, spec: AttackSpec, norm: str) -> Planned:
        """The cell of one attack on the bare model."""
        judged_later = self.suite.keep_strengths or any(
            spec.name in defense.oblivious for defense in self.suite.defenses
        )
        return self._cell(spec, norm, "none", "none", draws=1, keep_strengths=judged_later)

    def adaptive(self, defense: DefenseSpec) -> list[Planned]:
        """The cells of the attacks that know this defence."""
        specs = {
            spec.name: spec if defense.search is None else replace(spec, search=defense.search)
            for spec in self.suite.attacks
        }
        cells = [
            self._cell(specs[name], norm, defense.name, "adaptive", draws=defense.draws, keep_strengths=False)
            for name in defense.adaptive
            if name in specs
            for norm in self.norms(specs[name])
        ]
        for cascade in self.suite.cascades:
            if cascade.name in defense.adaptive:
                cells += self.cascade(cascade, defense.name, "adaptive", defense.draws)
        return cells

    def cascade(self, spec: CascadeSpec, defense: str, knowledge: Knowledge, draws: int) -> list[Planned]:
        """The cells of a cascade: one for each norm and budget."""
        members, cells = tuple(self._member(member) for member in spec.members), []
        for norm, budgets in spec.eps.items():
            reasons = {member.name: self._excluded(member.attack, norm) for member in members}
            unable = {name: reason for name, reason in reasons.items() if reason}
            for share in budgets:
                eps = share * norm_width(norm, self.info.bounds)
                cell, able = cascade_cell(
                    spec, members, unable, share, version=self.suite.version, defense=defense, knowledge=knowledge,
                    norm=norm, eps=eps, target=self.target,
                )  # fmt: skip
                cells.append(Planned(cell, None, eps, 0, draws, (), members=able))
        return cells

    def _member(self, spec: MemberSpec) -> Member:
        plugin = self.catalogue.get("attack", spec.plugin)
        return Member(spec.name, spec.plugin, make(plugin, spec.params, spec.plugin))

    def transferred(self, defense: DefenseSpec, bare: list[Planned]) -> list[Planned]:
        """One cell a norm that tries the nearest win of the bare cells: whoever knows the defence can do that too."""
        return [
            self._from(defense, norm, tuple(planned.cell.id for planned in bare if planned.cell.norm == norm))
            for norm in dict.fromkeys(planned.cell.norm for planned in bare)
        ]

    def _from(self, defense: DefenseSpec, norm: str, starts: tuple[str, ...]) -> Planned:
        cell = Cell(
            id=f"{defense.name}/{TRANSFER}/{norm}/adaptive",
            attack=TRANSFER,
            plugin=TRANSFER,  # the core's own; no plugin has this name
            version="1",
            params={},
            family="minimal",
            needs="decision",
            defense=defense.name,
            knowledge="adaptive",
            norm=norm,
            threat="curve",
            target=self.target,
        )
        return Planned(cell, None, 0.0, 0, 1, (), starts=starts)

    def oblivious(self, defense: DefenseSpec, bare: list[Planned]) -> list[Planned]:
        """The bare cells' adversarials judged on this defence."""
        return [self._judged_on(defense, source) for source in bare if source.cell.attack in defense.oblivious]

    def _judged_on(self, defense: DefenseSpec, source: Planned) -> Planned:
        old = source.cell
        cell = Cell(
            id=f"{defense.name}/{old.attack}/{old.norm}/oblivious",
            attack=old.attack,
            plugin=old.plugin,
            version=old.version,
            params=old.params,
            family=old.family,
            needs=old.needs,
            defense=defense.name,
            knowledge="oblivious",
            norm=old.norm,
            threat="curve",
            eps=old.eps,
            target=self.target,
        )
        return Planned(cell, None, source.largest, 0, 1, source.strengths, source=old.id)

    def probes(self, bare: list[Planned]) -> list[Planned]:
        """PGD again on the first samples, with twice the steps and with another start: does the answer change?"""
        if self.suite.probe_samples == 0:
            return []
        probes = []
        for item in bare:
            spec = next(spec for spec in self.suite.attacks if spec.name == item.cell.attack)
            steps = item.cell.params.get("steps")
            if item.cell.needs != "gradient" or not isinstance(steps, int):
                continue
            variants = [("twice-steps", spec.params | {"steps": 2 * steps})]
            if self.catalogue.get("attack", spec.plugin).info.stochastic:
                variants.append(("other-start", spec.params))
            for label, params in variants:
                twin = replace(spec, params=params, reason=label)
                probe = self._cell(twin, item.cell.norm, "none", "none", draws=1, keep_strengths=False)
                probe.cell.id = f"probe/{label}/{item.cell.id}"
                probes.append(
                    Planned(probe.cell, probe.attack, probe.largest, probe.search, 1, (), "", self.suite.probe_samples)
                )
        return probes

    def _cell(
        self, spec: AttackSpec, norm: str, defense: str, knowledge: Knowledge, draws: int, keep_strengths: bool
    ) -> Planned:
        entry = self.catalogue.entry("attack", spec.plugin)
        info = entry.plugin.info
        attack = make(entry.plugin, spec.params, spec.plugin)
        largest = self.suite.largest(norm, self.info.input_shape) * norm_width(norm, self.info.bounds)
        tail = "" if knowledge == "none" else f"/{knowledge}"
        cell = Cell(
            id=f"{defense}/{spec.name}/{norm}{tail}",
            attack=spec.name,
            plugin=spec.plugin,
            version=info.version,
            params=params_of(attack),
            family=info.budget,
            needs=info.needs,
            defense=defense,
            knowledge=knowledge,
            norm=norm,
            threat="curve",
            eps=largest if info.budget == "fixed" else None,
            target=self.target,
        )
        reason = self._excluded(attack, norm)
        if reason:
            cell.status, cell.reason = "excluded", reason
        strengths: tuple[float, ...] = ()
        if keep_strengths:
            shares = self.suite.strengths if info.budget == "fixed" else self.suite.stretches
            strengths = tuple(share * largest for share in shares) if info.budget == "fixed" else shares
        return Planned(cell, attack, largest, spec.search, draws, strengths)

    def _excluded(self, attack: Any, norm: str) -> str:
        return why_not(attack, norm, self.info)


def why_not(attack: Any, norm: str, model: ModelInfo) -> str:
    """Why this attack cannot be run on this model, or ""."""
    info = attack.info
    if norm not in info.norms:
        return f"the attack has no {norm} form"
    if info.needs == "gradient" and model.gradients == "none":
        return f"the attack needs gradients, and the model gives none: {model.gradients_reason}"
    if info.needs == "scores" and model.output == "labels":
        return "the attack needs scores, and the model answers with labels only"
    if info.surrogates and not getattr(attack, "models", ()):
        return "it goes by way of other models, and none was given (--surrogate FILE)"
    return ""
