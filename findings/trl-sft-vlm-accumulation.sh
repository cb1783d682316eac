#!/usr/bin/env bash
# TRL: for Qwen-VL models SFTTrainer weighs answers by the micro-batch that they fall into, not by their tokens.
#
# Versions: trl 1.16.0, transformers 5.23.0, torch 2.13.0, Python 3.11 on Linux.
# Expected: a batch of four rows trains the same model as two accumulated micro-batches of two, as it does for text models.
# Seen:     it does not, where answers differ in length. `Qwen2_5_VLForConditionalGeneration` and `Qwen3VL...` say
#           `accepts_loss_kwargs = False`, which is meant for their own loss; the Trainer then counts no tokens, and TRL's
#           loss, which is used in its place and could take the count, falls back to the mean of each micro-batch.
# Output (2026-11-28):
#   largest difference of a weight after one step, four rows against two times two:
#   LlamaForCausalLM: 2.4e-09
#   Qwen2_5_VLForConditionalGeneration: 2.6e-02; with model_accepts_loss_kwargs = True: 1.2e-09
set -euo pipefail

pins=(trl==1.16.0 transformers==5.23.0 torch==2.13.0)
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

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PrinterCallback,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)
from trl import SFTConfig, SFTTrainer

WORDS = ["<pad>", "<eos>", *(f"w{number}" for number in range(30))]
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<pad>")),
    pad_token="<pad>",
    eos_token="<eos>",
)
ANSWERS = (1, 2, 4, 7)  # tokens of the four rows' answers: no two pairs have as many
SIZES = {
    "vocab_size": len(WORDS), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 2, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1,
}


def llama():
    return LlamaForCausalLM(LlamaConfig(**SIZES))


def qwen():
    text = {**SIZES, "rope_scaling": {"type": "default", "mrope_section": [1, 1, 2]}}
    vision = {"depth": 1, "hidden_size": 16, "out_hidden_size": 16, "intermediate_size": 16, "num_heads": 2}
    return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision))


def collate(rows):
    """Eight tokens a row, of which the last ones are the answer."""
    ids = torch.stack([torch.arange(8) * (row["position"] + 3) % 28 + 2 for row in rows])
    labels = ids.clone()
    for row, line in zip(rows, labels):
        line[: -ANSWERS[row["position"]]] = -100
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def after_one_step(make, micro_batch, counts):
    torch.manual_seed(0)
    model = make().double()
    settings = SFTConfig(
        output_dir="out", max_steps=1, per_device_train_batch_size=micro_batch, report_to="none", use_cpu=True,
        gradient_accumulation_steps=4 // micro_batch, optim="sgd", learning_rate=0.1, lr_scheduler_type="constant",
        max_grad_norm=0.0, save_strategy="no", logging_strategy="no", disable_tqdm=True, bf16=False,
        activation_checkpointing=False, max_length=None, dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False, seed=2,
    )
    trainer = SFTTrainer(
        model=model, args=settings, train_dataset=Dataset.from_dict({"position": range(4)}), data_collator=collate,
        processing_class=tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    if counts:
        trainer.model_accepts_loss_kwargs = True
    trainer.train()
    return [value.detach().clone() for value in model.parameters()]


def difference(make, counts=False):
    whole, cut = (after_one_step(make, rows, counts) for rows in (4, 2))
    return max(float((one - other).abs().max()) for one, other in zip(whole, cut))


text, seeing, counted = difference(llama), difference(qwen), difference(qwen, counts=True)
print("largest difference of a weight after one step, four rows against two times two:")
print(f"LlamaForCausalLM: {text:.1e}")
print(f"Qwen2_5_VLForConditionalGeneration: {seeing:.1e}; with model_accepts_loss_kwargs = True: {counted:.1e}")
assert text < 1e-6
assert counted < 1e-6
assert seeing > 1e-3, "the tokens are counted now"
EOF
