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
from posttrain.config import TrialConfig
from posttrain.errors import ConfigError
from posttrain.models.base import Noise
from posttrain.paths import RunPaths
from posttrain.strategies import STRATEGIES
from posttrain.sweep.results import result_document
from posttrain.training.train import train
from posttrain.training.video_bench import VideoBench
from posttrain.training.workbench import Workbench
from tests.chat_trial import chat_config, open_chat_bench
from tests.tiny_trial import AVERAGED, Listener, open_bench, trial_config

pytestmark = pytest.mark.timeout(300)
SHORT = {"training.steps": 4, "evaluation.every": 4}
VARIED = {"strategy": {"type": "lora", "rank": 4, "alpha": 6.0, "dora": True, "rslora": True}}
OBJECTIVE = {"metric": "seen/loss", "mode": "min"}


@dataclass
class Trained:
    """A run with one trial, and what its network answered in training to a recorded call."""

    run: RunPaths
    network: str
    caption: str
    call: dict[str, Any]
    answer: torch.Tensor

    def job(self, export: Path) -> dict[str, Any]:
        """What `run_readmes.py` has to do for one export of it."""
        tensors = {name: value.contiguous() for name, value in self.call.items() if isinstance(value, torch.Tensor)}
        settings = {name: value for name, value in self.call.items() if isinstance(value, (int, float, bool))}
        save_file(tensors, export.parent / f"{export.name}.call")
        return {
            "readme": str(export / "README.md"),
            "tensors": str(export.parent / f"{export.name}.call"),
            "settings": settings,
            "network": self.network,
            "caption": self.caption,
            "out": str(export.parent / f"{export.name}.answer"),
        }


def train_run(config: TrialConfig, bench: Workbench, run: RunPaths, objective: Mapping[str, str] = OBJECTIVE) -> None:
    """A run directory as a sweep of one trial leaves it."""
    trial = run.trial("t0001")
    trial.root.mkdir(parents=True)
    outcome = train(config, bench, trial, Listener())
    trial.result_json.write_text(json.dumps(result_document("t0001", {}, outcome, 0, objective)))
    search = {"objective": dict(objective), "trials": 1}
    document = {**config.model_dump(mode="json"), "search": search, "search_space": {}}
    run.sweep_yaml.write_text(yaml.safe_dump(document))


def trained_video(config: TrialConfig, bench: VideoBench, run: RunPaths) -> Trained:
    train_run(config, bench, run)
    sample = bench.samples()[0]
    latents = bench.store.latents(sample)[None]
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    recorded: dict[str, Any] = {}

    def record(network: torch.nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        recorded.update(call=kwargs, answer=output[0].detach().clone())

    strategy = STRATEGIES[config.strategy.type](config.strategy)
    strategy.attach(bench.family, seed=1)
    strategy.load(bench.family, run.trial("t0001").checkpoints / "step-000004")
    with torch.no_grad(), strategy.measured(bench.family):
        network = bench.family.transformer.eval()
        hook = network.register_forward_hook(record, with_kwargs=True)
        prompt = bench.store.prompt(sample.caption)[None]
        bench.family.loss(latents, prompt, Noise(torch.tensor([0.7]), noise, torch.tensor([1])))
        hook.remove()
    strategy.detach(bench.family)
    left_to_the_script = {"encoder_hidden_states", "return_dict"}
    call = {name: value for name, value in recorded["call"].items() if name not in left_to_the_script}
    return Trained(run, "transformer", sample.caption, call, recorded["answer"])


def trained_chat(folder: Path) -> Trained:
    config = chat_config({**SHORT, "evaluation.suites": {"read": {"source": "read", "samples": 4}}})
    bench = open_chat_bench(config)
    run = RunPaths(folder)
    train_run(config, bench, run, {"metric": "read/loss", "mode": "min"})
    strategy = STRATEGIES["full"](config.strategy)
    strategy.attach(bench.model, seed=1)
    strategy.load(bench.model, run.trial("t0001").checkpoints / "step-000004")
    batch = bench.model.collate(bench.dataset.train["read"][:2])
    batch.pop("labels")
    with torch.no_grad():
        answer = bench.model.model.eval()(**batch).logits
    strategy.detach(bench.model)
    return Trained(run, "", "", batch, answer)


@pytest.fixture(scope="module")
def exports(
    bench: VideoBench, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Trained, torch.Tensor, Path]]:
    """Each export by name: what was trained, what its README's Python loads answers, and its folder."""
    folder = tmp_path_factory.mktemp("exports")
    older = trial_config({**SHORT, **VARIED, "model.checkpoint": "tiny:predict1"})
    lora = trained_video(trial_config({**SHORT, **VARIED}), bench, RunPaths(folder / "runs/lora"))
    full = trained_video(trial_config({**SHORT, **AVERAGED}), bench, RunPaths(folder / "runs/full"))
    predict1 = trained_video(older, open_bench(older), RunPaths(folder / "runs/predict1"))
    chat = trained_chat(folder / "runs/chat")
    wanted = {
        "adapter": (lora, False),
        "merged": (lora, True),
        "full": (full, False),
        "predict1-adapter": (predict1, False),
        "predict1-merged": (predict1, True),
        "chat": (chat, False),
    }
    for name, (trained, merged) in wanted.items():
        export(trained.run.root, folder / name, merged=merged)
    answers = load_plainly(folder, [trained.job(folder / name) for name, (trained, _) in wanted.items()])
    return {name: (trained, answers[name], folder / name) for name, (trained, _) in wanted.items()}


def load_plainly(folder: Path, jobs: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
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
    return {Path(job["readme"]).parent.name: load_file(job["out"])["answer"] for job in jobs}


@pytest.mark.parametrize("name", ["adapter", "merged", "full", "predict1-adapter", "predict1-merged", "chat"])
def test_the_readmes_python_loads_what_was_trained(
    exports: dict[str, tuple[Trained, torch.Tensor, Path]], name: str
) -> None:
    trained, answer, folder = exports[name]
    torch.testing.assert_close(answer, trained.answer, rtol=1e-5, atol=1e-5)
    assert not list(folder.rglob("*.pt*")), "what only resuming needs stays behind"
    assert not (folder / "raw").exists()
    assert "at step 4" in (folder / "README.md").read_text()


def test_an_export_goes_over_an_earlier_one_and_over_nothing_else(
    exports: dict[str, tuple[Trained, torch.Tensor, Path]], tmp_path: Path
) -> None:
    trained, _, _ = exports["adapter"]
    export(trained.run.root, tmp_path / "out", merged=True)
    export(trained.run.root, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"README.md", "pytorch_lora_weights.safetensors"}
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").touch()
    with pytest.raises(ConfigError, match="holds other files"):
        export(trained.run.root, tmp_path / "other")


def test_whole_weights_have_nothing_to_merge(
    exports: dict[str, tuple[Trained, torch.Tensor, Path]], tmp_path: Path
) -> None:
    trained, _, _ = exports["full"]
    with pytest.raises(ConfigError, match="no adapter to merge"):
        export(trained.run.root, tmp_path / "out", merged=True)
    assert not (tmp_path / "out").exists()


def test_a_base_that_is_elsewhere_is_asked_for(
    exports: dict[str, tuple[Trained, torch.Tensor, Path]], tmp_path: Path, tiny: Path
) -> None:
    trained, _, _ = exports["adapter"]
    moved = RunPaths(tmp_path / "run")
    moved.root.symlink_to(trained.run.root)
    with pytest.raises(ConfigError, match="--base"):
        export(moved.root, tmp_path / "out", base=str(tmp_path / "nowhere"))
    export(moved.root, tmp_path / "out", base=str(tiny))
    assert f'from_pretrained("{tiny}")' in (tmp_path / "out/README.md").read_text()
