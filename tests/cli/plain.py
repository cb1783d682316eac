"""A process with the plain libraries that answers calls of networks, and runs to export whose networks were called.

A run's checkpoint comes from two optimizer steps: whether an export equals what was trained does not depend on how
well it was trained.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file, save_file

from posttrain.config import TrialConfig
from posttrain.models.base import Noise
from posttrain.models.vlm import VisionLanguageModel
from posttrain.paths import RunPaths
from posttrain.strategies import STRATEGIES, Strategy
from posttrain.training.video_bench import VideoBench
from tests.chat import digits

STEPS = 2


@dataclass(frozen=True)
class Call:
    """A call of a network in training: its arguments, but for the prompt, and its answer."""

    network: str
    arguments: dict[str, Any]
    answer: torch.Tensor

    @classmethod
    def of(cls, network: str, arguments: Mapping[str, Any], output: Any) -> "Call":
        given = {name: value for name, value in arguments.items() if name != "return_dict"}
        if "encoder_hidden_states" in given:
            prompt = given.pop("encoder_hidden_states")
            given |= {"encoder_hidden_states": prompt[1:]} if isinstance(prompt, tuple) else {}
        answer = output if isinstance(output, torch.Tensor) else torch.stack(list(output))
        return cls(network, given, answer.detach().clone())

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = {}
        for name, value in self.arguments.items():
            if isinstance(value, (list, tuple)):
                found |= {f"{name}.{index}": part.contiguous() for index, part in enumerate(value)}
            elif isinstance(value, torch.Tensor):
                found[name] = value.contiguous()
        return found

    @property
    def settings(self) -> dict[str, Any]:
        return {name: value for name, value in self.arguments.items() if isinstance(value, (int, float, bool))}


@dataclass(frozen=True)
class Trained:
    """A run with one trial, what its networks answered when it was saved, and what the base's answer to the first."""

    run: RunPaths
    caption: str
    calls: list[Call]
    base: torch.Tensor


def python_of(export: Path) -> str:
    """The Python of an export's README."""
    (source,) = re.findall(r"```python\n(.*?)```", (export / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return str(source)


@dataclass
class PlainLibraries:
    """The process; it begins with the first question, and has a stand-in for the guardrail that pipelines ask for."""

    folder: Path
    _process: subprocess.Popen[str] | None = field(default=None, init=False)
    _number: int = 0

    def answers(self, trained: Trained, folder: Path, python: str) -> list[torch.Tensor]:
        """What the networks that `python` loads, run in `folder`, answer to the recorded calls."""
        return [self._answer(trained.caption, call, folder, python) for call in trained.calls]

    def _answer(self, caption: str, call: Call, folder: Path, python: str) -> torch.Tensor:
        self._number += 1
        stem = str(self.folder / str(self._number))
        save_file(call.tensors, f"{stem}.call")
        job = {
            **{"folder": str(folder), "python": python, "tensors": f"{stem}.call", "out": f"{stem}.answer"},
            **{"settings": call.settings, "network": call.network, "caption": caption},
        }
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        print(json.dumps(job), file=process.stdin, flush=True)
        said = process.stdout.readline()
        assert said == '"done"\n', said or "the process ended"
        return load_file(f"{stem}.answer")["answer"]

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._stand_in()
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("run_readmes.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(self.folder), "HF_HUB_OFFLINE": "1"},
                text=True,
            )
        return self._process

    def _stand_in(self) -> None:
        (self.folder / "cosmos_guardrail").mkdir()
        guardrail = "class CosmosSafetyChecker:\n    def to(self, *_):\n        return self\n"
        (self.folder / "cosmos_guardrail/__init__.py").write_text(guardrail)
        (self.folder / "cosmos_guardrail-1.0.dist-info").mkdir()
        metadata = "Metadata-Version: 2.1\nName: cosmos_guardrail\nVersion: 1.0\n"
        (self.folder / "cosmos_guardrail-1.0.dist-info/METADATA").write_text(metadata)

    def close(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.close()
            self._process.wait(timeout=60)
            self._process.stdout.close()


def train_video(config: TrialConfig, bench: VideoBench, run: RunPaths) -> Trained:
    """A run of two steps on one clip."""
    sample = bench.samples()[0]
    latents, controls = bench.store.latents(sample)[None], bench.store.controls(sample)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    drawn = Noise(torch.tensor([0.7]), noise, torch.tensor([bench.family.num_given]))
    prompt = bench.store.prompt(sample.caption)[None]

    def loss() -> torch.Tensor:
        return bench.family.loss(latents, prompt, drawn, None if controls is None else controls[None])

    strategy = STRATEGIES[config.strategy.type](config.strategy)
    modules = bench.family.modules
    with torch.no_grad():
        with recorded(modules) as before:
            loss()
        train(strategy, bench.family, loss)
        with recorded(bench.family.modules) as calls, strategy.measured(bench.family):
            loss()
    finish(config, strategy, bench.family, run)
    base = next(call.answer for call in before if call.network == calls[0].network)
    return Trained(run, str(sample.caption), calls, base)


def train_chat(config: TrialConfig, model: VisionLanguageModel, run: RunPaths) -> Trained:
    """A run of two steps on two questions."""
    batch = model.collate(digits("read")[:2])
    call = {name: value for name, value in batch.items() if name != "labels"}
    strategy = STRATEGIES[config.strategy.type](config.strategy)
    with torch.no_grad():
        base = model.model.eval()(**call).logits.clone()
        train(strategy, model, lambda: model.model(**batch).loss)
        answer = model.model.eval()(**call).logits
    finish(config, strategy, model, run)
    return Trained(run, "", [Call.of("model", call, answer)], base)


@torch.enable_grad()
def train(strategy: Strategy, model: Any, loss: Callable[[], torch.Tensor]) -> None:
    """Attaches the strategy and takes the steps; of a LoRA's two factors only one has a gradient at first."""
    parameters = strategy.attach(model, seed=1)
    optimizer = torch.optim.AdamW(parameters, lr=1e-2)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss().mean().backward()
        optimizer.step()
        strategy.stepped(model)


def finish(config: TrialConfig, strategy: Strategy, model: Any, run: RunPaths) -> None:
    """Writes what a sweep of one trial leaves, and gives the model back as it was."""
    trial = run.trial("t0001")
    folder = trial.checkpoints / f"step-{STEPS:06d}"
    folder.mkdir(parents=True)
    strategy.save(model, folder)
    strategy.detach(model)
    objective = {"metric": "held_out/loss", "mode": "min"}
    measured = {"best": 0.5, "best_step": STEPS, "last": 0.5, "last_step": STEPS, "mode": "min"}
    result = {
        **{"id": "t0001", "status": "completed", "reason": "", "parameters": {"strategy.rank": 4}, "steps": STEPS},
        **{"objective": {**objective, "value": 0.5, "step": STEPS}, "metrics": {"held_out/loss": measured}},
    }
    trial.result_json.write_text(json.dumps(result))
    search = {"search": {"objective": objective, "trials": 1}, "search_space": {}}
    run.sweep_yaml.write_text(yaml.safe_dump({**config.model_dump(mode="json"), **search}))


@contextmanager
def recorded(modules: Mapping[str, torch.nn.Module]) -> Iterator[list[Call]]:
    """The calls of networks inside the block."""
    calls: list[Call] = []
    hooks = []
    for name, network in modules.items():

        def record(_: Any, args: Any, kwargs: dict[str, Any], output: Any, name: str = name) -> None:
            calls.append(Call.of(name, kwargs, output[0]))

        hooks.append(network.eval().register_forward_hook(record, with_kwargs=True))
    yield calls
    for hook in hooks:
        hook.remove()
