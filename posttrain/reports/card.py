"""The README of an export: what it is, and the lines of Python that load it with the plain libraries."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ADAPTER_FILE = "pytorch_lora_weights.safetensors"
# Network's folder -> its class in diffusers.
NETWORKS = {"transformer": "CosmosTransformer3DModel", "controlnet": "CosmosControlNetModel"}
# Pipelines with diffusers' mixin for adapters; into the others' transformers they are loaded directly.
_LOADS_ADAPTERS = ("Cosmos2_5_PredictBasePipeline",)

_CARD = """# {name}: {trial}

{what}, trained by posttrain from `{checkpoint}`; {metric} {value:.4g} at step {step}{baseline}.

```python
{snippet}
```

{note}

Parameters: {parameters}
"""
_DIFFUSERS_NOTE = (
    "Weights are float32; give `from_pretrained` a `torch_dtype=torch.bfloat16` to run in half of the memory. The "
    "pipeline wants `pip install cosmos_guardrail`, or a `safety_checker` of your own."
)
_TRANSFORMERS_NOTE = (
    "Weights are float32; give `from_pretrained` a `dtype=torch.bfloat16` to run in half of the memory."
)


@dataclass(frozen=True)
class Source:
    """A diffusion base as diffusers is told of it: a folder or a hub id, and the pipeline's class.

    `controlnet_revision` is where the hub keeps a ControlNet that is no part of the pipeline's own revision.
    """

    name: str
    revision: str | None
    pipeline: str
    controlnet_revision: str | None = None

    @property
    def arguments(self) -> str:
        """What its `from_pretrained` takes."""
        return f'"{self.name}"' + (f', revision="{self.revision}"' if self.revision else "")


def card(name: str, exported: Mapping[str, Any], source: Source | None, folder: Path) -> str:
    """The text of README.md.

    Args:
        name: of the run.
        exported: trial, checkpoint, metric, value, step, baseline and parameters.
        source: the base of a diffusion model; None for a vision-language model, which is whole by itself.
        folder: the export, named as the user did.
    """
    baseline = "" if exported["baseline"] is None else f" (base model: {exported['baseline']:.4g})"
    what, snippet = ("A vision-language model", _chat(folder)) if source is None else _diffusion(source, folder)
    note = _TRANSFORMERS_NOTE if source is None else _DIFFUSERS_NOTE
    return _CARD.format(name=name, snippet=snippet, what=what, note=note, **{**exported, "baseline": baseline})


def _diffusion(source: Source, folder: Path) -> tuple[str, str]:
    """What lies in the folder, and how it is loaded."""
    if (folder / ADAPTER_FILE).is_file():
        return "A LoRA", _pipeline_adapter(source, folder)
    if (folder / "controlnet" / "adapter_config.json").is_file():
        return "A LoRA of the ControlNet", _controlnet_adapter(source, folder)
    networks = {name: kind for name, kind in NETWORKS.items() if (folder / name).is_dir()}
    return f"The {' and '.join(networks)} of the pipeline", _networks(source, folder, networks)


def _pipeline_adapter(source: Source, folder: Path) -> str:
    load = f'pipe.load_lora_weights("{folder}", weight_name="{ADAPTER_FILE}")'
    if source.pipeline not in _LOADS_ADAPTERS:
        load = f'pipe.transformer.load_lora_adapter("{folder}", prefix="transformer", weight_name="{ADAPTER_FILE}")'
    return f"""from diffusers import {source.pipeline}

pipe = {source.pipeline}.from_pretrained({source.arguments})
{load}"""


def _controlnet_adapter(source: Source, folder: Path) -> str:
    adapter = folder / "controlnet"
    if source.controlnet_revision is not None:
        return f"""from diffusers import CosmosControlNetModel, {source.pipeline}
from peft import PeftModel

{_published_controlnet(source)}
controlnet = PeftModel.from_pretrained(controlnet, "{adapter}").merge_and_unload()
pipe = {source.pipeline}.from_pretrained({source.arguments}, controlnet=controlnet)"""
    return f"""from diffusers import {source.pipeline}
from peft import PeftModel

pipe = {source.pipeline}.from_pretrained({source.arguments})
adapted = PeftModel.from_pretrained(pipe.controlnet, "{adapter}")
pipe.register_modules(controlnet=adapted.merge_and_unload())"""


def _published_controlnet(source: Source) -> str:
    revision = source.controlnet_revision
    return f'controlnet = CosmosControlNetModel.from_pretrained("{source.name}", revision="{revision}")'


def _networks(source: Source, folder: Path, networks: Mapping[str, str]) -> str:
    loads = {
        name: f'{name} = {kind}.from_pretrained("{folder}", subfolder="{name}")' for name, kind in networks.items()
    }
    if source.controlnet_revision is not None and "controlnet" not in loads:
        loads["controlnet"] = _published_controlnet(source)
    classes = ", ".join([source.pipeline, *(NETWORKS[name] for name in loads)])
    given = ", ".join(f"{name}={name}" for name in loads)
    lines = "\n".join(loads.values())
    return f"""from diffusers import {classes}

{lines}
pipe = {source.pipeline}.from_pretrained({source.arguments}, {given})"""


def _chat(folder: Path) -> str:
    return f"""from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained("{folder}")
processor = AutoProcessor.from_pretrained("{folder}")"""
