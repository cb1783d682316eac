"""Values that are costly to make again, held in memory up to a bound; several threads may ask at once."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Held(Generic[T]):
    """The values that were asked for last, up to `room_bytes` together."""

    def __init__(self, room_bytes: int) -> None:
        self._room_bytes = room_bytes
        self._values: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._used_bytes = 0
        self._lock = Lock()
        self._makers: dict[Hashable, Lock] = {}

    def get(self, key: Hashable, make: Callable[[], tuple[T, int]]) -> T:
        """The value of `key`; `make` returns it with its size in bytes, and is called once by threads that ask at once.

        A value larger than the whole room is returned and not kept.
        """
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key][0]
            maker = self._makers.setdefault(key, Lock())
        with maker:
            with self._lock:
                if key in self._values:
                    return self._values[key][0]
            try:
                value, num_bytes = make()
                with self._lock:
                    self._keep(key, value, num_bytes)
                return value
            finally:
                with self._lock:
                    self._makers.pop(key, None)

    def _keep(self, key: Hashable, value: T, num_bytes: int) -> None:
        if num_bytes > self._room_bytes or key in self._values:
            return
        self._values[key] = (value, num_bytes)
        self._used_bytes += num_bytes
        while self._used_bytes > self._room_bytes:
            _, (_, freed_bytes) = self._values.popitem(last=False)
            self._used_bytes -= freed_bytes
