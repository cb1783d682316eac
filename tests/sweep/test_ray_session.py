"""A cluster that is not there is said to be missing at once."""

import socket
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
