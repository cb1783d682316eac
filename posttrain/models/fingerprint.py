"""A short name for the content of weights: the part of a cache key that says which model made an entry.

Every byte is hashed, about a second a gigabyte, once per file: the digest is kept under the file's path, size and
modification time.
"""

import hashlib
import json
from pathlib import Path

import torch

from posttrain.paths import cache_dir, write_json_atomic


def fingerprint(folder: Path) -> str:
    """16 hex digits over the content of all files below `folder`, by relative name."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder)}:{_file_digest(path)}:".encode())
    return digest.hexdigest()[:16]


def fingerprint_module(module: torch.nn.Module) -> str:
    """16 hex digits over the names, dtypes and values of a module's parameters."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)}:".encode())
        digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _file_digest(path: Path) -> str:
    status = path.stat()
    identity = f"{path.resolve()}:{status.st_size}:{status.st_mtime_ns}"
    record = cache_dir() / "fingerprints" / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.json"
    if record.is_file():
        return str(json.loads(record.read_text(encoding="utf-8"))["sha256"])
    with path.open("rb") as file:
        value = hashlib.file_digest(file, "sha256").hexdigest()
    record.parent.mkdir(parents=True, exist_ok=True)
    write_json_atomic(record, {"path": str(path), "sha256": value})
    return value
