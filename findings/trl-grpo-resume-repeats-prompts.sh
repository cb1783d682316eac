#!/usr/bin/env bash
# TRL: a GRPO training that is resumed starts its epoch's order of prompts again, and trains on the same ones twice.
#
# Versions: trl 1.16.0, transformers 5.23.0, torch 2.13.0, datasets 5.2.0, Python 3.11 on Linux.
# Expected: trainer.train(resume_from_checkpoint=True) goes on with the prompts that an uninterrupted run would have
#           seen next, as SFTTrainer and transformers.Trainer do.
# Seen:     in the second epoch or later the sampler skips the right number of prompts, but in the order of the first
#           epoch: it draws a shuffle anew from the seed. Prompts that this epoch has used already come again (w2 here,
#           before w1), others are left out, and all later epochs are shifted by one. No warning; a resume in the first
#           epoch is exact.
# Output (2026-11-28): straight w0 w1 w3 w2 w0 w2 w3 w1 w3 w2 w0 w1; resumed after six: w3 w2 w0 w2 w3 w1
set -euo pipefail

pins=(trl==1.16.0 transformers==5.23.0 torch==2.13.0 datasets==5.2.0)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${FINDINGS_PYTHON:-} # a Python that has the pinned versions already; else a fresh virtual environment
if [ -z "$python" ]; then
    python3 -m venv "$work/venv"
    python=$work/venv/bin/python
    "$python" -m pip install --quiet "${pins[@]}"
fi
cd "$work"
"$python" - "${pins[@]}" <<'EOF'
import importlib.metadata
import sys

for name, _, wanted in (pin.partition("==") for pin in sys.argv[1:]):
    found = importlib.metadata.version(name.partition("[")[0]).partition("+")[0]
    assert found == wanted, f"{name} {found} is installed, {wanted} was pinned"

import logging
import tempfile

logging.disable(logging.WARNING)
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer

WORDS = ["<pad>", "<eos>", *(f"w{number}" for number in range(16))]


def tokenizer():
    words = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", padding_side="left")


def train(folder, steps, resume=False):
    """The prompts of each optimizer step."""
    seen = []

    def reward(prompts, completions, **columns):
        seen.append(prompts[0])
        return [float(len(completion)) for completion in completions]

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(WORDS), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, pad_token_id=0, eos_token_id=1, bos_token_id=1,
    )
    arguments = GRPOConfig(
        output_dir=folder, max_steps=steps, save_steps=6, per_device_train_batch_size=2, num_generations=2,
        max_completion_length=2, report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False,
        disable_tqdm=True, logging_strategy="no", seed=0,
    )
    data = Dataset.from_dict({"prompt": [f"w{number}" for number in range(4)]})
    trainer = GRPOTrainer(
        LlamaForCausalLM(config), reward, args=arguments, train_dataset=data, processing_class=tokenizer()
    )
    trainer.train(resume_from_checkpoint=resume or None)
    return seen


with tempfile.TemporaryDirectory() as folder:
    straight = train(folder, 12)
with tempfile.TemporaryDirectory() as folder:
    before = train(folder, 6)
    after = train(folder, 12, resume=True)
print("straight:         ", " ".join(straight))
print("stopped, resumed: ", " ".join(before), "|", " ".join(after))
assert before == straight[:6]
assert after != straight[6:], "a resumed training goes on in the order of the straight one"
EOF
