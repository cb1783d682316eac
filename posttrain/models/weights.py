"""Whether the weights of a checkpoint folder are all there, told from the headers of its files.

An interrupted download is found in milliseconds, before anything is loaded. Layout of a safetensors file: eight bytes
with the length of the header, the header as JSON with the offsets of every tensor, the tensors
(https://github.com/huggingface/safetensors).
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from posttrain.errors import ModelError

# What has no weights, by the file that it cannot do without.
_SETTINGS = ("tokenizer/tokenizer_config.json", "scheduler/scheduler_config.json")


def check_weights(folder: Path, parts: Iterable[str]) -> None:
    """Raises ModelError naming the first file of a diffusers checkpoint that is missing or not whole.

    `parts` are the folders that hold weights.
    """
    for name in _SETTINGS:
        if not (folder / name).is_file():
            raise _incomplete(folder / name, "is missing")
    for part in parts:
        if not (folder / part / "config.json").is_file():
            raise _incomplete(folder / part / "config.json", "is missing")
        check_folder(folder / part)


def check_folder(folder: Path) -> None:
    """Raises ModelError naming the first safetensors file of one model that is missing or not whole."""
    files = list(_weight_files(folder))
    if not files:
        raise _incomplete(folder, "holds no safetensors file (pickled weights are not read)")
    for file in files:
        problem = _problem(file)
        if problem:
            raise _incomplete(file, problem)


def tensor_shapes(part: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor in the files of a part that `check_weights` has found whole."""
    shapes: dict[str, tuple[int, ...]] = {}
    for file in _weight_files(part):
        with file.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        shapes |= {name: tuple(entry["shape"]) for name, entry in header.items() if "dtype" in entry}
    return shapes


def _weight_files(part: Path) -> Iterator[Path]:
    """The files that hold a part's tensors: those that its index names, or else all that lie there."""
    named: set[str] = set()
    for index in sorted(part.glob("*.safetensors.index.json")):
        try:
            named |= set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _incomplete(index, f"cannot be read ({error})") from error
    yield from (part / name for name in sorted(named)) if named else sorted(part.glob("*.safetensors"))


def _problem(file: Path) -> str | None:
    """What is wrong with a safetensors file; None where its size is the one that its header promises."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > size:
                return f"is no whole safetensors file ({size} bytes)"
            header = json.loads(stream.read(length))
        promised = 8 + length + max(entry["data_offsets"][1] for entry in header.values() if "dtype" in entry)
    except FileNotFoundError:
        return "is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"is no whole safetensors file ({error})"
    return None if size == promised else f"is cut short: {size} of {promised} bytes"


def _incomplete(place: Path, problem: str) -> ModelError:
    return ModelError(f"model.checkpoint: {place} {problem}; fetch the checkpoint again")
