"""Which known models a run can be shown beside: same attacks, same images. Says why where there is no comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from robusteval.record.reference_set import LoadedSet
from robusteval.record.run import Compared, Record, Reference, ReferenceColumn

LEAST = 50  # common images: with fewer, a share of 50 % is known to no better than 14 points either way
PRECISION, FULL = "precision of proposals", "float32"  # of a run's environment
ROUNDED = (
    "This run's attacks proposed in {precision} and the reference models' in float32; both were judged in full "
    "precision. `--precision full` attacks as the references were."
)
MAKE = "`robusteval references build` makes a set for your own data and suite."


def compared(sources: Sequence[LoadedSet], record: Record) -> list[Compared]:
    """What of the sets fits the run, each with its reason where it does not. Shipped sets are asked where no given one
    fits, and are passed over in silence where they hold other images."""
    own = [compare(source, record) for source in sources if not source.shipped]
    if any(column.status == "done" for column in own):
        return own
    known = set(record.data.hashes)
    near = [source for source in sources if source.shipped and known.intersection(source.content.images)]
    found = [compare(source, record) for source in near]
    fitting = [column for column in found if column.status == "done"]
    if fitting or found or own:
        return own + (fitting or found)
    return [Compared("", "", True, "none", f"No reference models are known for these images. {MAKE}")]


def compare(source: LoadedSet, record: Record) -> Compared:
    """What of one set fits the run, or why nothing does."""
    content = source.content
    reference = Compared(
        source.file,
        source.sha256,
        source.shipped,
        "none",
        suite=f"{content.suite.name} {content.suite.version}",
        data=content.data,
        tool=" ".join(content.tool.get(key, "") for key in ("name", "version")).strip(),
    )
    places = {digest: index for index, digest in enumerate(record.data.hashes)}
    common = sum(image in places for image in content.images)
    if content.suite.attacks_sha256 != record.suite.attacks_sha256:
        mine = f"{record.suite.name} {record.suite.version}"
        other = (
            f"suite {reference.suite}" if reference.suite != mine else f"suite {reference.suite} with other parameters"
        )
        reference.reason = (
            f"The reference models in {source.file} were attacked with {other}, not as this one was. {MAKE}"
        )
        return reference
    if common < LEAST:
        reference.reason = (
            f"Of the {len(content.images)} images in {source.file}, {common} are among the {record.data.samples} of "
            f"this run; a comparison needs {LEAST} (same data, same --seed)."
        )
        return reference
    kept = [_on(model, content.images, places) for model in content.models]
    reference.models = [model for model in kept if len(model.rows) >= LEAST]
    small = [model.name for model in kept if len(model.rows) < LEAST]
    reference.status = "done" if reference.models else "none"
    if small:
        reference.reason = f"Left out, as fewer than {LEAST} images are common: {', '.join(small)}."
    precision = record.environment.get(PRECISION, FULL)
    if reference.models and precision != FULL:
        reference.reason = f"{reference.reason} {ROUNDED.format(precision=precision)}".strip()
    return reference


def _on(model: Reference, images: Sequence[str], places: dict[str, int]) -> Reference:
    """The model on the images of the run; its rows are samples of the run."""
    kept = [number for number, row in enumerate(model.rows) if images[row] in places]
    kept.sort(key=lambda number: places[images[model.rows[number]]])
    return replace(
        model,
        rows=[places[images[model.rows[number]]] for number in kept],
        right=[model.right[number] for number in kept],
        worst={norm: _part(column, kept) for norm, column in model.worst.items()},
        exact={norm: _part(column, kept) for norm, column in model.exact.items()},
    )


def _part(column: ReferenceColumn, kept: Sequence[int]) -> ReferenceColumn:
    return replace(column, distance=[column.distance[number] for number in kept])
