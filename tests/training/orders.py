"""What two gloo workers are asked to train: one launch for each kind of model, since imports take longest."""

from pathlib import Path
from typing import Any

from tests.chat_trial import unlike_answers
from tests.tiny_trial import AVERAGED, FULL
from tests.training.group import order

# a dropout mask is drawn for each forward pass, so it depends on how a batch is cut
PLAIN: dict[str, Any] = {"strategy.dropout": 0.0}
STAGED: dict[str, Any] = {
    **PLAIN,
    "evaluation.psnr": None,
    "data.stages": [
        {"name": "broad", "fraction": 0.5, "weights": {"fixed": 0.3, "tracking": 0.7}},
        {"name": "late", "fraction": 0.5, "by": "camera", "where": "quality > 0.5", "learning_rate_factor": 0.5},
    ],
}
ALONE: dict[str, Any] = {**AVERAGED, "evaluation.every": 6}
COPIED = {**ALONE, "resources.workers": 2}
SHARED = {**COPIED, "resources.parallel": "fsdp"}
GATE: dict[str, Any] = {"overfit.steps": 3, "overfit.samples": 2, "overfit.batch_size": 4}
CUT: dict[str, Any] = {"training.micro_batch_size": 1}
# the third trial of a used slot, and the first of a process
THIRD: dict[str, dict[str, Any]] = {
    "lora": {"training.seed": 3, "strategy.rank": 8},
    "averaged": {**AVERAGED, "training.seed": 3},
}

VIDEO = [
    *(order(f"fresh-{name}", changes, alone=True) for name, changes in THIRD.items()),
    order("two", PLAIN),
    order("refused", {**PLAIN, "evaluation.every": 1}),
    order("resumed", PLAIN, interrupt_at=6),
    order("resumed", PLAIN),
    order("staged", {**STAGED, **CUT}),
    order("copied", COPIED),
    order("gate", {**PLAIN, **GATE}),
    order("fsdp", {**SHARED, **CUT, "training.gradient_checkpointing": True}),
    # begun by one worker; the last measurement is told again, which is a question whether to stop, too
    order("handed-on", SHARED, interrupt_at=2),
    order("handed-on", COPIED, interrupt_at=3),
    order("handed-on", SHARED, interrupt_at=3),
    order("fsdp-bf16", {**SHARED, "training.precision": "bf16"}, float64=False),
    order("gate-fsdp", {**FULL, **GATE, "resources.workers": 2, "resources.parallel": "fsdp"}),
]

# an uneven number of batches of questions for two workers, of which the last is cut short
CHAT: dict[str, Any] = {
    "training.steps": 3,
    "evaluation.every": 3,
    "evaluation.suites": {"read": {"source": "read", "samples": 10}, "motion": {"source": "motion", "samples": 2}},
    "evaluation.answers.batch_size": 4,
}
# rows that all have pictures: under FSDP2 the workers must use the vision tower alike
PICTURES: dict[str, Any] = {
    "training.steps": 3,
    "evaluation.every": 3,
    "strategy": {"type": "full", "ema": 0.9},
    "data.sources": {"read": {"path": "demo:digits/read"}},
    "evaluation.suites": {"read": {"source": "read", "samples": 7}},
    "evaluation.answers.batch_size": 2,
}
CHAT_SHARED: dict[str, Any] = {"resources.workers": 2, "resources.parallel": "fsdp"}
REWARDED: dict[str, Any] = {
    "training.steps": 2,
    "evaluation.every": 2,
    "evaluation.suites": {"held_out": {"source": "choice", "samples": 6}},
    "evaluation.answers.batch_size": 4,
}
# answers, the same again, and others
REWARDED_AGAIN: dict[str, Any] = {
    **REWARDED, "strategy.iterations": 2, "training.steps": 4, "evaluation.every": 4
}  # fmt: skip


def unlike_chat(folder: Path) -> dict[str, Any]:
    """`CHAT` over answers of unlike length, which lie in a file below `folder`."""
    return {**CHAT, "data.sources.read.path": unlike_answers(folder)}


def chat(folder: Path) -> list[dict[str, Any]]:
    """Trials of a vision-language model; `folder` gets a reward that goes wrong on one worker."""
    rewards = folder / "rewards.py"
    rewards.write_text(
        "import os\n"
        "def mine(question, choices, answer, completion, **row):\n"
        "    return None if os.environ['RANK'] == '1' else 1.0\n"
    )
    bad = {"strategy.rewards": {"mine": {"file": str(rewards)}}, "strategy.allow_code": True}
    unlike = unlike_chat(folder)
    fsdp = {**PICTURES, **CHAT_SHARED}
    half = {**fsdp, "training.precision": "bf16", "training.gradient_checkpointing": True}
    return [
        order("two", unlike),
        order("cut", {**unlike, "training.micro_batch_size": 1}),
        order("fsdp", fsdp),
        order("fsdp-bf16", half, float64=False),
        order("rl-two", REWARDED, kind="rl"),
        order("rl-cut", {**REWARDED, "training.micro_batch_size": 1}, kind="rl"),
        order("rl-again", REWARDED_AGAIN, kind="rl"),
        order("rl-bad", {**REWARDED, **bad}, kind="rl"),
    ]
