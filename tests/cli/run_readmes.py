"""Runs the Python of exported READMEs with the plain libraries, and what they load on recorded inputs.

Usage: run_readmes.py JOBS.json. Each job names a README, a file with the recorded arguments of one network's call, and
a file to write that network's answer to. The prompt is left out: it is encoded here. Nothing of posttrain is imported.
"""

import json
import re
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

# beside a CPU build of torch, the torchvision of the package index lacks the schemas of two operators
LIBRARY = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    LIBRARY.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def run(readme: str) -> dict[str, object]:
    """What the README's Python leaves behind."""
    (source,) = re.findall(r"```python\n(.*?)```", Path(readme).read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(source, readme, "exec"), names)
    return names


def arguments(job):
    """The recorded call; the tensors `name.0`, `name.1` were a list."""
    call = dict(job["settings"])
    for key, value in sorted(load_file(job["tensors"]).items()):
        name, _, index = key.partition(".")
        if index:
            call.setdefault(name, []).append(value)
        else:
            call[name] = value
    return call


@torch.no_grad()
def answer(job, names):
    call = arguments(job)
    if "model" in names:
        return names["model"].eval()(**call).logits
    pipe = names["pipe"]
    prompt, _ = pipe.encode_prompt(job["caption"], do_classifier_free_guidance=False, max_sequence_length=64)
    beside = call.get("encoder_hidden_states")  # what the network read beside the prompt
    call["encoder_hidden_states"] = (prompt, *beside) if beside else prompt
    (found,) = getattr(pipe, job["network"]).eval()(**call, return_dict=False)
    return found if isinstance(found, torch.Tensor) else torch.stack(list(found))


def main(jobs):
    torch.set_num_threads(1)
    loaded = {}
    for job in json.loads(Path(jobs).read_text(encoding="utf-8")):
        if job["readme"] not in loaded:
            loaded = {job["readme"]: run(job["readme"])}
        save_file({"answer": answer(job, loaded[job["readme"]]).contiguous()}, job["out"])


main(sys.argv[1])
