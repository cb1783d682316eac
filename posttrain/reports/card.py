"""The README of an export: the hub's header, what the folder holds, and the Python that loads it with plain libraries.

No path of this machine stands in it: the folder and a local base are called by their names.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ADAPTER_FILE = "pytorch_lora_weights.safetensors"
PEFT_CONFIG = "adapter_config.json"
# Network's folder -> its class in diffusers.
NETWORKS = {"transformer": "CosmosTransformer3DModel", "controlnet": "CosmosControlNetModel"}
# The words by which an earlier export is known.
MADE_BY = "trained by posttrain from"
# Pipelines with diffusers' mixin for adapters; into the others' transformers they are loaded directly.
_LOADS_ADAPTERS = ("Cosmos2_5_PredictBasePipeline",)

_CARD = """---
{header}
---
# {run}: {trial}

{what}, trained by posttrain from `{base}`.
{result}.

```python
{snippet}
```

{notes}

Parameters: {parameters}
"""
_BFLOAT16 = "Weights that were trained are float32; give `from_pretrained` {argument} to run in half of the memory."
_GUARDRAIL = "The pipeline wants `pip install cosmos_guardrail`, or a `safety_checker` of your own."
_TORCHVISION = (
    "If an import fails with `operator torchvision::nms does not exist`, torchvision was built for another torch: "
    "install the build for yours; `posttrain doctor` tells whether this model will load."
)
_NO_LICENSE = "# license: not found beside the base model; fill in the base model's own before you publish this"


@dataclass(frozen=True)
class Source:
    """A base as the plain libraries know it.

    Attributes:
        name: a hub id, or the name of a local folder.
        pipeline: its class in diffusers; None for a vision-language model.
        revision: of the hub id; None where it is the default one.
        controlnet_revision: where the hub keeps a ControlNet that is no part of the pipeline's own revision.
        origin: what the folder is, for a base that is no hub id.
        family: the model's family in the sweep file.
        license: `license` and its siblings, from the base's own card; {} where that is not at hand.
    """

    name: str
    pipeline: str | None
    revision: str | None = None
    controlnet_revision: str | None = None
    origin: str = ""
    family: str = ""
    strategy: str = ""
    license: Mapping[str, str] = field(default_factory=dict)

    @property
    def arguments(self) -> str:
        """What `from_pretrained` takes."""
        return "base" + (f", revision={_quoted(self.revision)}" if self.revision else "")

    @property
    def definition(self) -> str:
        """The line of Python that names the base."""
        return f"base = {_quoted(self.name)}" + (f"  # {self.origin}" if self.origin else "")


def card(facts: Mapping[str, Any], source: Source, folder: Path, name: str) -> str:
    """The text of README.md.

    Args:
        facts: run, trial, result (a sentence) and parameters.
        source: the base.
        folder: what was exported.
        name: how the folder will be called.
    """
    what, snippet = _chat() if source.pipeline is None else _diffusion(source, folder)
    return _CARD.format(
        header=_header(source, folder),
        what=what,
        base=source.name,
        snippet=snippet.replace("{trained}", f"trained = {_quoted(name)}  # this folder, or its id on the hub"),
        notes=_notes(source, folder),
        **facts,
    )


def _quoted(text: str) -> str:
    """A literal of Python, in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def _header(source: Source, folder: Path) -> str:
    import yaml

    is_adapter = _adapter(folder) is not None
    tags = ["posttrain", source.family, source.strategy]
    document = {
        "base_model": source.name,
        "base_model_relation": "adapter" if is_adapter else "finetune",
        "library_name": "transformers" if source.pipeline is None else "diffusers",
        **source.license,
        "tags": [tag for tag in tags if tag],
    }
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000).strip()
    return text if "license" in source.license else f"{text}\n{_NO_LICENSE}"


def _notes(source: Source, folder: Path) -> str:
    argument = "`dtype=torch.bfloat16`" if source.pipeline is None else "`torch_dtype=torch.bfloat16`"
    notes = [_BFLOAT16.format(argument=argument), *([] if source.pipeline is None else [_GUARDRAIL]), _TORCHVISION]
    if _adapter(folder) == "transformer":
        load = '`PeftModel.from_pretrained(pipe.transformer, "<this folder>")`'
        notes.append(f"The folder is an adapter of peft too: {load}.")
    return " ".join(notes)


def _adapter(folder: Path) -> str | None:
    """The network that an adapter in the folder is for."""
    if (folder / ADAPTER_FILE).is_file():
        return "transformer"
    return "controlnet" if (folder / "controlnet" / PEFT_CONFIG).is_file() else None


def _diffusion(source: Source, folder: Path) -> tuple[str, str]:
    """What lies in the folder, and how it is loaded."""
    adapted = _adapter(folder)
    if adapted == "transformer":
        return "A LoRA", _pipeline_adapter(source)
    if adapted == "controlnet":
        return "A LoRA of the ControlNet", _controlnet_adapter(source)
    if (folder / "model_index.json").is_file():
        return "A whole pipeline", _whole(source)
    networks = {name: kind for name, kind in NETWORKS.items() if (folder / name).is_dir()}
    return f"The {' and '.join(networks)} of the pipeline", _networks(source, networks)


def _pipeline_adapter(source: Source) -> str:
    load = f'pipe.load_lora_weights(trained, weight_name="{ADAPTER_FILE}")'
    if source.pipeline not in _LOADS_ADAPTERS:
        load = f'pipe.transformer.load_lora_adapter(trained, prefix="transformer", weight_name="{ADAPTER_FILE}")'
    return f"""from diffusers import {source.pipeline}

{source.definition}
{{trained}}

pipe = {source.pipeline}.from_pretrained({source.arguments})
{load}"""


def _controlnet_adapter(source: Source) -> str:
    if source.controlnet_revision is not None:
        return f"""from diffusers import CosmosControlNetModel, {source.pipeline}
from peft import PeftModel

{source.definition}
{{trained}}

{_published_controlnet(source)}
controlnet = PeftModel.from_pretrained(controlnet, trained, subfolder="controlnet").merge_and_unload()
pipe = {source.pipeline}.from_pretrained({source.arguments}, controlnet=controlnet)"""
    return f"""from diffusers import {source.pipeline}
from peft import PeftModel

{source.definition}
{{trained}}

pipe = {source.pipeline}.from_pretrained({source.arguments})
adapted = PeftModel.from_pretrained(pipe.controlnet, trained, subfolder="controlnet")
pipe.register_modules(controlnet=adapted.merge_and_unload())"""


def _published_controlnet(source: Source) -> str:
    return f'controlnet = CosmosControlNetModel.from_pretrained(base, revision="{source.controlnet_revision}")'


def _networks(source: Source, networks: Mapping[str, str]) -> str:
    loads = {name: f'{name} = {kind}.from_pretrained(trained, subfolder="{name}")' for name, kind in networks.items()}
    if source.controlnet_revision is not None and "controlnet" not in loads:
        loads["controlnet"] = _published_controlnet(source)
    classes = ", ".join([str(source.pipeline), *(NETWORKS[name] for name in loads)])
    given = ", ".join(f"{name}={name}" for name in loads)
    lines = "\n".join(loads.values())
    return f"""from diffusers import {classes}

{source.definition}
{{trained}}

{lines}
pipe = {source.pipeline}.from_pretrained({source.arguments}, {given})"""


def _whole(source: Source) -> str:
    return f"""from diffusers import {source.pipeline}

{{trained}}

pipe = {source.pipeline}.from_pretrained(trained)"""


def _chat() -> tuple[str, str]:
    return (
        "A vision-language model",
        """from transformers import AutoModelForImageTextToText, AutoProcessor

{trained}

model = AutoModelForImageTextToText.from_pretrained(trained)
processor = AutoProcessor.from_pretrained(trained)""",
    )
