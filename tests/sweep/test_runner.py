"""Sweeps on a real Ray: one small cluster for all of them, so that what a sweep leaves behind can be counted."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from posttrain.errors import EnvironmentFault
from posttrain.sweep.plan import AshaSpec, SweepOutcome, SweepPlan
from posttrain.sweep.ray_session import quiet_environment
from posttrain.sweep.runner import run_sweep

from .recorder import Recorder
from .toy_jobs import toy

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]  # Ray's own warnings are not ours to mend

REPOSITORY = Path(__file__).parents[2]
Drive = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A living cluster of one node with two CPUs; this process is connected to it."""
    quiet_environment()
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster.address
    ray.shutdown()
    cluster.shutdown()


def left_behind() -> dict[str, int]:
    """Living actors and placement groups of every driver of the cluster, polled until none is left, for ten seconds."""
    import ray
    from ray._private.state import state
    from ray.util import placement_group_table

    for _ in range(100):
        actors = [actor for actor in state.actor_table(None).values() if actor["State"] != "DEAD"]
        groups = [group for group in placement_group_table().values() if group["state"] != "REMOVED"]
        free = ray.available_resources().get("CPU", 0)
        if not actors and not groups and free == 2:
            return {}
        time.sleep(0.1)
    return {"actors": len(actors), "placement groups": len(groups), "CPUs in use": 2 - free}


def sweep(folder: Path, book: Any, trials: int, acts: dict[str, str], **plan: Any) -> tuple[SweepOutcome, Recorder]:
    events = Recorder()
    payload = {"folder": str(folder), "steps": 12, "step_s": 0.02, "acts": acts}
    outcome = run_sweep(
        SweepPlan(trials=trials, scratch=folder / ".ray", **plan),
        book,
        toy,
        prepare=payload,
        prepared=lambda prepared: None,
        payload=lambda id_, parameters: {**payload, "parameters": parameters},
        events=events,
    )
    return outcome, events


def log_of(folder: Path, trial_id: str) -> list[str]:
    return [line for line in (folder / "log").read_text().splitlines() if line.startswith(trial_id)]


def test_trials_run_on_all_slots_and_losers_stop_at_their_report(address, open_book, tmp_path):
    asha = AshaSpec(grace_steps=4, max_steps=12)
    outcome, events = sweep(tmp_path, open_book(), 6, {}, asha=asha)
    assert outcome.slots == 2
    assert outcome.prepare is not None
    assert outcome.prepare.result["baseline"] == 1.0
    assert len(outcome.records) == 6
    statuses = {record.status for record in outcome.records}
    assert statuses == {"completed", "stopped"}
    for record in outcome.records:
        assert events.last(record.id) == record.status
        if record.status == "stopped":
            last_step = max(record.steps)
            assert f"step {last_step}" in record.reason
            assert log_of(tmp_path, record.id)[-1].endswith(f"report {last_step}")  # not one step further
    assert not (tmp_path / ".ray").exists()
    assert left_behind() == {}


def test_what_goes_wrong_in_a_trial_stays_in_it(address, open_book, tmp_path):
    acts = {
        "t0001": "raise",
        "t0002": "nan",
        "t0003": "silent",
        "t0004": "gated",
        "t0005": "kill_slot",
    }
    outcome, events = sweep(tmp_path, open_book(), 6, acts, slots=1)
    records = {record.id: record for record in outcome.records}
    assert {id_: record.status for id_, record in records.items()} == {
        "t0001": "failed",
        "t0002": "stopped",
        "t0003": "failed",
        "t0004": "gated",
        "t0005": "completed",
        "t0006": "completed",
    }
    assert records["t0001"].reason == "ValueError: t0001 is broken"
    assert records["t0002"].reason == "the objective is not a finite number: nan at step 4"
    assert "without ever reporting" in records["t0003"].reason
    assert records["t0004"].reason == "contrast 1.1 of 1.5"
    assert ("t0005", "retrying") in [entry[:2] for entry in events.trials]
    assert left_behind() == {}


def test_two_workers_take_the_same_decisions_and_one_that_dies_takes_nothing_with_it(address, open_book, tmp_path):
    asha = AshaSpec(grace_steps=4, max_steps=12)
    outcome, _ = sweep(
        tmp_path, open_book(), 4, {"t0002": "kill_worker"}, asha=asha, workers=2, cpus_per_worker=0.5, slots=1
    )
    # it went on from its checkpoint, in the same slot
    starts = [line.split()[1] for line in log_of(tmp_path, "t0002") if line.endswith("start")]
    assert starts == ["0", "0", "1", "1"]
    assert [record.status for record in outcome.records].count("failed") == 0
    for record in outcome.records:
        lines = log_of(tmp_path, record.id)
        reports = {
            rank: [line.split()[-1] for line in lines if f"rank {rank}/2" in line and "report" in line]
            for rank in (0, 1)
        }
        assert reports[0] == reports[1] != []
    assert left_behind() == {}


def test_a_request_that_cannot_fit_is_refused_at_once(address, open_book, tmp_path):
    with pytest.raises(EnvironmentFault, match="the cluster has 1 node"):
        sweep(tmp_path, open_book(), 1, {}, gpus_per_worker=1)


def test_resources_that_others_hold_are_not_waited_for_endlessly(address, open_book, tmp_path):
    import ray
    from ray.util import placement_group, remove_placement_group

    taken = placement_group([{"CPU": 1.9}])
    ray.get(taken.ready())
    try:
        with pytest.raises(EnvironmentFault, match="no worker group within 2 s"):
            sweep(tmp_path, open_book(), 1, {}, start_timeout_s=2, max_retries=0)
    finally:
        remove_placement_group(taken)
    assert left_behind() == {}


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Drive]:
    """Starts sweeps in processes of their own. Their user has a token for other clusters: any local Ray leaves one."""
    started = []
    token = tmp_path / "auth_token"
    token.write_text("0" * 64)
    environment = {**os.environ, "RAY_AUTH_TOKEN_PATH": str(token)}
    environment.pop("RAY_AUTH_MODE", None)

    def start(address: str, slots: int, step_s: float = 0.1) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.sweep.driver", str(tmp_path), address, str(slots), str(step_s)],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def wait_for(process: "subprocess.Popen[str]", text: str) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if text in line:
            return lines
    raise AssertionError(f"{text!r} never came: {lines}")


def finish(process: "subprocess.Popen[str]") -> tuple[int, list[str]]:
    output, _ = process.communicate(timeout=300)
    return process.returncode, output.splitlines()


def check_same_trials(open_book: Any, folder: Path) -> None:
    """Four trials, all completed, none lost or doubled, every report of each there."""
    records = open_book().records()
    assert [(record.id, record.status) for record in records] == [(f"t000{n}", "completed") for n in range(1, 5)]
    assert all(sorted(record.steps) == list(range(2, 41, 2)) for record in records)


def test_ctrl_c_and_kill_leave_nothing_behind_and_the_sweep_goes_on(address, open_book, tmp_path, drive):
    process = drive(address, slots=2)
    wait_for(process, "running 4")
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends Ctrl-C to all processes of the group
    code, lines = finish(process)
    assert code == 3, lines
    assert any(line.startswith("trial t0001 interrupted") for line in lines)
    assert [record.status for record in open_book().records()] == ["running"] * len(open_book().records())
    assert left_behind() == {}

    process = drive(address, slots=1)
    wait_for(process, "running 2")
    process.kill()
    process.communicate()
    assert left_behind() == {}

    code, lines = finish(drive(address, slots=1, step_s=0.01))
    assert code == 0, lines
    check_same_trials(open_book, tmp_path)
    assert left_behind() == {}


def test_an_embedded_ray_is_quiet_and_heeds_sigterm(open_book, drive):
    process = drive("local", slots=1)
    lines = wait_for(process, "running 4")
    process.terminate()
    code, rest = finish(process)
    assert code == 3, rest
    assert [line for line in lines + rest if not re.match(r"(trial t000\d|note|error) ", line)] == []
    assert {record.status for record in open_book().records()} == {"running"}
