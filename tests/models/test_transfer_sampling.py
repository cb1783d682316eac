"""Training by the loss, sampling by the published pipeline: overfitted clips come back, and follow their controls."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from posttrain.data import decode, demo
from posttrain.data.captions import read_caption
from posttrain.data.controls import edge
from posttrain.models.cosmos_transfer25 import CosmosTransfer25
from posttrain.overfit.probe import FewSamples
from posttrain.training.video_bench import VideoBench
from tests.models.transfer_bench import Few, open_transfer, overfit, relative_error

pytestmark = pytest.mark.slow

NOTHING = np.zeros((9, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def slot() -> VideoBench:
    """The base with edges and segmentation of four clips."""
    return open_transfer({"edge": 0.5, "seg": 0.5})


@pytest.fixture(scope="module")
def base(slot: VideoBench) -> tuple[CosmosTransfer25, Few]:
    assert isinstance(slot.family, CosmosTransfer25)
    return slot.family, Few.read(slot, slot.dataset.train["fixed"])


@pytest.fixture
def restored(base: tuple[CosmosTransfer25, Few]) -> Iterator[tuple[CosmosTransfer25, Few]]:
    """The same, with its weights and controls put back afterwards."""
    family, _ = base
    before = {
        name: {key: value.clone() for key, value in module.state_dict().items()}
        for name, module in family.modules.items()
    }
    controls = dict(family.controls)
    yield base
    family.controls = controls
    for name, module in family.modules.items():
        module.load_state_dict(before[name])


def sample(family: CosmosTransfer25, few: Few, caption: int, control: int) -> torch.Tensor:
    return family.continue_clip(
        NOTHING, few.prompts[caption], steps=8, seed=caption, controls_KCThw=few.controls[control]
    )


def test_the_controlnet_alone_learns_clips_that_the_sampler_reproduces(
    slot: VideoBench, restored: tuple[CosmosTransfer25, Few]
) -> None:
    """And the gate's own measurements, which go through the same store, say so too."""
    family, few = restored
    family.controls = {"edge": 1.0}
    few = replace(few, controls=few.controls[:, :1])
    frozen = {name: value.clone() for name, value in family.transformer.state_dict().items()}
    assert overfit(family, few, ["controlnet"], steps=200, learning_rate=2e-2) < 0.05
    assert all(torch.equal(value, frozen[name]) for name, value in family.transformer.state_dict().items())
    errors = [relative_error(sample(family, few, i, i), few.latents[i]) for i in range(4)]
    assert max(errors) < 0.1, errors
    probe = FewSamples(family, slot.store, slot.dataset.train["fixed"])
    assert probe.closure() == pytest.approx(np.mean(errors), rel=1e-3)
    contrast = probe.contrast(num_condition=0)
    assert contrast is not None
    assert contrast > 3, "each other's edges fit worse"


def test_swapping_the_controls_swaps_the_clips(restored: tuple[CosmosTransfer25, Few]) -> None:
    """One caption for all four clips: what tells them apart is the controls alone, two at once."""
    family, few = restored
    few = replace(few, prompts=few.prompts[:1].expand(4, -1, -1))
    overfit(family, few, ["transformer", "controlnet"], steps=100)
    for control in range(4):
        made = sample(family, few, (control + 1) % 4, control)
        errors = [relative_error(made, true) for true in few.latents]
        assert int(np.argmin(errors)) == control, errors
        assert errors[control] < 0.1, errors


def test_the_base_reads_edges(base: tuple[CosmosTransfer25, Few]) -> None:
    """The checkpoint was taught with edges: the wrong ones cost it, whatever the caption says."""
    family, _ = base
    root = demo.resolve("general")
    videos = sorted((root / "videos").iterdir())[:16]
    frames = [decode(video, family.clip) for video in videos]
    prompts = family.encode_prompts([read_caption(root / "captions" / f"{video.stem}.json")[0] for video in videos])
    edges = torch.stack([family.encode_frames(edge(clip)) for clip in frames])[:, None]
    few = Few(torch.stack([family.encode_frames(clip) for clip in frames]), torch.stack(prompts), edges)
    noise = few.noise(torch.Generator().manual_seed(0), family)
    family.controls, controls = {"edge": 1.0}, family.controls
    with torch.no_grad():
        right = family.loss(few.latents, few.prompts, noise, edges).mean()
        wrong = family.loss(few.latents, few.prompts, noise, edges.roll(1, dims=0)).mean()
    family.controls = controls
    assert right < 0.95 * wrong, (right, wrong)
