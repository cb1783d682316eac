"""The files of encodings: one safetensors file an entry, named by the hash of everything that it depends on.

Files are written aside and renamed, so concurrent writers and a `kill -9` leave whole files or none; several writers of
one entry write the same bytes. What is read stays in a memory of bounded size. Asking for an entry marks it as used,
by which the cache knows what to remove first.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from posttrain import cache
from posttrain.errors import EnvironmentFault, environment_faults
from posttrain.paths import cache_dir, write_atomic

# Encodings held in memory by one worker: enough for a small data set, no threat to a node with eight workers.
MEMORY_BYTES = 2 << 30
# What a process writes between two looks at the limit of the cache: one look costs a second per 100,000 entries.
CHECKED_EVERY_BYTES = 1 << 30

Tensors = Mapping[str, torch.Tensor]


class EntryGone(EnvironmentFault):
    """The cache does not hold an entry whole: it was removed, or its file is damaged."""


class EncodingFiles:
    """Entries on disk, each a few named tensors, and the ones used lately in memory; what it uses stays on disk."""

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self.root = cache_dir() / "encodings"
        self._memory: OrderedDict[Path, Tensors] = OrderedDict()
        self._room = memory_bytes
        self._unchecked_bytes = 0
        cache.hold()

    def path(self, kind: str, identity: str) -> Path:
        """Where the entry lies that depends on `identity` alone."""
        name = hashlib.sha256(identity.encode()).hexdigest()[:40]
        return self.root / kind / name[:2] / f"{name}.safetensors"

    def has(self, path: Path) -> bool:
        """Whether the entry is there; it counts as used now."""
        return cache.touch(path)

    def write(self, path: Path, tensors: Tensors) -> None:
        """Writes an entry whole or not at all.

        Raises:
            EnvironmentFault: the disk is full or not writable, or running sweeps fill the cache up to its limit.
        """
        content = save({name: value.contiguous() for name, value in tensors.items()})
        self._unchecked_bytes += len(content)
        if self._unchecked_bytes > CHECKED_EVERY_BYTES:
            self._unchecked_bytes = 0
            cache.trim()
        write_atomic(path, content)

    def discard(self, path: Path) -> None:
        """Removes an entry, damaged or whole."""
        with environment_faults(path):
            path.unlink(missing_ok=True)

    def read(self, path: Path, *names: str) -> Tensors:
        """An entry, from memory if it was read lately. Nobody may change its tensors.

        Raises:
            EntryGone: it is missing or damaged, or lacks a tensor of `names`.
        """
        if path in self._memory:
            self._memory.move_to_end(path)
            return self._memory[path]
        tensors = _load(path, names)
        cache.touch(path)
        self._memory[path] = tensors
        self._room -= _bytes(tensors)
        while self._room < 0 and len(self._memory) > 1:
            self._room += _bytes(self._memory.popitem(last=False)[1])
        return tensors


def _load(path: Path, names: Sequence[str]) -> Tensors:
    try:
        # read whole: a mapped file that another node removes would end this process
        tensors: Tensors = load(path.read_bytes())
        missing = [name for name in names if name not in tensors]
        if missing:
            raise SafetensorError(f"it has no {missing[0]}")
    except (OSError, SafetensorError) as error:
        raise EntryGone(
            f"{path}: this encoding is missing or damaged ({error}); delete the file and run the same command again, "
            "which encodes it anew"
        ) from error
    return tensors


def _bytes(tensors: Tensors) -> int:
    return sum(value.nbytes for value in tensors.values())
