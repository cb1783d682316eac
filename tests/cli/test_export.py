"""What `posttrain export` writes loads in the plain libraries, as its README says, and answers as in training."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from posttrain.cli.export import export
from posttrain.config import TrialConfig, merge
from posttrain.errors import ConfigError
from posttrain.models.base import Noise
from posttrain.paths import RunPaths
from posttrain.strategies import STRATEGIES
from posttrain.tracking.results import result_document
from posttrain.training.train import train
from posttrain.training.video_bench import VideoBench
from posttrain.training.workbench import Workbench
from tests.chat_trial import chat_config, open_chat_bench
from tests.models.transfer_bench import config as transfer_config
from tests.models.transfer_bench import open_transfer
from tests.tiny_trial import AVERAGED, Listener, open_bench, trial_config

pytestmark = pytest.mark.timeout(300)
SHORT = {"training.steps": 4, "evaluation.every": 4}
VARIED = {"strategy": {"type": "lora", "rank": 4, "alpha": 6.0, "dora": True, "rslora": True}}


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
    """A run with one trial, and what its networks answered in training."""

    run: RunPaths
    caption: str
    calls: list[Call]

    def jobs(self, export: Path) -> list[dict[str, Any]]:
        """What `run_readmes.py` has to do for one export of it."""
        return [self._job(export, call) for call in self.calls]

    def _job(self, export: Path, call: Call) -> dict[str, Any]:
        stem = str(export.parent / f"{export.name}.{call.network}")
        save_file(call.tensors, f"{stem}.call")
        return {
            "readme": str(export / "README.md"),
            "tensors": f"{stem}.call",
            "settings": call.settings,
            "network": call.network,
            "caption": self.caption,
            "out": f"{stem}.answer",
        }


@dataclass(frozen=True)
class Export:
    """An export, and what its networks answered when the plain libraries had loaded it, in the order of the calls."""

    trained: Trained
    folder: Path
    answers: list[torch.Tensor]


def train_run(config: TrialConfig, bench: Workbench, run: RunPaths, objective: Mapping[str, str]) -> None:
    """A run directory as a sweep of one trial leaves it."""
    trial = run.trial("t0001")
    trial.root.mkdir(parents=True)
    outcome = train(config, bench, trial, Listener())
    trial.result_json.write_text(json.dumps(result_document("t0001", {}, outcome, 0, objective)))
    search = {"objective": dict(objective), "trials": 1}
    document = {**config.model_dump(mode="json"), "search": search, "search_space": {}}
    run.sweep_yaml.write_text(yaml.safe_dump(document))


def trained_video(config: TrialConfig, bench: VideoBench, run: RunPaths) -> Trained:
    train_run(config, bench, run, {"metric": f"{next(iter(bench.dataset.suites))}/loss", "mode": "min"})
    calls: list[Call] = []
    strategy = STRATEGIES[config.strategy.type](config.strategy)
    strategy.attach(bench.family, seed=1)
    strategy.load(bench.family, run.trial("t0001").checkpoints / "step-000004")
    hooks = []
    for name, network in bench.family.modules.items():

        def record(_: Any, args: Any, kwargs: dict[str, Any], output: Any, name: str = name) -> None:
            calls.append(Call.of(name, kwargs, output[0]))

        hooks.append(network.eval().register_forward_hook(record, with_kwargs=True))
    with torch.no_grad(), strategy.measured(bench.family):
        caption = one_loss(bench)
    for hook in hooks:
        hook.remove()
    strategy.detach(bench.family)
    return Trained(run, caption, calls)


def one_loss(bench: VideoBench) -> str:
    """Computes the loss of a sample; returns its caption."""
    sample = bench.samples()[0]
    latents, controls = bench.store.latents(sample)[None], bench.store.controls(sample)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    drawn = Noise(torch.tensor([0.7]), noise, torch.tensor([bench.family.num_given]))
    prompt = bench.store.prompt(sample.caption)[None]
    bench.family.loss(latents, prompt, drawn, None if controls is None else controls[None])
    return str(sample.caption)


def trained_chat(folder: Path, checkpoint: str) -> Trained:
    suites = {"read": {"source": "read", "samples": 4}}
    config = chat_config({**SHORT, "evaluation.suites": suites, "model.checkpoint": checkpoint})
    bench = open_chat_bench(config)
    run = RunPaths(folder)
    train_run(config, bench, run, {"metric": "read/loss", "mode": "min"})
    strategy = STRATEGIES["full"](config.strategy)
    strategy.attach(bench.model, seed=1)
    strategy.load(bench.model, run.trial("t0001").checkpoints / "step-000004")
    batch = bench.chat.collate(bench.dataset.train["read"][:2])
    batch.pop("labels")
    with torch.no_grad():
        call = Call.of("model", batch, bench.chat.model.eval()(**batch).logits)
    strategy.detach(bench.model)
    return Trained(run, "", [call])


NAMES = (
    "adapter",
    "merged",
    "full",
    "predict1-adapter",
    "predict1-merged",
    "predict2-adapter",
    "predict2-full",
    "transfer-adapter",
    "transfer-merged",
    "transfer-full",
    "chat",
    "chat-qwen3",
)


@pytest.fixture(scope="module")
def exports(bench: VideoBench, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Export]:
    """An export of every kind by name."""
    folder = tmp_path_factory.mktemp("exports")
    older = trial_config({**SHORT, **VARIED, "model.checkpoint": "tiny:predict1"})
    old = trial_config({**SHORT, **VARIED, "model.checkpoint": "tiny:predict2"})
    second = open_bench(old)
    controlled, transfer = transfer_config({"edge": 1.0}), open_transfer({"edge": 1.0})
    both = {"strategy": {"type": "full", "modules": ["controlnet", "transformer"]}}
    runs = folder / "runs"
    trained = {
        "lora": trained_video(trial_config({**SHORT, **VARIED}), bench, RunPaths(runs / "lora")),
        "full": trained_video(trial_config({**SHORT, **AVERAGED}), bench, RunPaths(runs / "full")),
        "predict1": trained_video(older, open_bench(older), RunPaths(runs / "predict1")),
        "predict2-adapter": trained_video(old, second, RunPaths(runs / "predict2")),
        "predict2-full": trained_video(
            merge(old, {"strategy": {"type": "full"}}), second, RunPaths(runs / "predict2-full")
        ),
        "transfer": trained_video(merge(controlled, VARIED), transfer, RunPaths(runs / "transfer")),
        "transfer-full": trained_video(merge(controlled, both), transfer, RunPaths(runs / "transfer-full")),
        "chat": trained_chat(runs / "chat", "tiny:qwen2.5-vl"),
        "chat-qwen3": trained_chat(runs / "chat-qwen3", "tiny:qwen3-vl"),
    }
    of = {"adapter": "lora", "merged": "lora", "predict1-adapter": "predict1", "predict1-merged": "predict1"}
    of |= {"transfer-adapter": "transfer", "transfer-merged": "transfer"}
    jobs: dict[str, list[dict[str, Any]]] = {}
    for name in NAMES:
        one = trained[of.get(name, name)]
        export(one.run.root, folder / name, merged=name.endswith("merged"))
        jobs[name] = one.jobs(folder / name)
    load_plainly(folder, [job for some in jobs.values() for job in some])
    return {
        name: Export(
            trained[of.get(name, name)], folder / name, [load_file(job["out"])["answer"] for job in jobs[name]]
        )
        for name in NAMES
    }


def load_plainly(folder: Path, jobs: list[dict[str, Any]]) -> None:
    """Runs the READMEs in a process that knows nothing of posttrain; a stand-in for the guardrail is installed."""
    (folder / "cosmos_guardrail").mkdir()
    guardrail = "class CosmosSafetyChecker:\n    def to(self, *_):\n        return self\n"
    (folder / "cosmos_guardrail/__init__.py").write_text(guardrail)
    (folder / "cosmos_guardrail-1.0.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: cosmos_guardrail\nVersion: 1.0\n"
    (folder / "cosmos_guardrail-1.0.dist-info/METADATA").write_text(metadata)
    (folder / "jobs.json").write_text(json.dumps(jobs))
    script = Path(__file__).with_name("run_readmes.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder / "jobs.json")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_the_readmes_python_loads_what_was_trained(exports: dict[str, Export], name: str) -> None:
    exported = exports[name]
    assert exported.answers
    for call, answer in zip(exported.trained.calls, exported.answers, strict=True):
        torch.testing.assert_close(answer, call.answer, rtol=1e-5, atol=1e-5)
    assert not list(exported.folder.rglob("*.pt*")), "what only resuming needs stays behind"
    assert not (exported.folder / "raw").exists()
    assert "at step 4" in (exported.folder / "README.md").read_text()


def test_an_export_goes_over_an_earlier_one_and_over_nothing_else(exports: dict[str, Export], tmp_path: Path) -> None:
    run = exports["adapter"].trained.run.root
    export(run, tmp_path / "out", merged=True)
    export(run, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"README.md", "pytorch_lora_weights.safetensors"}
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").touch()
    with pytest.raises(ConfigError, match="holds other files"):
        export(run, tmp_path / "other")


def test_whole_weights_have_nothing_to_merge(exports: dict[str, Export], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no adapter to merge"):
        export(exports["full"].trained.run.root, tmp_path / "out", merged=True)
    assert not (tmp_path / "out").exists()


def test_a_base_that_is_elsewhere_is_asked_for(exports: dict[str, Export], tmp_path: Path, tiny: Path) -> None:
    moved = RunPaths(tmp_path / "run")
    moved.root.symlink_to(exports["adapter"].trained.run.root)
    with pytest.raises(ConfigError, match="--base"):
        export(moved.root, tmp_path / "out", base=str(tmp_path / "nowhere"))
    export(moved.root, tmp_path / "out", base=str(tiny))
    assert f'from_pretrained("{tiny}")' in (tmp_path / "out/README.md").read_text()
