"""Transfer2.5's loss: the published objective over plain diffusers, one sum of controls for loss and sampler."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from posttrain.data import decode
from posttrain.data.controls import make_control
from posttrain.data.decode import Cut
from posttrain.data.transform import Colour, Transform, decode_with
from posttrain.errors import ModelError
from posttrain.models.base import Frames
from posttrain.models.cosmos_transfer25 import CosmosTransfer25
from posttrain.models.noise import Noise
from posttrain.training.video_bench import VideoBench
from tests.models.transfer_bench import EVERYTHING, Few, open_transfer
from tests.plain_diffusers import plain_pipeline

# whichever test comes first builds two checkpoints

CONDITION = torch.tensor([0, 1, 2])


@pytest.fixture(scope="module")
def slot() -> VideoBench:
    return open_transfer(EVERYTHING, num_samples=3)


@pytest.fixture(scope="module")
def plain(slot: VideoBench) -> Any:
    assert isinstance(slot.family, CosmosTransfer25)
    return plain_pipeline(slot.family.folder)


@pytest.fixture
def family(slot: VideoBench) -> Iterator[CosmosTransfer25]:
    """The shared family; a test may change the weights of its controls."""
    assert isinstance(slot.family, CosmosTransfer25)
    yield slot.family
    slot.family.controls = dict(EVERYTHING)


@pytest.fixture
def few(slot: VideoBench) -> Few:
    return Few.read(slot, slot.samples()[:3])


@pytest.fixture
def noise(few: Few) -> Noise:
    generator = torch.Generator().manual_seed(1)
    return Noise(torch.tensor([0.3, 0.6, 0.9]), torch.randn(few.latents.shape, generator=generator), CONDITION)


@contextmanager
def only(family: CosmosTransfer25, **weights: float) -> Iterator[list[int]]:
    """Inside the block the family takes these controls alone; gives their places among all."""
    family.controls = weights
    yield [list(EVERYTHING).index(name) for name in weights]
    family.controls = dict(EVERYTHING)


@torch.no_grad()
@pytest.mark.slow
def test_it_is_the_published_objective_on_raw_embeddings(
    slot: VideoBench, family: CosmosTransfer25, few: Few, noise: Noise, plain: Any
) -> None:
    """The formula written out once more, over plain diffusers with unprojected embeddings and fresh encodings."""
    ours = family.loss(few.latents, few.prompts, noise, few.controls)
    mean, std = (torch.tensor(plain.vae.config[key]).view(1, -1, 1, 1, 1) for key in ("latents_mean", "latents_std"))

    def latents_of(frames: Frames) -> torch.Tensor:
        video = torch.from_numpy(frames.copy()).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        return (plain.vae.encode(video).latent_dist.mode() - mean) / std

    for i, sample in enumerate(slot.samples()[:3]):
        raw_1LE, _ = plain.encode_prompt(
            sample.caption, do_classifier_free_guidance=False, max_sequence_length=family.max_sequence_length
        )
        frames = decode(sample.video, family.clip, sample.start_s)
        given, sigma = int(CONDITION[i]), float(noise.sigmas_B[i])
        clean, eps = latents_of(frames), noise.noise_BCThw[i : i + 1]
        noisy = (1 - sigma) * clean + sigma * eps
        noisy[:, :, :given] = clean[:, :, :given]
        mask = torch.zeros(1, 1, *clean.shape[2:])
        mask[:, :, :given] = 1
        timestep = torch.full((1, 1, clean.shape[2], 1, 1), sigma)
        timestep[:, :, :given] = 0.1
        padding = torch.zeros(1, 1, family.clip.height, family.clip.width)
        config = plain.transformer.config
        context = (raw_1LE, torch.zeros(1, config.img_context_num_tokens, config.img_context_dim_in))
        total = [0.0] * len(plain.controlnet.control_blocks)
        for name, weight in EVERYTHING.items():
            control = latents_of(make_control(name, sample, family.clip, frames))
            blocks = plain.controlnet(control, noisy, timestep, context, mask, padding_mask=padding)
            total = [a + weight * b for a, b in zip(total, blocks.control_block_samples, strict=True)]
        velocity = plain.transformer(
            noisy,
            timestep,
            context,
            block_controlnet_hidden_states=total,
            condition_mask=mask,
            padding_mask=padding,
        ).sample
        expected = ((velocity - (eps - clean))[:, :, given:] ** 2).mean()
        torch.testing.assert_close(ours[i], expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_cached_controls_equal_live_ones(slot: VideoBench, family: CosmosTransfer25) -> None:
    for sample in slot.samples()[:2]:
        frames = decode(sample.video, family.clip, sample.start_s)
        cached = slot.store.controls(sample)
        assert cached is not None
        assert len(cached) == len(EVERYTHING) == len(family.control_names)
        for place, name in enumerate(family.control_names):
            live = family.encode_frames(make_control(name, sample, family.clip, frames))
            assert torch.equal(cached[place], live), name


@torch.no_grad()
def test_controls_of_a_variant_go_with_its_clip(slot: VideoBench, family: CosmosTransfer25) -> None:
    """And those that colours do not change are encoded once for all colours."""
    sample = slot.samples()[0]
    whole = Transform(flip=True, cut=Cut(0.8, 0.2, 0.1), colour=Colour(brightness=1.2))
    before = slot.store.encoded
    slot.store.encode_clip(sample, whole)
    slot.store.encode_clip(sample, dataclasses.replace(whole, colour=Colour(contrast=0.9)))
    first, again = 1 + len(EVERYTHING), 1 + len({"edge", "blur"})
    assert slot.store.encoded - before in (first + again, 0)  # 0: an earlier run has left them in the cache
    frames = decode_with(sample, family.clip, whole)
    assert torch.equal(slot.store.latents(sample, whole), family.encode_frames(frames))
    cached, plain_controls = slot.store.controls(sample, whole), slot.store.controls(sample)
    assert cached is not None
    assert plain_controls is not None
    for place, name in enumerate(family.control_names):
        live = family.encode_frames(make_control(name, sample, family.clip, frames, whole))
        assert torch.equal(cached[place], live), name
        assert not torch.equal(cached[place], plain_controls[place]), name


@torch.no_grad()
def test_every_control_and_its_weight_matter(family: CosmosTransfer25, few: Few, noise: Noise) -> None:
    whole = family.loss(few.latents, few.prompts, noise, few.controls)
    for place, name in enumerate(EVERYTHING):
        changed = few.controls.clone()
        changed[:, place] = few.controls[:, place].roll(1, dims=0)
        assert (family.loss(few.latents, few.prompts, noise, changed) != whole).all(), name
        with only(family, **{**EVERYTHING, name: 2 * EVERYTHING[name]}):
            assert (family.loss(few.latents, few.prompts, noise, few.controls) != whole).all(), name


@torch.no_grad()
def test_a_weight_near_zero_is_like_no_control(family: CosmosTransfer25, few: Few, noise: Noise) -> None:
    with only(family, edge=1.0) as places:
        alone = family.loss(few.latents, few.prompts, noise, few.controls[:, places])
    with only(family, edge=1.0, depth=1e-7) as places:
        nearly = family.loss(few.latents, few.prompts, noise, few.controls[:, places])
    with only(family, edge=1.0, depth=1.0) as places:
        both = family.loss(few.latents, few.prompts, noise, few.controls[:, places])
    torch.testing.assert_close(nearly, alone, rtol=1e-5, atol=1e-5)
    assert ((both - alone).abs() > 1e-3).any()


@torch.no_grad()
def test_the_same_control_twice_at_half_the_weight_is_one(family: CosmosTransfer25, few: Few, noise: Noise) -> None:
    with only(family, edge=1.0) as places:
        one = family.loss(few.latents, few.prompts, noise, few.controls[:, places])
    with only(family, edge=0.5, depth=0.5):
        edge = few.controls[:, :1]
        halves = family.loss(few.latents, few.prompts, noise, torch.cat([edge, edge], dim=1))
    torch.testing.assert_close(halves, one, rtol=1e-5, atol=1e-5)


def test_one_control_is_sampled_as_by_the_plain_pipeline(
    slot: VideoBench, family: CosmosTransfer25, few: Few, plain: Any
) -> None:
    """From pixels and a caption, without a line of ours, at a weight other than 1."""
    sample = slot.samples()[0]
    frames = decode(sample.video, family.clip, sample.start_s)
    with only(family, depth=0.7) as places:
        ours = family.continue_clip(frames, few.prompts[0], steps=4, seed=3, controls_KCThw=few.controls[0, places])
    depth = make_control("depth", sample, family.clip, frames)
    expected = plain(
        controls=torch.from_numpy(depth.copy()).permute(0, 3, 1, 2)[None].float() / 255,
        controls_conditioning_scale=0.7,
        prompt=sample.caption,
        height=family.clip.height,
        width=family.clip.width,
        num_frames=family.clip.frames,
        num_frames_per_chunk=family.clip.frames,
        num_inference_steps=4,
        guidance_scale=0.0,
        generator=torch.Generator().manual_seed(3),
        max_sequence_length=family.max_sequence_length,
        output_type="latent",
        return_dict=False,
    )[0]
    torch.testing.assert_close(ours, expected[0], rtol=1e-3, atol=1e-3)


def test_sampler_and_loss_use_the_same_sum(family: CosmosTransfer25, few: Few) -> None:
    """What the transformer is told in the sampler's first step, computed again by the loss's own function."""
    told: list[dict[str, Any]] = []
    hook = family.transformer.register_forward_pre_hook(lambda _, __, kwargs: told.append(kwargs), with_kwargs=True)
    empty = np.zeros((family.clip.frames, family.clip.height, family.clip.width, 3), np.uint8)
    try:
        family.continue_clip(empty, few.prompts[0], steps=2, seed=0, controls_KCThw=few.controls[0])
    finally:
        hook.remove()
    first = told[0]
    assert "fps" not in first
    assert first["timestep"].unique().numel() == 1, "no frame is given"
    again = family.control_blocks(
        few.controls[:1],
        latents=first["hidden_states"],
        **{name: first[name] for name in ("timestep", "encoder_hidden_states", "condition_mask", "padding_mask")},
    )
    for block, expected in zip(first["block_controlnet_hidden_states"], again, strict=True):
        torch.testing.assert_close(block, expected, rtol=1e-6, atol=1e-6)
    assert family.pipe.controlnet is family.controlnet, "the stand-in is gone"


def test_another_network_takes_the_place_of_the_controlnet(family: CosmosTransfer25, few: Few, noise: Noise) -> None:
    class Louder(torch.nn.Module):
        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, **call: Any) -> Any:
            (blocks,) = self.inner(**call)
            return ([2 * block for block in blocks],)

    before, empty = family.controlnet, np.zeros((9, 32, 32, 3), np.uint8)

    def results() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            loss = family.loss(few.latents, few.prompts, noise, few.controls)
        return loss, family.continue_clip(empty, few.prompts[0], steps=2, seed=0, controls_KCThw=few.controls[0])

    own = results()
    family.replace("controlnet", Louder(before))
    try:
        assert set(family.modules) == {"transformer", "controlnet"}
        other = results()
    finally:
        family.replace("controlnet", before)
    assert (own[0] != other[0]).all()
    assert not torch.equal(own[1], other[1])
    assert all(torch.equal(a, b) for a, b in zip(own, results(), strict=True))


@torch.no_grad()
def test_projections_that_differ_lie_side_by_side(
    slot: VideoBench, family: CosmosTransfer25, few: Few, noise: Noise
) -> None:
    """A checkpoint whose ControlNet has learnt another projection than its transformer."""
    other = open_transfer({"edge": 1.0}, num_samples=1).family
    assert isinstance(other, CosmosTransfer25)
    prompts = other.prompts
    key = prompts.key
    for parameter in prompts.control_projection.parameters():
        parameter.mul_(1.1)
    prompts.shared = False
    del prompts.key
    assert prompts.key != key
    captions = [sample.caption for sample in slot.samples()[:3]]
    wide = torch.stack(other.encode_prompts(captions))
    width = few.prompts.shape[-1]
    assert wide.shape[-1] == 2 * width
    assert torch.equal(wide[..., :width], few.prompts)
    seen: dict[str, torch.Tensor] = {}
    for name, module in other.modules.items():
        module.get_submodule("crossattn_proj").register_forward_hook(
            lambda _, __, output, name=name: seen.update({name: output})
        )
    other.loss(few.latents, wide, noise, few.controls[:, :1])
    assert torch.equal(seen["transformer"], wide[..., :width])
    assert torch.equal(seen["controlnet"], wide[..., width:])
    state = other.published_state("controlnet")
    assert torch.equal(state["crossattn_proj.0.weight"], prompts.control_projection.state_dict()["0.weight"])


@pytest.mark.parametrize("name", ["transformer", "controlnet"])
def test_the_published_state_is_that_of_the_files(family: CosmosTransfer25, plain: Any, name: str) -> None:
    published = getattr(plain, name).state_dict()
    ours = family.published_state(name)
    assert ours.keys() == published.keys()
    assert all(torch.equal(ours[key], published[key]) for key in published)


def test_controls_are_for_transfer_and_frames_for_its_chunks() -> None:
    from posttrain.config import ModelConfig
    from posttrain.models import clip_of, describe

    info = describe("tiny:predict2.5")
    with pytest.raises(ModelError, match=r"model\.controls: tiny:predict2\.5 is a predict2\.5 checkpoint"):
        clip_of(ModelConfig(checkpoint="tiny:predict2.5", controls={"edge": 1.0}), info)
    for frames in (1, 129):
        with pytest.raises(ModelError, match=rf"model\.frames: found {frames}, .* chunks of 5 to 125"):
            clip_of(ModelConfig(checkpoint="tiny:transfer2.5", frames=frames), describe("tiny:transfer2.5"))
