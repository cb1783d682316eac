"""What a checkpoint is, told from its name and its own files, without loading a tensor.

`describe` answers the questions that come before any weight is read: which family and generation is it, for which
clips is it published, is it a built-in one. It imports no heavy library, so `posttrain check` stays fast.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from posttrain.config import ModelConfig
from posttrain.data import ClipSpec
from posttrain.data.controls import read_names
from posttrain.data.places import is_local, suggestion
from posttrain.errors import ModelError
from posttrain.models.hub import cached, split_revision
from posttrain.models.weights import check_weights

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")


@dataclass(frozen=True)
class Generation:
    """A published generation of a family: what must be known of it before anything is loaded.

    Attributes:
        clip: the clips it was trained on.
        conditioning: the shares of given latent frames in its training; {0: 1.0} is text alone.
        takes_controls: it is guided by control clips; its sampler is given no frame, whatever its training is given.
        frames_per_latent: frames that one latent frame stands for, but for the first, which stands for one.
        parts: the folders of a checkpoint that hold weights.
    """

    family: str
    name: str
    clip: ClipSpec
    max_sequence_length: int
    conditioning: Mapping[int, float] = field(default_factory=lambda: {1: 0.5, 2: 0.5})
    frames_per_latent: int = 4
    parts: tuple[str, ...] = ("transformer", "vae", "text_encoder")
    takes_controls: bool = False

    def latent_frames(self, clip: ClipSpec) -> int:
        """The latent frames that its codec makes of a clip."""
        return (clip.frames - 1) // self.frames_per_latent + 1

    @property
    def text_only(self) -> bool:
        """Whether it samples with no frame given."""
        return set(self.conditioning) == {0}

    @property
    def num_given(self) -> int:
        """Latent frames given in the evaluation and in the gate."""
        return 0 if self.text_only or self.takes_controls else 1

    @property
    def makes_images(self) -> bool:
        """Whether its clips are single frames, so that images can be its training data."""
        return self.clip.frames == 1


@dataclass(frozen=True)
class CheckpointInfo:
    """A checkpoint as far as its name and `model_index.json` tell; `path` is None for one on the hub."""

    generation: Generation
    path: Path | None


# How a family that is given no frame is trained.
_NONE_GIVEN = {0: 1.0}
# cosmos-predict1 trains Video2World on 0, 1 or 2 given latent frames, evenly; so does cosmos-transfer2.5, whose later
# chunks of a long video go on from the one before.
_UP_TO_TWO = {0: 1 / 3, 1: 1 / 3, 2: 1 / 3}

# Transfer samples in chunks of at least one latent frame after the first, at most what its rotary embedding reaches.
_CHUNK_FRAMES = (5, 125)
DEFAULT_CONTROLS: Mapping[str, float] = {"edge": 1.0}

# The pipeline class in model_index.json names the generation. Sizes: the defaults of the pipelines' own __call__.
PIPELINES: dict[str, Generation] = {
    "Cosmos2_5_PredictBasePipeline": Generation(
        "cosmos-predict", "predict2.5", ClipSpec(frames=93, height=704, width=1280, fps=16.0), 512
    ),
    "Cosmos2VideoToWorldPipeline": Generation(
        "cosmos-predict", "predict2", ClipSpec(frames=93, height=704, width=1280, fps=16.0), 512
    ),
    "Cosmos2TextToImagePipeline": Generation(
        "cosmos-predict", "predict2-t2i", ClipSpec(frames=1, height=768, width=1360, fps=16.0), 512, _NONE_GIVEN
    ),
    "CosmosVideoToWorldPipeline": Generation(
        "cosmos-predict", "predict1", ClipSpec(frames=121, height=704, width=1280, fps=30.0), 512, _UP_TO_TWO, 8
    ),
    "CosmosTextToWorldPipeline": Generation(
        "cosmos-predict", "predict1-t2w", ClipSpec(frames=121, height=704, width=1280, fps=30.0), 512, _NONE_GIVEN, 8
    ),
    "Cosmos2_5_TransferPipeline": Generation(
        "cosmos-transfer",
        "transfer2.5",
        ClipSpec(frames=93, height=704, width=1280, fps=16.0),
        512,
        _UP_TO_TWO,
        parts=("transformer", "controlnet", "vae", "text_encoder"),
        takes_controls=True,
    ),
}
# A published id tells the pipeline as long as the hub's files are not here; the files have the last word.
HUB_IDS: tuple[tuple[str, str], ...] = (
    (r"nvidia/Cosmos-Predict2\.5-\d+B", "Cosmos2_5_PredictBasePipeline"),
    (r"nvidia/Cosmos-Transfer2\.5-\d+B", "Cosmos2_5_TransferPipeline"),
    (r"nvidia/Cosmos-Predict2-\d+B-Video2World", "Cosmos2VideoToWorldPipeline"),
    (r"nvidia/Cosmos-Predict2-\d+B-Text2Image", "Cosmos2TextToImagePipeline"),
    (r"nvidia/Cosmos-(1\.0-Diffusion|Predict1)-\d+B-Video2World", "CosmosVideoToWorldPipeline"),
    (r"nvidia/Cosmos-(1\.0-Diffusion|Predict1)-\d+B-Text2World", "CosmosTextToWorldPipeline"),
)
_NEWEST = "Cosmos2_5_PredictBasePipeline"


def _tiny(pipeline: str, frames: int) -> Generation:
    return replace(
        PIPELINES[pipeline], clip=ClipSpec(frames=frames, height=32, width=32, fps=8.0), max_sequence_length=64
    )


TINY: dict[str, Generation] = {
    "tiny:predict2.5": _tiny("Cosmos2_5_PredictBasePipeline", frames=9),
    "tiny:predict2": _tiny("Cosmos2VideoToWorldPipeline", frames=9),
    "tiny:predict2-t2i": _tiny("Cosmos2TextToImagePipeline", frames=1),
    "tiny:predict1": _tiny("CosmosVideoToWorldPipeline", frames=17),
    "tiny:predict1-t2w": _tiny("CosmosTextToWorldPipeline", frames=17),
    "tiny:transfer2.5": _tiny("Cosmos2_5_TransferPipeline", frames=9),
}


def describe(checkpoint: str, base_dir: Path = Path()) -> CheckpointInfo:
    """Tells family, generation and clip of `checkpoint`: `tiny:<name>`, a local folder or a hub id.

    A hub id that is not in the local hub cache is told by its name, an unknown one is taken for the newest
    generation; the loader checks it again.

    Raises:
        ModelError: the folder is missing or not whole, is no diffusers checkpoint, or belongs to no supported family.
    """
    if checkpoint.startswith("tiny:"):
        if checkpoint not in TINY:
            raise ModelError(f"model.checkpoint: no built-in checkpoint {checkpoint!r}; there is {', '.join(TINY)}")
        return CheckpointInfo(TINY[checkpoint], None)
    folder = (base_dir / checkpoint).expanduser()
    if folder.is_dir():
        generation = _generation(folder / "model_index.json")
        check_weights(folder, generation.parts)
        return CheckpointInfo(generation, folder)
    if folder.exists() or not is_hub_id(checkpoint, base_dir):
        what = "is a file" if folder.exists() else f"is not there{suggestion(folder)}"
        raise ModelError(
            f"model.checkpoint: {folder} {what}; give a folder in the layout of diffusers (it holds model_index.json) "
            "or of transformers (config.json), a hub id owner/name or owner/name@revision, or tiny:predict2.5"
        )
    found = cached(checkpoint, "model_index.json")
    return CheckpointInfo(
        _generation(found) if found else PIPELINES[_named(split_revision(checkpoint)[0]) or _NEWEST], None
    )


def is_told(checkpoint: str, base_dir: Path = Path()) -> bool:
    """Whether `describe` knows the generation, or takes an unknown hub id for the newest one."""
    if not is_hub_id(checkpoint, base_dir) or (base_dir / checkpoint).expanduser().exists():
        return True
    repo_id, _ = split_revision(checkpoint)
    return cached(checkpoint, "model_index.json") is not None or _named(repo_id) is not None


def is_hub_id(checkpoint: str, base_dir: Path) -> bool:
    """Whether a checkpoint is looked for on the hub: what begins with a folder that exists is not, unless it is a
    published id."""
    if not _HUB_ID.fullmatch(checkpoint):
        return False
    return _named(split_revision(checkpoint)[0]) is not None or not is_local(checkpoint, base_dir)


def pipeline_of(generation: Generation) -> str:
    """The class in diffusers that samples with this generation."""
    return next(pipeline for pipeline, known in PIPELINES.items() if known.name == generation.name)


def clip_of(config: ModelConfig, info: CheckpointInfo) -> ClipSpec:
    """The clip a sweep trains on: what the file says, and what the checkpoint is published for where it is silent.

    Raises:
        ModelError: the file names another family than the checkpoint's, asks for frames that it cannot make, or for
            controls where it reads none.
    """
    if config.family not in (None, info.generation.family):
        raise ModelError(
            f"model.family: the file says {config.family}, but {config.checkpoint} is a {info.generation.name} "
            f"checkpoint of {info.generation.family}; leave model.family out, or name another checkpoint"
        )
    if config.controls is not None and not info.generation.takes_controls:
        raise ModelError(
            f"model.controls: {config.checkpoint} is a {info.generation.name} checkpoint, which has no ControlNet that "
            "could read them; leave model.controls out"
        )
    published = info.generation.clip
    clip = ClipSpec(
        frames=config.frames or published.frames,
        height=config.height or published.height,
        width=config.width or published.width,
        fps=config.fps or published.fps,
        controls=read_names(config.controls),
    )
    _check_frames(clip, info.generation)
    return clip


def _check_frames(clip: ClipSpec, generation: Generation) -> None:
    every = generation.frames_per_latent
    if generation.takes_controls and not _CHUNK_FRAMES[0] <= clip.frames <= _CHUNK_FRAMES[1]:
        raise ModelError(
            f"model.frames: found {clip.frames}, but the sampler of {generation.name} makes chunks of "
            f"{_CHUNK_FRAMES[0]} to {_CHUNK_FRAMES[1]} frames; take a number in between"
        )
    if generation.makes_images and clip.frames != 1:
        raise ModelError(
            f"model.frames: found {clip.frames}, but {generation.name} makes images; leave it out, or take 1"
        )
    if clip.frames % every != 1:
        below = max(1, (clip.frames - 1) // every * every + 1)
        raise ModelError(
            f"model.frames: found {clip.frames}, expected {every}k + 1 frames for the codec of {generation.name}; "
            f"take {below} or {below + every}"
        )


def conditioning_of(asked: Mapping[int, float] | None, generation: Generation, clip: ClipSpec) -> Mapping[int, float]:
    """The shares of given latent frames in training: what the file asks for, or what the checkpoint is published with.

    Raises:
        ModelError: frames are to be given to a model that takes none, or none would be left to predict.
    """
    shares = generation.conditioning if asked is None else asked
    latent = generation.latent_frames(clip)
    for given in shares:
        if given and generation.text_only:
            raise ModelError(
                f"training.conditioning_frames: found {given} given latent frames, but {generation.name} is given "
                "none; leave it out"
            )
        if given >= latent:
            raise ModelError(
                f"training.conditioning_frames: {given} given latent frames leave none of the {latent} (of "
                f"{clip.frames} frames) to predict; give at most {latent - 1}"
            )
    return shares


def _named(repo_id: str) -> str | None:
    """The pipeline that a published id tells."""
    return next((pipeline for pattern, pipeline in HUB_IDS if re.fullmatch(pattern, repo_id)), None)


def _generation(index: Path) -> Generation:
    if not index.is_file():
        raise ModelError(
            f"model.checkpoint: {index.parent} holds no model_index.json, so it is no diffusers checkpoint; convert it "
            "with diffusers' scripts/convert_cosmos_to_diffusers.py"
        )
    try:
        class_name = str(json.loads(index.read_text(encoding="utf-8"))["_class_name"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"model.checkpoint: {index} cannot be read ({error}); fetch the checkpoint again") from error
    if class_name not in PIPELINES:
        raise ModelError(
            f"model.checkpoint: {index} names the pipeline {class_name}, which this version cannot train; "
            f"it can train {', '.join(PIPELINES)}"
        )
    return PIPELINES[class_name]
