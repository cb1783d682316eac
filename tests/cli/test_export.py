"""What `posttrain export` writes loads in the plain libraries, as its README says, and answers as in training."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from posttrain.cli.export import Components, write_export
from posttrain.cli.plain_loading import IMPORTS
from posttrain.config import merge
from posttrain.errors import ConfigError
from posttrain.paths import RunPaths
from posttrain.training.video_bench import VideoBench
from tests.chat import load
from tests.chat_trial import chat_config
from tests.cli.plain import PlainLibraries, Trained, python_of, train_chat, train_video
from tests.models.transfer_bench import config as transfer_config
from tests.models.transfer_bench import open_transfer
from tests.tiny_trial import AVERAGED, open_bench, trial_config

pytestmark = pytest.mark.slow
VARIED = {"strategy": {"type": "lora", "rank": 4, "alpha": 6.0, "dora": True, "rslora": True}}
BOTH = {"strategy": {"type": "full", "modules": ["controlnet", "transformer"]}}
EDGE = {"edge": 1.0}
LORA_FILES = {"README.md", "pytorch_lora_weights.safetensors", "adapter_config.json", "adapter_model.safetensors"}


@dataclass(frozen=True)
class Kind:
    """What is trained, and how it is exported."""

    trained: str
    options: Mapping[str, Any] = field(default_factory=dict)


KINDS = {
    "adapter": Kind("lora"),
    "merged": Kind("lora", {"merged": True}),
    "merged-part": Kind("lora", {"merged": True, "components": Components.TRAINED}),
    "full": Kind("full"),
    "full-whole": Kind("full", {"components": Components.ALL, "link": True}),
    "transfer-adapter": Kind("transfer-lora"),
    "transfer-merged": Kind("transfer-lora", {"merged": True}),
    "transfer-full": Kind("transfer-full"),
    "chat": Kind("chat"),
    "predict1-adapter": Kind("predict1-lora"),
    "predict1-merged": Kind("predict1-lora", {"merged": True}),
    "predict2-adapter": Kind("predict2-lora"),
    "predict2-full": Kind("predict2-full"),
    "chat-qwen3": Kind("chat-qwen3"),
}
NAMES = [
    pytest.param(name, marks=pytest.mark.full) if name.startswith("predict") or name == "chat-qwen3" else name
    for name in KINDS
]
# What an export of each kind is called in its header.
CHECKPOINTS = {"transfer": "tiny:transfer2.5", "predict1": "tiny:predict1", "predict2": "tiny:predict2"}


@dataclass
class Workshop:
    """Runs, exports and the process with the plain libraries; each is made when it is first asked for.

    Exports lie in one folder with the base checkpoints under the names that READMEs give them.
    """

    folder: Path
    cache: Path
    bench: VideoBench
    plain: PlainLibraries
    _trained: dict[str, Trained] = field(default_factory=dict)

    def trained(self, name: str) -> Trained:
        if name not in self._trained:
            makers: dict[str, Callable[[RunPaths], Trained]] = {
                "lora": partial(train_video, trial_config(VARIED), self.bench),
                "full": partial(train_video, trial_config(AVERAGED), self.bench),
                "transfer-lora": partial(_transfer, VARIED),
                "transfer-full": partial(_transfer, BOTH),
                "predict1-lora": partial(_older, "tiny:predict1", VARIED),
                "predict2-lora": partial(_older, "tiny:predict2", VARIED),
                "predict2-full": partial(_older, "tiny:predict2", {"strategy": {"type": "full"}}),
                "chat": partial(_chat, "tiny:qwen2.5-vl"),
                "chat-qwen3": partial(_chat, "tiny:qwen3-vl"),
            }
            self._trained[name] = makers[name](RunPaths(self.folder / "runs" / name))
        return self._trained[name]

    def export(self, name: str) -> Path:
        out = self.folder / name
        if not out.exists():
            kind = KINDS[name]
            write_export(self.trained(kind.trained).run.root, out, **kind.options)
            self._base_of(out)
        return out

    def _base_of(self, out: Path) -> None:
        """Puts the base where the README looks for it."""
        from posttrain.models.tiny import resolve

        name = header(out)["base_model"]
        link = self.folder / name
        if not link.exists():
            link.symlink_to(resolve(name.replace("-", ":", 1)))


def _transfer(changes: Mapping[str, Any], run: RunPaths) -> Trained:
    return train_video(merge(transfer_config(EDGE), changes), open_transfer(EDGE, num_samples=1), run)


def _older(checkpoint: str, changes: Mapping[str, Any], run: RunPaths) -> Trained:
    config = trial_config({**changes, "model.checkpoint": checkpoint})
    return train_video(config, open_bench(config, num_samples=1), run)


def _chat(checkpoint: str, run: RunPaths) -> Trained:
    return train_chat(chat_config({"model.checkpoint": checkpoint}), load(checkpoint), run)


def header(out: Path) -> dict[str, Any]:
    """The YAML at the head of an export's README."""
    _, text, _ = (out / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    document: dict[str, Any] = yaml.safe_load(text)
    return document


@pytest.fixture(scope="module")
def workshop(bench: VideoBench, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    plain = PlainLibraries(tmp_path_factory.mktemp("plain"))
    yield Workshop(tmp_path_factory.mktemp("exports"), cache, bench, plain)
    plain.close()


def check_answers(workshop: Workshop, trained: Trained, python: str) -> None:
    answers = workshop.plain.answers(trained, workshop.folder, python)
    assert answers
    for call, answer in zip(trained.calls, answers, strict=True):
        torch.testing.assert_close(answer, call.answer, rtol=1e-5, atol=1e-5)
    difference = (trained.calls[0].answer - trained.base).abs().max()
    assert difference > 1e-3, "the base must answer otherwise, or equality would prove nothing"


@pytest.mark.parametrize("name", NAMES)
def test_the_readmes_python_loads_what_was_trained(workshop: Workshop, name: str) -> None:
    out = workshop.export(name)
    check_answers(workshop, workshop.trained(KINDS[name].trained), python_of(out))


@pytest.mark.parametrize("name", ["merged", "full-whole", "transfer-merged"])
def test_a_whole_pipeline_loads_from_its_folder_alone(workshop: Workshop, name: str) -> None:
    workshop.export(name)
    python = f'from diffusers import DiffusionPipeline\npipe = DiffusionPipeline.from_pretrained("{name}")'
    check_answers(workshop, workshop.trained(KINDS[name].trained), python)


@pytest.mark.parametrize("name", ["adapter", pytest.param("predict2-adapter", marks=pytest.mark.full)])
def test_peft_loads_the_adapters_folder(workshop: Workshop, name: str) -> None:
    out = workshop.export(name)
    assert {path.name for path in out.iterdir()} == LORA_FILES
    loaded = "\n".join(line for line in python_of(out).splitlines() if not line.startswith("pipe.")) + "\n"
    with_peft = "from peft import PeftModel\nnetwork = PeftModel.from_pretrained(pipe.transformer, trained)"
    check_answers(workshop, workshop.trained(KINDS[name].trained), loaded + with_peft)


@pytest.mark.parametrize(
    ("name", "base", "relation", "library"),
    [
        ("adapter", "tiny-predict2.5", "adapter", "diffusers"),
        ("merged", "tiny-predict2.5", "finetune", "diffusers"),
        ("transfer-adapter", "tiny-transfer2.5", "adapter", "diffusers"),
        ("chat", "tiny-qwen2.5-vl", "finetune", "transformers"),
    ],
)
def test_the_header_is_the_hubs_and_no_path_of_this_machine_is_left(
    workshop: Workshop, name: str, base: str, relation: str, library: str
) -> None:
    out = workshop.export(name)
    document = header(out)
    assert (document["base_model"], document["base_model_relation"]) == (base, relation)
    assert (document["library_name"], document["license"]) == (library, "apache-2.0")
    assert document["tags"][0] == "posttrain"
    assert document["tags"][2] == ("full" if name == "chat" else "lora")
    for path in (path for path in out.rglob("*") if path.suffix in (".md", ".json")):
        text = path.read_text(encoding="utf-8")
        for place in (workshop.cache, workshop.folder, Path.home()):
            assert str(place) not in text, path


def test_parts_that_were_not_trained_are_copies_or_hard_links(workshop: Workshop) -> None:
    copied, linked = workshop.export("merged"), workshop.export("full-whole")
    base = workshop.folder / "tiny-predict2.5"
    vae = "vae/diffusion_pytorch_model.safetensors"
    assert (copied / vae).read_bytes() == (base / vae).read_bytes()
    assert not (copied / vae).samefile(base / vae)
    assert (linked / vae).samefile(base / vae)
    parts = {path.name for path in base.iterdir()}
    assert {path.name for path in copied.iterdir()} == parts | {"README.md"}
    assert {path.name for path in workshop.export("merged-part").iterdir()} == {"README.md", "transformer"}


def test_a_full_folder_is_refused_and_an_earlier_export_replaced_on_demand(workshop: Workshop, tmp_path: Path) -> None:
    run, out, other = workshop.trained("lora").run.root, tmp_path / "out", tmp_path / "other"
    out.mkdir()
    write_export(run, out, merged=True, components=Components.TRAINED)
    with pytest.raises(ConfigError, match=r"holds an earlier export\. Name a new or empty folder, or .* --force"):
        write_export(run, out)
    assert (out / "transformer").is_dir()
    with pytest.raises(ConfigError, match="nowhere"):
        write_export(run, out, force=True, base=str(tmp_path / "nowhere"))
    assert (out / "transformer").is_dir(), "what cannot be replaced stays"
    write_export(run, out, force=True)
    assert {path.name for path in out.iterdir()} == LORA_FILES
    other.mkdir()
    (other / "notes.txt").touch()
    for force in (False, True):
        with pytest.raises(ConfigError, match="holds other files"):
            write_export(run, other, force=force)
    assert {path.name for path in tmp_path.iterdir()} == {"out", "other"}


def test_an_export_that_fails_leaves_nothing(workshop: Workshop, tmp_path: Path, tiny: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny, base)
    settings = json.loads((base / "transformer/config.json").read_text())
    (base / "transformer/config.json").write_text(json.dumps({**settings, "num_attention_heads": 2}))
    with pytest.raises(ValueError, match="shape"):
        write_export(workshop.trained("lora").run.root, tmp_path / "out", merged=True, base=str(base))
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_what_does_not_go_together_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no adapter to merge.*--components all"):
        write_export(workshop.trained("full").run.root, tmp_path / "out", merged=True)
    with pytest.raises(ConfigError, match=r"no part of a pipeline.*--merged"):
        write_export(workshop.trained("lora").run.root, tmp_path / "out", components=Components.ALL)
    assert not (tmp_path / "out").exists()


def test_a_base_that_is_elsewhere_is_asked_for(workshop: Workshop, tmp_path: Path, tiny: Path) -> None:
    run = workshop.trained("lora").run.root
    with pytest.raises(ConfigError, match="--base"):
        write_export(run, tmp_path / "out", base=str(tmp_path / "nowhere"))
    write_export(run, tmp_path / "out", base=str(tiny))
    text = (tmp_path / "out/README.md").read_text()
    assert f'base = "{tiny.name}"  # the folder of the base checkpoint' in text
    assert "# license: not found" in text
    assert "license" not in header(tmp_path / "out")


def test_the_command_says_what_it_took(workshop: Workshop, tmp_path: Path) -> None:
    """In a process of its own: nothing has been imported before the command needs it.

    It warns where a user's own program could not load the export.
    """
    program = "import sys; from posttrain.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", program, "export", str(workshop.trained("lora").run.root), "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [
        "t0001 at step 2: held_out/loss 0.5 (lower is better), the best of 1 trial",
        "-> out; out/README.md shows how to load it",
    ]
    own_program = [sys.executable, "-c", IMPORTS["diffusers"]]
    loads = subprocess.run(own_program, capture_output=True, check=False).returncode == 0
    assert loads == (done.stderr == "")
    assert loads or done.stderr.startswith("warning: plain diffusers cannot load")
    assert {path.name for path in (tmp_path / "out").iterdir()} == LORA_FILES
