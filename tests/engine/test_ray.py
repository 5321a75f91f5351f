"""The Ray executor on a cluster of three nodes on this machine: the document of a serial run, also without a node."""

from __future__ import annotations

import builtins
import dataclasses
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from robusteval.contracts.executors.executor import Executor
from robusteval.engine.plan.job import Job
from robusteval.engine.run.options import RunOptions
from robusteval.engine.run.prepare import prepare_job
from robusteval.engine.run.runner import run
from robusteval.engine.schedule.executors import executor_of
from robusteval.engine.schedule.schedule import Progress
from robusteval.errors import PluginError
from robusteval.testing import assert_conforms, check_executor
from tests.engine import toys
from tests.engine.slow import Slow
from tests.engine.test_runner import make_job, text
from tests.sure import sure

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
STORE = 80 << 20  # bytes of object store a node; the least that Ray takes is 75 MiB
PLUGINS = (*toys.TOYS, ("attack", Slow))
SUITE = """
name = "slow"
version = "1"
norms = ["l2"]
samples = 600
probe_samples = 0
[[attack]]
plugin = "test.slow"
params = {{ seconds = {seconds}, marks = "{marks}", die = {die}, gate = "{gate}" }}
[[attack]]
plugin = "noise"
search = 1
"""


class Nodes:
    """A cluster of three nodes with one processor each, of which two may be lost and added again."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster: Any = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False},
        )
        self.others = [self.cluster.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(2)]

    def lose(self) -> None:
        """One node is gone, as if its power was cut."""
        self.cluster.remove_node(self.others.pop(), allow_graceful=False)

    def mend(self) -> None:
        """Three nodes again."""
        while len(self.others) < 2:
            self.others.append(self.cluster.add_node(num_cpus=1, object_store_memory=STORE))


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_health_check_initial_delay_ms", "1000")  # a lost node is noticed in seconds, not in a quarter
        patch.setenv("RAY_health_check_period_ms", "1000")  # of a minute
        patch.setenv("RAY_memory_monitor_refresh_ms", "0")  # the memory of this machine is not the tests' to watch
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
        made = Nodes()
        yield made
        ray.shutdown()
        made.cluster.shutdown()


@pytest.fixture
def on_ray(nodes: Nodes) -> Executor:
    nodes.mend()
    return sure(executor_of("ray:patience=60", nodes.cluster.address, toys.catalogue()))


@pytest.fixture(scope="module")
def joined(nodes: Nodes) -> Iterator[Executor]:
    """The executor in a process that is connected already: what it starts there serves every run, and need not import
    everything anew for each. Tests with `on_ray`, which connects and leaves, come before those with this."""
    nodes.mend()
    ray.init(address=nodes.cluster.address, log_to_driver=False)
    yield sure(executor_of("ray:patience=60", nodes.cluster.address, toys.catalogue()))
    ray.shutdown()


def slow_job(
    folder: Path, seconds: float = 0.0, die: bool = False, marks: bool = True, gate: str = "", count: int = 500
) -> Job:
    place = folder / "marks"
    place.mkdir(exist_ok=True)
    suite = SUITE.format(seconds=seconds, marks=place if marks else "", die=str(die).lower(), gate=gate)
    (folder / "slow.toml").write_text(suite)
    model = toys.linear()
    data = toys.samples(model, count=count)
    options = RunOptions(suite=str(folder / "slow.toml"), data=(data.x, data.y))
    return dataclasses.replace(prepare_job(model, toys.catalogue(*PLUGINS), options), folder=folder / "run")


def test_the_document_is_that_of_a_serial_run(on_ray: Executor, tmp_path: Path) -> None:
    job = make_job(tmp_path)
    serial, before = run(job), builtins.print
    there = dataclasses.replace(job, folder=tmp_path / "there", executor=on_ray)
    assert text(run(there)) == text(serial)
    assert (job.folder / "witnesses.safetensors").read_bytes() == (there.folder / "witnesses.safetensors").read_bytes()
    assert not ray.is_initialized()  # what it joined it leaves
    assert builtins.print is before, "Ray puts a function of its own there unless it is told not to"


def test_nodes_with_other_versions_are_refused(
    on_ray: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from robusteval.contracts.executors import executor as contract

    monkeypatch.setattr(contract, "_versions", lambda: "robusteval 99")
    with pytest.raises(PluginError, match="other versions are installed there"):
        run(dataclasses.replace(slow_job(tmp_path), executor=on_ray))


def test_no_statistics_are_sent(on_ray: Executor) -> None:
    from ray._common.usage import usage_lib

    on_ray.start(1)
    assert not usage_lib.usage_stats_enabled()
    on_ray.stop()


def test_where_nobody_answers_is_one_sentence(tmp_path: Path) -> None:
    executor = executor_of("ray", "127.0.0.1:1", toys.catalogue())
    with pytest.raises(PluginError, match=r"No Ray cluster answers at 127\.0\.0\.1:1"):
        run(dataclasses.replace(slow_job(tmp_path), executor=executor))


def test_where_no_node_can_take_a_unit_is_one_sentence(nodes: Nodes, tmp_path: Path) -> None:
    nodes.mend()
    executor = executor_of("ray:gpus=4,patience=2", nodes.cluster.address, toys.catalogue())
    with pytest.raises(PluginError, match="No node of the Ray cluster can take a unit with 1 CPUs, 4 GPUs"):
        run(dataclasses.replace(slow_job(tmp_path), executor=executor))


def test_a_lost_node_s_units_are_done_again(on_ray: Executor, nodes: Nodes, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    job = slow_job(tmp_path, gate=str(gate))
    done = []

    def watch(progress: Progress) -> None:
        done.append(progress.done)

    def strike() -> None:
        while len(list((tmp_path / "marks").iterdir())) < 3:  # all three nodes are at a unit, and wait at the gate
            time.sleep(0.02)
        nodes.lose()
        while sum(node["Alive"] for node in ray.nodes()) > 2:  # what its process would still answer comes too late now
            time.sleep(0.02)
        gate.touch()

    striker = threading.Thread(target=strike)
    striker.start()
    record = run(dataclasses.replace(job, executor=on_ray), watch)
    striker.join()
    assert {cell.status for cell in record.cells} == {"done"}
    assert done[-1] == 10
    begun = len(list((tmp_path / "marks").iterdir()))
    assert begun > 5, "no unit was begun again, so nothing was tested"
    serial = run(dataclasses.replace(job, folder=tmp_path / "serial"))
    assert text(record) == text(serial)


@pytest.mark.long  # as of worker processes, and what Ray adds is the loss of a node, above
def test_a_unit_that_keeps_killing_its_worker_fails_alone(joined: Executor, tmp_path: Path) -> None:
    record = run(dataclasses.replace(slow_job(tmp_path, die=True, count=130), executor=joined))
    assert {cell.id: cell.status for cell in record.cells} == {"none/test.slow/l2": "failed", "none/noise/l2": "done"}
    assert "the worker process died" in next(cell.reason for cell in record.cells if cell.status == "failed")


def test_a_unit_past_its_limit_is_ended_where_it_is_made(joined: Executor, tmp_path: Path) -> None:
    job = slow_job(tmp_path, seconds=3600.0, count=130)
    limited = dataclasses.replace(job, suite=dataclasses.replace(job.suite, cell_timeout=5.0))
    record = run(dataclasses.replace(limited, executor=joined))
    assert {cell.id: cell.status for cell in record.cells} == {"none/test.slow/l2": "failed", "none/noise/l2": "done"}
    (reason,) = [cell.reason for cell in record.cells if cell.status == "failed"]
    assert reason == "the worker process was ended, as a unit of it took more than 5 s"


@pytest.mark.long  # as of worker processes: the driver stores what it has
def test_an_interrupted_run_goes_on_from_there(joined: Executor, tmp_path: Path) -> None:
    job = dataclasses.replace(slow_job(tmp_path, seconds=0.2), executor=joined)

    def interrupt(progress: Progress) -> None:
        if progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(job, interrupt)
    resumed = []
    record = run(job, lambda progress: resumed.append(progress.resumed))
    assert resumed[0] == 3
    assert text(record) == text(run(dataclasses.replace(job, folder=tmp_path / "serial", executor=None)))


def test_it_conforms(joined: Executor) -> None:
    report = check_executor(joined)
    assert_conforms(report)
    assert {outcome.status for outcome in report.outcomes} == {"passed"}
