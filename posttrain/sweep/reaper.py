"""Frees what a slot that died leaves behind in a living Ray cluster.

When a slot's process is killed, Ray kills the Ray Train controller and the workers below it, but the placement
group that the controller had made stays reserved until the driver ends. The next slot would wait for its resources
for ever. Ray Train's own answer is a detached actor that outlives a killed driver; a `Reaper` does it from the driver
instead.

Private to Ray: the table that tells a placement group's creator (`ray` is pinned for that in pyproject.toml).
"""

from __future__ import annotations

import time
from typing import Any

import ray
from ray._private.state import state as ray_state
from ray.core.generated import gcs_pb2
from ray.util.placement_group import PlacementGroup, remove_placement_group

SETTLE_S = 1.0
"""How long it must stay clean: a controller that Ray calls dead may make one more placement group before it dies."""


class Reaper:
    """Knows what this driver had on the cluster before the sweep: that is not the sweep's to count or to remove."""

    def __init__(self) -> None:
        self._job = ray.get_runtime_context().get_job_id()
        self._before: set[str] = set()
        self._before = {*self._actors(), *self._groups()}

    def reap(self) -> int:
        """Remove the placement groups whose creating actor is dead; returns how many."""
        orphans = [group for group in self._groups().values() if _creator_is_dead(group.creator_actor_id.hex())]
        for group in orphans:
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))
        return len(orphans)

    def leftovers(self) -> dict[str, int]:
        """The sweep's living actors and placement groups."""
        return {"actors": len(self._actors()), "placement_groups": len(self._groups())}

    def wait_until_clean(self, seconds: float) -> dict[str, int]:
        """Reap until nothing of the sweep is left, `seconds` at most; returns what remains."""
        deadline = time.monotonic() + seconds
        settled = time.monotonic() + SETTLE_S
        while True:
            reaped = self.reap()
            remaining = self.leftovers()
            now = time.monotonic()
            if reaped or any(remaining.values()):
                settled = now + SETTLE_S
            if now > settled or now > deadline:
                return remaining
            time.sleep(0.1)

    def _actors(self) -> dict[str, Any]:
        return {
            id_: actor
            for id_, actor in ray_state.actor_table(None).items()
            if actor["JobID"] == self._job and actor["State"] != "DEAD" and id_ not in self._before
        }

    def _groups(self) -> dict[str, Any]:
        parse = gcs_pb2.PlacementGroupTableData.FromString
        groups = [parse(raw) for raw in ray_state._connect_and_get_accessor().get_placement_group_table()]
        return {
            group.placement_group_id.hex(): group
            for group in groups
            if group.state != gcs_pb2.PlacementGroupTableData.REMOVED
            and group.creator_job_id.hex() == self._job
            and group.placement_group_id.hex() not in self._before
        }


def _creator_is_dead(actor_id: str) -> bool:
    if not actor_id.strip("f"):
        return False  # made by the driver itself
    return bool(ray_state.actor_table(actor_id).get("State") == "DEAD")
