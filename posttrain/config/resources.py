"""What one trial may use of the cluster, and how many trials run at once."""

from typing import Annotated, Literal

from pydantic import Field

from posttrain.config.base import Section


class ResourcesConfig(Section):
    """The workers of one trial, and the slots for trials."""

    workers: Annotated[int, Field(ge=1)] = 1
    """Worker processes per trial, which share its batch."""
    cpus_per_worker: Annotated[float, Field(gt=0)] = 1
    gpus_per_worker: Annotated[float, Field(ge=0)] | None = None
    """1 where the cluster has GPUs and 0 where it has none, when left out."""
    slots: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Trials at once; as many as the cluster holds when `auto`."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """Every worker holds the whole model (ddp), or a share of its weights and optimizer (fsdp, FSDP2)."""
    max_retries: Annotated[int, Field(ge=0)] = 2
    """How often a trial whose worker died is sent again, from its last checkpoint."""
