#!/usr/bin/env bash
# TRL: SFTTrainer leaves out the rows whose prompt alone fills max_length, and says neither which nor how many.
#
# Versions: trl 1.16.0, transformers 5.23.0, torch 2.13.0, datasets 5.2.0, Python 3.11 on Linux.
# Expected: rows of prompt and completion that are too long for max_length are cut, as the option's name says, or
#           counted in a warning.
# Seen:     rows are cut on the right; where nothing of the completion is left the row is removed from the training set.
#           The only trace is the title of a progress bar, "Dropping fully masked examples": no number, no warning. If
#           it was the last row, the error is one about a sampler (num_samples=0). max_length is 1024 by default.
# Output (2026-11-28): 8 rows given, 2 kept; messages about it: none
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
import warnings

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

WORDS = ["<pad>", "<eos>", *(f"w{number}" for number in range(16))]
words = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<pad>"))
words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=len(WORDS), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
    num_key_value_heads=2, pad_token_id=0, eos_token_id=1, bos_token_id=1,
)
long, short = "w1 w2 w3 w4 w5 w6 w7 w8 ", "w1 w2 w3 "
data = Dataset.from_dict({"prompt": [long] * 6 + [short] * 2, "completion": ["w9 w10"] * 8})
said = []


class Listener(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())


for library in ("trl", "transformers", "datasets"):
    logging.getLogger(library).addHandler(Listener())
with tempfile.TemporaryDirectory() as folder:
    arguments = SFTConfig(
        output_dir=folder, num_train_epochs=1, max_length=8, per_device_train_batch_size=2, logging_steps=1,
        report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False, disable_tqdm=True, save_strategy="no",
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer = SFTTrainer(LlamaForCausalLM(config), arguments, train_dataset=data, processing_class=tokenizer)
messages = [*said, *(str(warning.message) for warning in caught)]
told = [text for text in messages if "max_length" in text or "drop" in text]
print(f"8 rows given, {len(trainer.train_dataset)} kept; messages about it: {told or 'none'}")
assert len(trainer.train_dataset) == 2
assert told == []
EOF
