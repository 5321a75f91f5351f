"""Ids of taxonomies, as they were published by November 2026, and which of them an attack or a defence is.

NIST AI 100-2 E2025, Adversarial Machine Learning: A Taxonomy and Terminology; MITRE ATLAS 5.6.0 (2026-05-05); OWASP
Machine Learning Security Top Ten (2023); MITRE CWE.
"""

from __future__ import annotations

from robusteval.record.run import Cell

CWE = "CWE-1039"
ATLAS_RELEASE = "5.6.0"
ATLAS_EVADE, ATLAS_VERIFY, ATLAS_PHYSICAL = "AML.T0015", "AML.T0042", "AML.T0041"
WHITE_BOX, BLACK_BOX, TRANSFER = "AML.T0043.000", "AML.T0043.001", "AML.T0043.002"
FULL_ACCESS, INFERENCE_ACCESS, PROXY = "AML.T0044", "AML.T0040", "AML.T0005"
ATLAS_TECHNIQUES = {
    ATLAS_EVADE: "Evade AI Model",
    ATLAS_VERIFY: "Verify Attack",
    WHITE_BOX: "Craft Adversarial Data: White-Box Optimization",
    BLACK_BOX: "Craft Adversarial Data: Black-Box Optimization",
    TRANSFER: "Craft Adversarial Data: Black-Box Transfer",
    FULL_ACCESS: "Full AI Model Access",
    INFERENCE_ACCESS: "AI Model Inference API Access",
    PROXY: "Create Proxy AI Model",
    ATLAS_PHYSICAL: "Physical Environment Access",
}
MITIGATIONS = {  # of ATLAS, by the kind of a pipeline
    "retrained": ("AML.M0003", "Model Hardening"),
    "retrofit": ("AML.M0003", "Model Hardening"),
    "preprocessor": ("AML.M0010", "Input Restoration"),
    "corrector": ("AML.M0010", "Input Restoration"),
    "detector": ("AML.M0015", "Adversarial Input Detection"),
}
NIST_EVASION, NIST_BLACK_BOX = "NISTAML.022", "NISTAML.025"
NIST_UNTESTED = {
    "NISTAML.021": "Clean-label backdoor",
    "NISTAML.023": "Backdoor poisoning",
    "NISTAML.024": "Targeted poisoning",
    "NISTAML.026": "Model poisoning (integrity)",
    "NISTAML.031": "Model extraction",
}
_BY_WAY_OF_OTHERS = {"transfer": (), "substitute": (PROXY,)}  # by their plugins
_NO_ATTACKER = ("noise",)  # random change: a baseline, and no technique


def technique_of(cell: Cell) -> tuple[str, ...]:
    """The ATLAS techniques that an attack on the bare model is; none of a baseline of random noise."""
    if cell.plugin in _NO_ATTACKER:
        return ()
    if cell.plugin in _BY_WAY_OF_OTHERS:
        return (TRANSFER, INFERENCE_ACCESS, *_BY_WAY_OF_OTHERS[cell.plugin])
    return (WHITE_BOX, FULL_ACCESS) if cell.needs == "gradient" else (BLACK_BOX, INFERENCE_ACCESS)


def nist_of(cell: Cell) -> str:
    """The NIST id of an attack on the bare model; "" of a baseline."""
    techniques = technique_of(cell)
    return "" if not techniques else NIST_EVASION if WHITE_BOX in techniques else NIST_BLACK_BOX
