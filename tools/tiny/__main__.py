"""Makes one shipped layer again: `python -m tools.tiny LAYER`, from the root of a checkout."""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from posttrain.models.tiny.layers import LAYERS
from tools.tiny.recipes import RECIPES, make
from tools.tiny.ship import ship


def main() -> None:
    """Trains in a folder aside, packs, and says how large the layer is."""
    parser = argparse.ArgumentParser(prog="python -m tools.tiny", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("layer", choices=RECIPES)
    parser.add_argument("--steps", type=int, help="at most so many steps (of each phase), to try a recipe out")
    parser.add_argument("--out", type=Path, default=LAYERS, help="the folder of layers, in place of the package's own")
    options = parser.parse_args()
    torch.set_num_threads(1)  # at this size more threads only wait for each other
    with TemporaryDirectory() as name:
        make(options.layer, Path(name), _note, options.steps)
        written = ship(Path(name), options.layer, RECIPES[options.layer].below, options.out)
    num_bytes = sum(path.stat().st_size for path in written.rglob("*") if path.is_file())
    print(f"{written}: {num_bytes / 1e6:.2f} MB")


def _note(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
