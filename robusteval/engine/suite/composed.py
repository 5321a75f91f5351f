"""A suite without a file: from attacks, norms, budgets and defences, as a command line or a call names them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from robusteval.contracts.params import params_of
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.errors import SuiteError
from robusteval.ops import NORMS

NAME = "composed"
STANDARD = "standard"
_USUAL = ("linf", "l2")  # where no norms are stated, as far as the attacks have them
_EPS_HINT = (
    "Give a share of the pixel range such as 8/255 (l0: pixels), for several norms each its own: linf=8/255,l2=2."
)

Named = (
    str | Mapping[str, Any] | Sequence[Any] | object
)  # "pgd", "pgd:steps=20", {"plugin": ...}, ("pgd", {...}), PGD()


def chosen(
    suite: str | Mapping[str, Any],
    attacks: Sequence[Named] | str,
    norms: Sequence[str] | str,
    eps: Any,
    defenses: Sequence[Named] | str,
    catalogue: Catalogue,
) -> str | Mapping[str, Any]:
    """The suite that is meant: the one that is named, or one of these attacks. Raises SuiteError, PluginError.

    eps: the largest budget that is searched, a share of the pixel range, for one norm or by norm.
    """
    if not attacks:
        if norms or defenses or eps is not None:
            raise SuiteError(
                "Norms, budgets and defences are stated for a suite that is composed, and no attacks are.",
                "Name some with --attacks, such as pgd,ddn; or write a suite, see docs/plugins/suite.md.",
            )
        return suite
    if suite != STANDARD:
        raise SuiteError("Both a suite and attacks are stated.", "Give one of them: --suite, or --attacks.")
    named = [_spec(item, "attack") for item in _list(attacks)]
    some = _norms(_list(norms), named, catalogue)
    data: dict[str, Any] = {
        "name": NAME,
        "version": "1",
        "summary": "Attacks, norms and defences that were named one by one.",
        "norms": some,
        "attack": [_told_apart(spec, named, place) for place, spec in enumerate(named)],
    }
    budgets = _budgets(eps, some)
    if budgets:
        data["eps"] = budgets
    if defenses:
        data["defense"] = [_spec(item, "defense") for item in _list(defenses)]
    return data


def _list(given: Sequence[Any] | str) -> list[Any]:
    """Names from "pgd,ddn:steps=20"; what is a list already as it is."""
    if not isinstance(given, str):
        return list(given) if isinstance(given, list | tuple) else [given]
    return [part.strip() for part in given.split(",") if part.strip()]


def _spec(item: Any, kind: str) -> dict[str, Any]:
    """A plugin with its parameters, as a suite's table has it."""
    if isinstance(item, str):
        name, *settings = item.split(":")
        return {"plugin": name, **_params(dict(_setting(name, text) for text in settings))}
    if isinstance(item, Mapping):
        return dict(item)
    if isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[1], Mapping):
        return {"plugin": str(item[0]), **_params(dict(item[1]))}
    plugin = getattr(item, "attack", item)  # of robusteval.attacks, which holds the plugin
    own = getattr(getattr(plugin, "info", None), "name", None)
    if not isinstance(own, str) or isinstance(plugin, type):
        raise SuiteError(
            f"A {type(item).__name__} is no {kind}.",
            f'Give names, ("name", parameters), tables as in a suite, or {kind}s with their parameters.',
        )
    return {"plugin": own, **_params(params_of(plugin))}


def _params(given: dict[str, Any]) -> dict[str, Any]:
    return {"params": given} if given else {}


def _setting(name: str, text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise SuiteError(f"{text[:40]!r} is no parameter of {name[:40]}.", "Write pgd:steps=20:restarts=2.")
    try:
        return key.strip(), json.loads(value)
    except (ValueError, RecursionError):
        return key.strip(), value.strip()


def _told_apart(spec: dict[str, Any], all_specs: list[dict[str, Any]], place: int) -> dict[str, Any]:
    """With a name of its own where a plugin comes more than once: pgd, pgd-2."""
    before = sum(other.get("plugin") == spec.get("plugin") for other in all_specs[:place])
    return {**spec, "name": f"{spec['plugin']}-{before + 1}"} if before and "name" not in spec else spec


def _norms(stated: list[str], named: list[dict[str, Any]], catalogue: Catalogue) -> list[str]:
    """What was stated, else the usual ones that some attack has, else all that they have. Raises SuiteError where an
    attack has none of those that were stated."""
    able = {
        str(spec["plugin"]): tuple(catalogue.get("attack", str(spec["plugin"])).info.norms)
        for spec in named
        if "plugin" in spec
    }
    known = {norm for norms in able.values() for norm in norms}
    if not stated:
        usual = [norm for norm in _USUAL if norm in known]
        return usual or [norm for norm in NORMS if norm in known]
    for name, norms in able.items():
        if not set(norms) & set(stated):
            raise SuiteError(
                f"The attack {name} has no {' and no '.join(stated)} form; it has {', '.join(norms)}.",
                "Leave it out, or state one of its norms.",
            )
    return stated


def _budgets(eps: Any, norms: list[str]) -> dict[str, float]:
    """By norm. Raises SuiteError."""
    if eps is None:
        return {}
    parts = [part.strip() for part in eps.split(",") if part.strip()] if isinstance(eps, str) else []
    if any("=" in part for part in parts):
        eps = {norm.strip(): value for norm, _, value in (part.partition("=") for part in parts)}
    if isinstance(eps, Mapping):
        unknown = [str(norm) for norm in eps if norm not in norms]
        if unknown:
            raise SuiteError(f"A budget is stated for {unknown[0][:40]!r}, which is none of the norms.", _EPS_HINT)
        return {str(norm): share(value) for norm, value in eps.items()}
    if len(norms) > 1:
        raise SuiteError(f"One budget is stated for several norms: {', '.join(norms)}.", _EPS_HINT)
    return {norms[0]: share(eps)}


def share(value: Any) -> float:
    """A number, or a text such as 8/255. Raises SuiteError."""
    if isinstance(value, str):
        found = re.fullmatch(r"\s*([\d.]+(?:e-?\d+)?)\s*(?:/\s*([\d.]+)\s*)?", value, re.IGNORECASE)
        try:
            number = float(found[1]) / float(found[2] or 1) if found is not None else 0.0
        except (ValueError, ZeroDivisionError):
            number = 0.0
    else:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
    if not 0 < number < float("inf"):
        raise SuiteError(f"{str(value)[:40]!r} is no budget.", _EPS_HINT)
    return number
