"""The picture for the README: strength against cost of every minimal attack in l2 and linf, ours and the peers'.

python benchmarks/figure.py benchmarks/results/peers.json benchmarks/results/peers.svg
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import altair as alt
from match import SAME

_MODELS = {"lenet": "LeNet", "robust": "LeNet, adversarially trained"}
_NORMS = {"l2": "L2", "linf": "Linf"}


def points(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One point for each minimal attack in l2 or linf that lost half of the samples; ours as they come, and longer
    ones.

    named: ours that nothing of ours beats in both strength and cost; more names would lie upon each other.
    """
    found = []
    for row in rows:
        if row["budget"] or "failed" in row or row["norm"] not in _NORMS or row["success"] < 0.5:
            continue
        if row["by"] == SAME:
            continue
        found.append(
            {
                "attack": row["attack"],
                "who": "robusteval" if row["ours"] else row["by"].split(",")[0].split(" (")[0],
                "ms": 1e3 * row["seconds"],
                "optimality": row["optimality"],
                "panel": f"{_MODELS[row['model']]}, {_NORMS[row['norm']]}",
            }
        )
    for point in found:
        rivals = [
            other
            for other in found
            if other["panel"] == point["panel"] and other["who"] == point["who"] == "robusteval"
        ]
        beaten = any(
            other["ms"] <= point["ms"] and other["optimality"] >= point["optimality"]
            for other in rivals
            if other is not point
        )
        point["named"] = point["who"] == "robusteval" and not beaten
    return found


def chart(rows: list[dict[str, Any]]) -> alt.FacetChart:
    data = alt.Data(values=points(rows))  # type: ignore[no-untyped-call]
    who = ["robusteval", "adv-lib", "foolbox", "art", "torchattacks"]
    base = alt.Chart().encode(
        x=alt.X("ms:Q", title="CPU milliseconds per image, one thread", scale=alt.Scale(type="log")),
        y=alt.Y(
            "optimality:Q", title="optimality (1 = nothing nearer in the pool)", scale=alt.Scale(zero=False, nice=True)
        ),
    )
    colour = alt.Color(
        "who:N",
        title=None,
        scale=alt.Scale(domain=who, range=["#c1121f", "#3d5a80", "#7d8597", "#98c1d9", "#b08968"]),
        legend=alt.Legend(orient="top"),
    )
    dots = base.mark_point(filled=True, size=70, opacity=0.9).encode(
        color=colour, shape=alt.Shape("who:N", scale=alt.Scale(domain=who), legend=None)
    )
    names = (
        base.transform_filter("datum.named")
        .mark_text(align="left", dx=7, dy=-5, fontSize=10)
        .encode(text="attack:N", color=colour)
    )
    facets: alt.FacetChart = (
        alt.layer(dots, names, data=data)
        .properties(width=400, height=260)
        .facet(alt.Facet("panel:N", title=None), columns=2)
        .resolve_scale(x="independent", y="independent")
    )
    return facets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("picture", type=Path, help="ends in .svg or .png")
    options = parser.parse_args()
    chart(json.loads(options.results.read_text())["rows"]).save(str(options.picture))


if __name__ == "__main__":
    main()
