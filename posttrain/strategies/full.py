"""Full training: a float32 copy of each chosen network takes the base's place, and the base comes back untouched.

The copy holds the master weights; its forward pass computes in the precision of the base, by autocast. With `ema` the
copy is measured and written as the moving average of its weights, and the raw weights lie beside them in `raw/`, for
resuming.
"""

import copy
import difflib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from posttrain.config import FullConfig, RlConfig
from posttrain.errors import ModelError
from posttrain.models.base import Trainable
from posttrain.strategies.base import Strategy
from posttrain.strategies.state import full_state, set_full_state, settle, writes

_RAW = "raw"
_EMA = "ema.json"


class FullStrategy(Strategy):
    """Trains every weight of the chosen networks but the frozen ones; RL trains the same way, on another loss."""

    def __init__(self, config: FullConfig | RlConfig) -> None:
        self.freeze = config.freeze
        self.names = config.modules if isinstance(config, FullConfig) else None
        self.decay = config.ema if isinstance(config, FullConfig) else None
        self._bases: dict[str, torch.nn.Module] = {}
        self._average: Any = None

    def attach(self, model: Trainable, seed: int) -> list[torch.nn.Parameter]:
        """Puts float32 copies in place; nothing is drawn, so the seed has no part in it.

        Raises:
            ModelError: the model has no such network, or no such parameter to freeze.
        """
        chosen = _chosen(model, self.names)
        frozen = _frozen(chosen, self.freeze)
        for name, base in chosen.items():
            self._bases[name] = base
            self.computes_in = _half_precision(base)
            network = _trained_copy(base, model.device, self.computes_in)
            for key, parameter in network.named_parameters():
                parameter.requires_grad_(key not in frozen[name])
            model.replace(name, network)
        return self._parameters(model)

    def detach(self, model: Trainable) -> None:
        """Puts the base back; the copies are thrown away."""
        self._average = None
        for name, base in self._bases.items():
            model.replace(name, base.to(model.device))
        self._bases = {}

    def save(self, model: Trainable, folder: Path) -> None:
        """Writes each network in the layout of its library, float32; with `ema` its average, and the raw beside it."""
        with self.measured(model):
            self._write(model, folder)
        if self._average is not None:
            self._write(model, folder / _RAW)
            if writes():
                document = {"optimization_step": self._average.optimization_step}
                (folder / _EMA).write_text(json.dumps(document), encoding="utf-8")

    def load(self, model: Trainable, folder: Path) -> None:
        """Reads the raw weights back, and the average where there is one."""
        self._read(model, folder)
        if (folder / _EMA).is_file():
            self._average = self._new_average(model)
            document = json.loads((folder / _EMA).read_text(encoding="utf-8"))
            self._average.optimization_step = document["optimization_step"]
            self._read(model, folder / _RAW)

    def stepped(self, model: Trainable) -> None:
        """Moves the average; its first value is that of the first step, whatever the decay."""
        if self.decay is not None:
            if self._average is None:
                self._average = self._new_average(model)
            self._average.step(self._parameters(model))

    @contextmanager
    def measured(self, model: Trainable) -> Iterator[None]:
        """Inside the block the weights are their average, where there is one."""
        networks = [model.modules[name] for name in self._bases]
        settle(networks)
        parameters = self._parameters(model)
        if self._average is not None:
            self._average.store(parameters)
            self._average.copy_to(parameters)
        try:
            yield
        finally:
            settle(networks)
            if self._average is not None:
                self._average.restore(parameters)

    def _parameters(self, model: Trainable) -> list[torch.nn.Parameter]:
        networks = [model.modules[name] for name in self._bases]
        return [parameter for network in networks for parameter in network.parameters() if parameter.requires_grad]

    def _new_average(self, model: Trainable) -> Any:
        from diffusers.training_utils import EMAModel

        assert self.decay is not None
        return EMAModel(self._parameters(model), decay=self.decay)

    def _write(self, model: Trainable, folder: Path) -> None:
        for name, base in self._bases.items():
            state = full_state(model.modules[name])
            if writes():
                model.write(name, base, state, folder)

    def _read(self, model: Trainable, folder: Path) -> None:
        for name in self._bases:
            set_full_state(model.modules[name], model.read(name, folder))


def _chosen(model: Trainable, names: tuple[str, ...] | None) -> Mapping[str, torch.nn.Module]:
    """The networks to train: those named, else the ControlNet of a model that has one, else all."""
    modules = model.modules
    for name in names or ():
        if name not in modules:
            raise ModelError(
                f"strategy.modules: this model has no {name!r}, it has {', '.join(modules)}; leave modules out"
            )
    wanted = names or (("controlnet",) if "controlnet" in modules else tuple(modules))
    return {name: modules[name] for name in wanted}


def _frozen(networks: Mapping[str, torch.nn.Module], prefixes: tuple[str, ...]) -> dict[str, set[str]]:
    """The frozen parameters of each network; a prefix ends where a part of a parameter's name does.

    Raises:
        ModelError: a prefix matches no parameter, or nothing is left to train.
    """
    keys = {name: [key for key, _ in network.named_parameters()] for name, network in networks.items()}
    every = [key for some in keys.values() for key in some]
    for prefix in prefixes:
        if not any(_begins(key, prefix) for key in every):
            raise ModelError(f"strategy.freeze: no parameter begins with {prefix!r}{_nearest(prefix, every)}")
    frozen = {
        name: {key for key in some if any(_begins(key, each) for each in prefixes)} for name, some in keys.items()
    }
    if sum(map(len, frozen.values())) == len(every):
        raise ModelError(f"strategy.freeze: {', '.join(prefixes)} freezes every parameter; leave some to train")
    return frozen


def _begins(key: str, prefix: str) -> bool:
    return f"{key}.".startswith(f"{prefix.rstrip('.')}.")


def _nearest(prefix: str, keys: list[str]) -> str:
    parts = [key.split(".") for key in keys]
    known = sorted({".".join(names[:end]) for names in parts for end in range(1, len(names) + 1)})
    found = difflib.get_close_matches(prefix, known, n=1, cutoff=0.3)
    begins = sorted({names[0] for names in parts})
    return f"; did you mean {found[0]!r}?" if found else f". The names begin with {', '.join(begins)}"


def _half_precision(base: torch.nn.Module) -> torch.dtype | None:
    """What a base that is held in half precision computes in; a few of its weights may be float32 all the same."""
    dtypes = {value.dtype for value in base.parameters() if value.is_floating_point()}
    return next((dtype for dtype in dtypes if dtype.itemsize < torch.float32.itemsize), None)


def _trained_copy(base: torch.nn.Module, device: torch.device, computes_in: torch.dtype | None) -> torch.nn.Module:
    """A float32 copy on the device, whose forward pass casts what it computes with; the base waits on the CPU."""
    network = copy.deepcopy(base.to("cpu")).to(device=device, dtype=torch.float32)
    if computes_in is not None:
        autocast = torch.autocast(device.type, dtype=computes_in)
        network.forward = autocast(network.forward)  # for training and sampling alike
    return network
