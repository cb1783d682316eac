"""Runs Python with the plain libraries, job by job, and what it loads on recorded inputs.

Each line of standard input is a job: a folder to work in, Python to run there, a file with the recorded arguments of
one network's call, and a file to write that network's answer to. The prompt is left out: it is encoded here. Each line
of standard output is the word `done`, or the error. Nothing of posttrain is imported.
"""

import contextlib
import json
import os
import sys

import torch
from safetensors.torch import load_file, save_file

# beside a CPU build of torch, the torchvision of the package index lacks the schemas of two operators
LIBRARY = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    LIBRARY.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


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
    network = names.get("network") or getattr(pipe, job["network"])
    (found,) = network.eval()(**call, return_dict=False)
    return found if isinstance(found, torch.Tensor) else torch.stack(list(found))


def main():
    torch.set_num_threads(1)
    answers = sys.stdout
    ran, names = None, {}
    for line in sys.stdin:
        job = json.loads(line)
        os.chdir(job["folder"])
        try:
            with contextlib.redirect_stdout(sys.stderr):
                if ran != (job["folder"], job["python"]):
                    ran, names = (job["folder"], job["python"]), {}
                    exec(compile(job["python"], "README.md", "exec"), names)
                save_file({"answer": answer(job, names).contiguous()}, job["out"])
            said = "done"
        except Exception as error:  # noqa: BLE001 - the test that sent the job fails with it
            ran = None
            said = f"{type(error).__name__}: {error}"
        print(json.dumps(said), file=answers, flush=True)


main()
