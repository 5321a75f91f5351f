"""The fields of a record whose change alone `verify` does not notice in the record itself, and why: as in
docs/verify.md.

Patterns: [*] is any place, * any one name, ** anything below; cells are told apart by who attacks, pipelines by whether
they are defended, checks by whether they were made before the run: [retold] where the clean answers decide them,
[before] where not. The test of tampering changes every other field.
"""

from __future__ import annotations

_CLOCK = "times depend on the machine, and no figure depends on them"
_WORDS = "words about where things came from; no figure depends on them"
_LOADER = "the loader's description of how it made gradients; only loading the model again, with torch, shows it"
_SUITE = (
    "a suite that is a plugin's or the user's own is not kept in the run, so its name, hash and settings stand alone"
)
_PLAN = "it is made from the plugins' parameters and the loaded model, which are not here"
_DEFENCE = "the answers of a defence need the defence"
_COUNTED = "counted while the attack ran; only running it again shows it, and what is derived from it is compared"
_CANDIDATES = "candidates at fixed strengths are not kept; what is derived from them is compared"
_ESTIMATE = "needs the model's gradients; what is derived from it is compared"
_PROVED = "the largest radii of crown and alpha-crown are proved again from the stored graph; others need the certifier"
_PLANTED = "the planted readouts are not kept; what is derived from them is compared"
_NOISE = "the drawn noise is not kept; what is derived from it is compared"
_PREFLIGHT = (
    "asked of the model with other settings before the run; words of checks before the run are not kept elsewhere"
)
_ALIKE = "another reading that feeds the file the same numbers is no other reading; one that does not is noticed"
_STRANGE = "whether a set was given by the user or found; its content is compared"
_ASKED = "which thresholds were asked for is the user's choice; each that is there is held against the columns again"
_PLUGIN = "plugins are not asked; the results of the core's own metrics are derived again"

OUT_OF_SCOPE: dict[str, str] = {
    "command": _WORDS,
    "environment**": _WORDS,
    "times**": _CLOCK,
    "model.name": _WORDS,
    "model.dataset": _WORDS,
    "model.class_names**": _WORDS,
    "data.names**": _WORDS,
    "model.layout": _LOADER,
    "model.gradients_reason": _LOADER,
    "model.rung": _LOADER,
    "model.provider": _LOADER,
    "model.precision": _LOADER,
    "model.batch": _LOADER,
    "model.opset": _LOADER,
    "model.parity**": _LOADER,
    "model.notes**": _LOADER,
    "model.traits**": _LOADER,
    "model.reading.channels_last": _ALIKE,
    "model.reading.batch": _ALIKE,
    "data.name": _WORDS,
    "data.source": _WORDS,
    "data.range_note": _WORDS,
    "data.fit_name": _WORDS,
    "data.fit_sha256": _DEFENCE,
    "data.fit_samples": _DEFENCE,
    "suite.name": _SUITE,
    "suite.version": _SUITE,
    "suite.sha256": _SUITE,
    "suite.summary": _SUITE,
    "suite.norms": _SUITE,
    "suite.metrics**": _SUITE,
    "suite.attacks_sha256": _PLAN,
    "plan_sha256": _PLAN,
    "pipelines[bare].surrogate_agreement": _LOADER,
    "pipelines[defended].kind": _DEFENCE,
    "pipelines[defended].params**": _DEFENCE,
    "pipelines[defended].prediction**": _DEFENCE,
    "pipelines[defended].label**": _DEFENCE,
    "pipelines[defended].confidence**": _DEFENCE,
    "pipelines[defended].suspicion**": _DEFENCE,
    "pipelines[defended].certified**": _DEFENCE,
    "pipelines[defended].threshold": _DEFENCE,
    "pipelines[defended].stochastic": _DEFENCE,
    "pipelines[defended].draws": _DEFENCE,
    "pipelines[defended].notes**": _DEFENCE,
    "pipelines[defended].surrogate_agreement": _DEFENCE,
    "pipelines[defended].unstable_again": _DEFENCE,
    "pipelines[defended].unstable_batch": _DEFENCE,
    "cells[*].foretold": _CLOCK,
    "cells[*].forwards**": _COUNTED,
    "cells[*].backwards**": _COUNTED,
    "cells[*].zero_gradients": _COUNTED,
    "cells[*].bad_gradients": _COUNTED,
    "cells[*].blind**": _COUNTED,
    "cells[*].rejected**": _COUNTED,
    "cells[*].trace**": _COUNTED,
    "cells[*].watched**": _COUNTED,
    "cells[bare].strengths": _CANDIDATES,
    "cells[bare].strengths[*].strength": _CANDIDATES,
    "cells[*].strengths[*].mean_distance": _CANDIDATES,
    "cells[*].strengths[*].fools_model[*]": _CANDIDATES,
    "cells[*].strengths[*].prediction[*]": _CANDIDATES,
    "cells[*].strengths[*].suspicion**": _DEFENCE,
    "cells[adaptive].prediction[*]": _DEFENCE,
    "cells[adaptive].suspicion**": _DEFENCE,
    "cells[adaptive].survives_8bit[*]": _DEFENCE,
    "probes[*].foretold": _CLOCK,
    "probes[*].forwards**": _COUNTED,
    "probes[*].backwards**": _COUNTED,
    "probes[*].zero_gradients": _COUNTED,
    "probes[*].bad_gradients": _COUNTED,
    "probes[*].blind**": _COUNTED,
    "probes[*].rejected**": _COUNTED,
    "probes[*].trace**": _COUNTED,
    "probes[*].watched**": _COUNTED,
    "estimates[*].params**": _ESTIMATE,
    "estimates[*].target**": _ESTIMATE,
    "estimates[*].fit**": _ESTIMATE,
    "certificates[*].params**": _PROVED,
    "certificates[*].limit": _PROVED,
    "certificates[*].stopped": _PROVED,
    "certificates[*].radius[*]": _PROVED,
    "certificates_behind[*].params**": _DEFENCE,
    "certificates_behind[*].limit": _DEFENCE,
    "certificates_behind[*].stopped": _DEFENCE,
    "certificates_behind[*].radius[*]": _DEFENCE,
    "planted[*].params**": _PLANTED,
    "planted[*].samples**": _PLANTED,
    "planted[*].found.**": _PLANTED,
    "planted[*].needs.*": _PLANTED,
    "planted[*].features": _PLANTED,
    "searches": _NOISE,
    "searches[*].norm": _NOISE,
    "searches[*].draws": _NOISE,
    "searches[*].samples**": _NOISE,
    "searches[*].eps**": _NOISE,
    "references[*].shipped": _STRANGE,
    "checks[retold].title": _PREFLIGHT,
    "checks[retold].source": _PREFLIGHT,
    "checks[retold].formula": _PREFLIGHT,
    "checks[retold].threshold": _PREFLIGHT,
    "checks[retold].why": _PREFLIGHT,
    "checks[before].title": _PREFLIGHT,
    "checks[before].source": _PREFLIGHT,
    "checks[before].formula": _PREFLIGHT,
    "checks[before].threshold": _PREFLIGHT,
    "checks[before].why": _PREFLIGHT,
    "checks[before].measured": _PREFLIGHT,
    "checks[before].value": _PREFLIGHT,
    "gates": _ASKED,
    "gates[*].asked": _ASKED,
    "gates[*].source": _ASKED,
    "plugins": _PLUGIN,
    "plugins[*].distribution": _PLUGIN,
    "plugins[*].sha256": _PLUGIN,
}

_MATRIX = "no run of a single model has it, and only making the adversarials again shows it"
# the same of the document of several models
OF_COMPARISON: dict[str, str] = {
    "command": _WORDS,
    "transfer.attack": _MATRIX,
    "transfer.plugin": _MATRIX,
    "transfer.version": _MATRIX,
    "transfer.params**": _MATRIX,
}
