"""How a run is cut into units where time is short: on a large model a unit of the usual size may take longer than all
the time there is, and nothing that runs is stopped."""

from __future__ import annotations

from robusteval.engine.chunks import chunk_of, largest_chunk
from robusteval.engine.plan.job import Job, plan_of
from robusteval.engine.schedule import pass_timing
from robusteval.engine.schedule.forecast import forecaster

PART = 0.1  # of the time budget that a unit may take
LEAST_S = 5.0  # seconds that it may take in any case: of shorter ones nothing is gained by cutting


def chunk_for(job: Job) -> int:
    """Samples a unit of a job: as many as go with the shape of its input; fewer, where its longest
    unit would take more than a tenth of the time budget.

    The time of a pass is kept on this machine (pass_timing), so that the same command comes to the same units again.
    """
    usual = chunk_of(job.model.info.input_shape)
    if job.time_budget is None or job.time_budget <= 0:
        return usual
    timing = pass_timing.timed(job.model, pass_timing.some(job.samples), job.precision)
    longest = forecaster(job, {"none": timing}, {}).forecast(plan_of(job)).longest
    over = longest / max(PART * job.time_budget, LEAST_S)
    if over <= 1:
        return usual
    rows = min(usual, len(job.samples))  # of the longest unit
    return largest_chunk(rows / over)


def in_words(chunk: int, job: Job) -> dict[str, str]:
    """For the record's environment: that units hold fewer samples than usual; nothing where they do not."""
    if chunk == chunk_of(job.model.info.input_shape):
        return {}
    return {"units": f"{chunk} samples each, so that each fits into a part of the time budget"}
