import pytest

from posttrain.errors import EnvironmentFault
from posttrain.sweep.capacity import choose_slots, count_slots
from posttrain.sweep.plan import GroupSize

GB = 1e9
LAPTOP = {"CPU": 8.0, "memory": 16 * GB}
GPU_NODE = {"CPU": 64.0, "GPU": 8.0, "memory": 512 * GB}


@pytest.mark.parametrize(
    ("size", "nodes", "slots"),
    [
        (GroupSize(1, 1), [LAPTOP], 8),
        (GroupSize(1, 1), [{"CPU": 8.0, "memory": 4 * GB}], 2),  # memory is what binds
        (GroupSize(2, 2), [LAPTOP], 2),
        (GroupSize(1, 0.1), [{"CPU": 0.3, "memory": 16 * GB}], 3),
        (GroupSize(1, 1, 1), [GPU_NODE, GPU_NODE], 16),
        (GroupSize(4, 1, 1), [GPU_NODE], 2),
        (GroupSize(16, 1, 1), [GPU_NODE, GPU_NODE], 1),
        (GroupSize(1, 1, 0.5), [GPU_NODE], 16),
        (GroupSize(1, 16, 1), [GPU_NODE], 4),  # CPUs bind
        (GroupSize(1, 1, 1), [LAPTOP], 0),
        (GroupSize(1, 9), [LAPTOP, LAPTOP], 0),  # a worker does not span nodes
    ],
)
def test_whole_groups_are_packed(size, nodes, slots):
    assert count_slots(size, nodes) == slots


def test_auto_takes_what_fits_but_no_more_than_trials():
    assert choose_slots("auto", GroupSize(), [LAPTOP], wanted=16) == 8
    assert choose_slots("auto", GroupSize(), [LAPTOP], wanted=3) == 3
    assert choose_slots(2, GroupSize(), [LAPTOP], wanted=16) == 2


def test_a_request_that_never_fits_says_what_is_there_and_what_is_needed():
    with pytest.raises(
        EnvironmentFault, match=r"2 workers with 1 CPU and 1 GPU each; the cluster has 1 node \(8 CPU, 0 GPU"
    ):
        choose_slots("auto", GroupSize(2, 1, 1), [LAPTOP], wanted=1)
    with pytest.raises(EnvironmentFault, match="9 slots were asked for and 8 fit"):
        choose_slots(9, GroupSize(), [LAPTOP], wanted=16)


def test_workers_leave_room_for_the_slots_own_actor():
    assert GroupSize(1, 1).bundle()["CPU"] + 0.001 <= 1
    assert GroupSize(1, 4, 1).bundle() == {"CPU": 3.99, "GPU": 1}
