"""What makes the page stand alone and safe: the script bundle, its hash, JSON inside script tags, static pictures."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import json
import re
from importlib import resources
from importlib.metadata import version
from typing import Any

import vl_convert
from markupsafe import Markup

from robusteval.cache import cache_folder
from robusteval.errors import RecordError
from robusteval.plain import read_plain
from robusteval.record.store import write_atomically
from robusteval.report.formats import drawing

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
MID = "#7a828c"
SCRIPTS = ("charts.js", "slider.js", "tables.js", "pictures.js")
_MOST = 16 << 20  # bytes of a kept script


@functools.cache
def vega_bundle() -> str:
    """Vega, Vega-Lite and vega-embed as one script text, 0.9 MB. To make it takes seconds, so it is kept for this
    version of the library; what was kept counts only where it is whole."""
    folder = cache_folder("page-script")
    if folder is None:
        return _made_bundle()
    path = folder / f"vega-{version('vl-convert-python')}.js"
    try:
        digest, _, kept = read_plain(path, _MOST).decode().partition("\n")
    except (OSError, UnicodeDecodeError):
        digest, kept = "", ""
    if kept and digest == hashlib.sha256(kept.encode()).hexdigest():
        return _inline_script(kept)
    made = _made_bundle()
    with contextlib.suppress(OSError, RecordError):  # a folder that cannot be used is the same as an empty one
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, f"{hashlib.sha256(made.encode()).hexdigest()}\n{made}".encode())
    return made


def _made_bundle() -> str:
    return _inline_script(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


@functools.cache
def page_script() -> str:
    """Our own script: charts, slider, tables and pictures."""
    return _inline_script("\n".join(_template(name) for name in SCRIPTS))


def _template(name: str) -> str:
    return resources.files("robusteval.report").joinpath("templates", name).read_text(encoding="utf-8")


@functools.cache
def style() -> str:
    return _template("style.css")


def _inline_script(text: str) -> str:
    """Text that an HTML parser hands over unchanged, so that its hash holds. Raises ValueError where it could not."""
    # A parser turns CR LF into LF, and a NUL into something else, before the browser takes the hash.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "</script" in text.lower() or "<!--" in text or "\0" in text:
        raise ValueError("A script holds characters that would end its tag.")
    return text


def csp_hash(script: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"


def content_policy() -> str:
    """Nothing from outside, no eval, and no script but the two whose hashes are named."""
    hashes = " ".join(csp_hash(script) for script in (page_script(), vega_bundle()))
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {hashes}; base-uri 'none'; "
        "form-action 'none'"
    )


def made_with() -> str:
    """The packages that draw: other versions draw otherwise."""
    packages = [f"{name} {version(name)}" for name in ("altair", "jinja2", "vl-convert-python")]
    return ", ".join(packages if drawing.able() else [*packages, "no still pictures"])


def script_json(value: Any) -> Markup:
    """JSON for a script tag: no character in it can end the tag or open a comment."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


def static_config() -> dict[str, Any]:
    """Mid-tones on nothing: legible on white and on black."""
    text = {
        "labelColor": MID,
        "titleColor": MID,
        "labelFont": FONT,
        "titleFont": FONT,
        "labelFontSize": 12,
        "titleFontSize": 12,
    }
    return {
        "background": "transparent",
        "font": FONT,
        "view": {"stroke": None},
        "axis": text
        | {
            "gridColor": MID,
            "gridOpacity": 0.22,
            "domainColor": MID,
            "tickColor": MID,
            "titleFontWeight": 500,
            "titlePadding": 10,
        },
        "legend": text
        | {
            "orient": "bottom",
            "columnPadding": 18,
            "rowPadding": 4,
            "labelLimit": 0,
            "symbolType": "stroke",
            "symbolStrokeWidth": 3,
        },
    }


def static_picture(spec: dict[str, Any], width: int) -> str:
    """The chart as an SVG inside a data: URI: as an image nothing in it can run, and its ids stay its own."""
    # The points only carry tooltips; a still picture has none.
    layers = [layer for layer in spec.get("layer", []) if layer.get("name") != "points"]
    config = static_config()
    config["legend"]["columns"] = _legend_columns(spec, width - 90)
    fixed = spec | {"layer": layers, "width": width - 90, "config": config, "autosize": {"type": "pad"}}
    svg = _renumber(drawing.svg(fixed))
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _legend_columns(spec: dict[str, Any], width: int) -> int:
    """As many as the longest name leaves room for, so that none is cut."""
    names = {row.get("series", "") for row in spec.get("datasets", {}).get("rows", [])}
    longest = max((len(name) for name in names), default=1)
    return max(1, min(4, int(width / (6.6 * longest + 50))))


def _renumber(svg: str) -> str:
    """Clip paths numbered from 0: the converter counts on through the process, and the same record must give the same
    page."""
    found = dict.fromkeys(re.findall(r'<clipPath id="(clip\d+)"', svg))
    numbers = {name: f"clip{index}" for index, name in enumerate(found)}
    return re.sub(r'(<clipPath id="|clip-path="url\(#)(clip\d+)', lambda hit: hit[1] + numbers.get(hit[2], hit[2]), svg)
