"""Continues a clip from its first frame with plain diffusers, base against adapter; prints the latent errors as JSON.

Usage: continue_with_diffusers.py CHECKPOINT VIDEO CAPTION ADAPTER_FOLDER. Nothing of posttrain is imported.
"""

import json
import sys

import av
import torch

# beside a CPU build of torch, the torchvision of the package index lacks the schemas of two operators
LIBRARY = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    LIBRARY.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from diffusers import Cosmos2_5_PredictBasePipeline  # noqa: E402

FRAMES, SIZE, FPS = 9, 32, 8


class NoGuardrail:
    def to(self, *_):
        return self

    def check_text_safety(self, _):
        return True

    def check_video_safety(self, frames):
        return frames


def read(path):
    with av.open(path) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][:FRAMES]
    video_TCHW = torch.stack([torch.from_numpy(frame) for frame in frames]).permute(0, 3, 1, 2).float() / 127.5 - 1
    return torch.nn.functional.interpolate(video_TCHW, (SIZE, SIZE), mode="area").permute(1, 0, 2, 3)[None]


@torch.no_grad()
def main(checkpoint, video, caption, adapter):
    torch.set_num_threads(1)
    pipe = Cosmos2_5_PredictBasePipeline.from_pretrained(checkpoint, safety_checker=NoGuardrail())
    pipe.set_progress_bar_config(disable=True)
    clip_1CTHW = read(video)
    true = (pipe.vae.encode(clip_1CTHW).latent_dist.mode() - pipe.latents_mean) * pipe.latents_std

    def error():
        sampled = pipe(
            video=clip_1CTHW[:, :, :1],
            prompt=caption,
            height=SIZE,
            width=SIZE,
            num_frames=FRAMES,
            num_latent_conditional_frames=1,
            num_inference_steps=10,
            guidance_scale=0.0,
            max_sequence_length=64,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
        ).frames
        return float(((sampled - true)[:, :, 1:] ** 2).mean() / true[:, :, 1:].var())

    base = error()
    pipe.load_lora_weights(adapter, weight_name="pytorch_lora_weights.safetensors")
    print(json.dumps({"base": base, "adapter": error()}))


main(*sys.argv[1:])
