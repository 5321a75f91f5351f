"""Charts as SVG, by V8: in a child process where this one's address space is limited, and not at all where that is too
little.

V8 reserves tens of gigabytes of addresses before it draws, and ends the process where it gets none. Batch systems limit
them (`ulimit -v`), and a run's report is not to be lost for its pictures: so under a limit the child draws, and what
has been loaded here beside it takes nothing from it.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from typing import Any

import vl_convert

from robusteval.plain import address_space, size

_SECONDS = 120
_CHILD = "import sys, vl_convert; sys.stdout.buffer.write(vl_convert.vegalite_to_svg(sys.stdin.read()).encode())"
_TRIAL = {"mark": "point", "data": {"values": [{"x": 1}]}, "encoding": {"x": {"field": "x", "type": "quantitative"}}}
_BLANK = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="760" height="40" viewBox="0 0 760 40"><text x="380" y="24" '
    'text-anchor="middle" font-family="sans-serif" font-size="13" fill="#7a828c">Not drawn as a still picture, for '
    "want of address space; the tables hold the same figures.</text></svg>"
)


def svg(spec: dict[str, Any]) -> str:
    """A Vega-Lite specification as SVG; where it cannot be drawn here, a picture that says so."""
    if address_space() is None:
        drawn: str = vl_convert.vegalite_to_svg(spec)
        return drawn
    return (_apart(spec) if able() else None) or _BLANK


@functools.cache
def able() -> bool:
    """Whether charts can be drawn as pictures on this machine, tried once under a limit."""
    return address_space() is None or _apart(_TRIAL) is not None


def undrawn() -> str:
    """Why a page has no still pictures, in one sentence; "" where it has them."""
    if able():
        return ""
    limit = size(address_space() or 0.0)
    return (
        "Charts have no still pictures, only those that the script draws: the others need more address space than the "
        f"{limit} that were allowed (ulimit -v); the tables hold the same figures."
    )


def _apart(spec: dict[str, Any]) -> str | None:
    """Drawn by a child process; None where it ended without a picture."""
    command = [sys.executable, "-P", "-c", _CHILD]
    try:
        done = subprocess.run(  # noqa: S603 - this Python, and words of ours
            command, input=json.dumps(spec).encode(), capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    drawn = done.stdout.decode("utf-8", "replace")
    return drawn if done.returncode == 0 and drawn.startswith("<svg") else None
