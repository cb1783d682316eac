"""The files of encodings: one safetensors file an entry, named by the hash of everything that it depends on.

Files are written aside and renamed, so concurrent writers and a `kill -9` leave whole files or none; several writers of
one entry write the same bytes. What is read stays in a memory of bounded size. Asking for an entry marks it as used,
by which the cache knows what to remove first.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from posttrain import cache
from posttrain.errors import EnvironmentFault
from posttrain.paths import cache_dir, write_atomic

# Encodings held in memory by one worker: enough for a small data set, no threat to a node with eight workers.
MEMORY_BYTES = 2 << 30

Tensors = Mapping[str, torch.Tensor]


class EntryGone(EnvironmentFault):
    """The cache does not hold an entry whole: it was removed, or its file is damaged."""


class EncodingFiles:
    """Entries on disk, each a few named tensors, and the ones used lately in memory."""

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self.root = cache_dir() / "encodings"
        self._memory: OrderedDict[Path, Tensors] = OrderedDict()
        self._room = memory_bytes

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
            EnvironmentFault: the disk is full or not writable.
        """
        write_atomic(path, save({name: value.contiguous() for name, value in tensors.items()}))

    def read(self, path: Path) -> Tensors:
        """An entry, from memory if it was read lately. Nobody may change its tensors.

        Raises:
            EntryGone: it is missing or damaged.
        """
        if path in self._memory:
            self._memory.move_to_end(path)
            return self._memory[path]
        tensors = _load(path)
        self._memory[path] = tensors
        self._room -= _bytes(tensors)
        while self._room < 0 and len(self._memory) > 1:
            self._room += _bytes(self._memory.popitem(last=False)[1])
        return tensors


def _load(path: Path) -> Tensors:
    try:
        # read whole: a mapped file that another node removes would end this process
        tensors: Tensors = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise EntryGone(
            f"{path}: this encoding is missing or damaged ({error}); delete the file and run the same command again, "
            "which encodes it anew"
        ) from error
    return tensors


def _bytes(tensors: Tensors) -> int:
    return sum(value.nbytes for value in tensors.values())
