"""Which base model, and the clips it reads."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from posttrain.config.base import Section, refusal

SPATIAL_MULTIPLE = 16
ControlName = Literal["edge", "blur", "depth", "seg"]


class ModelConfig(Section):
    """The base model. What is left out is taken from the checkpoint's own files."""

    family: Literal["cosmos-predict", "cosmos-transfer", "vlm"] | None = None
    """Told by the checkpoint when left out."""
    checkpoint: Annotated[str, Field(min_length=1)]
    """A folder in the layout of diffusers or transformers, a hub id, or tiny:<name>."""
    frames: int | None = None
    """Frames per clip: 4k + 1. Diffusion models."""
    height: int | None = None
    """Pixels, a multiple of 16."""
    width: int | None = None
    """Pixels, a multiple of 16."""
    fps: Annotated[float, Field(gt=0)] | None = None
    """Frames per second at which clips are read."""
    max_sequence_length: Annotated[int, Field(ge=1)] | None = None
    """Caption tokens; longer captions are cut. What the checkpoint is published for when left out."""
    controls: Annotated[dict[ControlName, Annotated[float, Field(gt=0)]], Field(min_length=1)] | None = None
    """Cosmos-Transfer alone: what guides the clip, each with the weight of its ControlNet outputs in their sum. `edge`
    and `blur` are made from the clip, `depth` and `seg` are read from the folders beside videos/. {edge: 1.0} when left
    out. All are read by one ControlNet; of a hub id that publishes one for each control, by that of the first."""
    max_frames: Annotated[int, Field(ge=2)] | None = None
    """Frames taken from each video at most, spread over it. Vision-language models."""
    max_pixels: Annotated[int, Field(ge=1)] | None = None
    """Larger pictures are scaled down to this many pixels; what the processor says when left out. Vision-language
    models."""

    @field_validator("controls")
    @classmethod
    def _transfer_alone(
        cls, controls: dict[ControlName, float] | None, info: ValidationInfo
    ) -> dict[ControlName, float] | None:
        family = info.data.get("family")
        if controls is not None and family not in (None, "cosmos-transfer"):
            raise refusal(f"{family} has no ControlNet that could read them", "leave controls out")
        return controls

    @field_validator("frames")
    @classmethod
    def _whole_latent_frames(cls, frames: int | None) -> int | None:
        """The video codec makes one latent frame of the first frame and one of every four after it."""
        if frames is not None and (frames < 1 or frames % 4 != 1):
            below = max(1, (frames - 1) // 4 * 4 + 1)
            raise refusal(f"found {frames}, expected 4k + 1 frames (1, 5, 9, ...)", f"take {below} or {below + 4}")
        return frames

    @field_validator("height", "width")
    @classmethod
    def _whole_patches(cls, size: int | None) -> int | None:
        if size is not None and (size < SPATIAL_MULTIPLE or size % SPATIAL_MULTIPLE):
            below = max(1, size // SPATIAL_MULTIPLE) * SPATIAL_MULTIPLE
            raise refusal(
                f"found {size}, expected a multiple of {SPATIAL_MULTIPLE} pixels",
                f"take {below} or {below + SPATIAL_MULTIPLE}",
            )
        return size


def latent_frames(frames: int) -> int:
    """The latent frames that the video codec makes of a clip."""
    return (frames - 1) // 4 + 1
