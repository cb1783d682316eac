"""An embedded Ray gives its workers their fair share; a cluster that is not there is said to be missing at once."""

import os
import socket
import subprocess
import sys
import time

import pytest

from posttrain.errors import EnvironmentFault
from posttrain.sweep.ray_session import ray_session


def test_an_address_where_nobody_listens_is_told_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        began = time.monotonic()
        with (
            pytest.raises(EnvironmentFault, match=f"{address} cannot be used.*check the address"),
            ray_session(address),
        ):
            pass
    assert time.monotonic() - began < 30


@pytest.mark.ray
@pytest.mark.slow
def test_workers_of_an_embedded_ray_run_at_the_priority_of_this_process() -> None:
    program = (
        "import os\nfrom posttrain.sweep.ray_session import ray_session\nwith ray_session(num_cpus=1) as outlives:\n"
        "    import ray\n    print(outlives, ray.get(ray.remote(lambda: os.nice(0)).remote()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", str(os.nice(0))]
