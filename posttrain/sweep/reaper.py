"""Frees what a slot that died leaves behind in a living Ray cluster.

When a slot's process is killed, Ray kills the Ray Train controller and the workers below it, but the placement
group that the controller had made stays reserved until the driver ends. The next slot would wait for its resources
for ever. Ray Train's own answer is a detached actor that outlives a killed driver; `reap` does it from the driver
instead.

Private to Ray: the table that tells a placement group's creator (`ray` is pinned for that in pyproject.toml).
"""

from __future__ import annotations

import time

import ray
from ray._private.state import state as ray_state
from ray.core.generated import gcs_pb2
from ray.util.placement_group import PlacementGroup, remove_placement_group


def reap() -> int:
    """Remove this driver's placement groups whose creating actor is dead; returns how many."""
    job = ray.get_runtime_context().get_job_id()
    removed = 0
    for raw in ray_state._connect_and_get_accessor().get_placement_group_table():
        group = gcs_pb2.PlacementGroupTableData.FromString(raw)
        if group.state == gcs_pb2.PlacementGroupTableData.REMOVED or group.creator_job_id.hex() != job:
            continue
        if _creator_is_dead(group.creator_actor_id.hex()):
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))
            removed += 1
    return removed


def _creator_is_dead(actor_id: str) -> bool:
    if not actor_id.strip("f"):
        return False  # made by the driver itself
    return bool(ray_state.actor_table(actor_id).get("State") == "DEAD")


def leftovers() -> dict[str, int]:
    """Living actors and placement groups of this driver's job."""
    job = ray.get_runtime_context().get_job_id()
    actors = [each for each in ray_state.actor_table(None).values() if each["JobID"] == job and each["State"] != "DEAD"]
    groups = 0
    for raw in ray_state._connect_and_get_accessor().get_placement_group_table():
        group = gcs_pb2.PlacementGroupTableData.FromString(raw)
        groups += group.state != gcs_pb2.PlacementGroupTableData.REMOVED and group.creator_job_id.hex() == job
    return {"actors": len(actors), "placement_groups": groups}


def wait_until_clean(seconds: float) -> dict[str, int]:
    """Reap until nothing of this driver is left, `seconds` at most; returns what remains."""
    deadline = time.monotonic() + seconds
    while True:
        reap()
        remaining = leftovers()
        if not any(remaining.values()) or time.monotonic() > deadline:
            return remaining
        time.sleep(0.1)
