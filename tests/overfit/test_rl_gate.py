"""The gate of reinforcement learning passes sound trainings and names what is wrong with broken ones."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from posttrain.data import Row
from posttrain.errors import RewardError
from posttrain.overfit import rl
from posttrain.overfit.gate import few_samples, gate
from posttrain.overfit.rl import run
from posttrain.overfit.verdict import Verdict
from posttrain.training.chat_bench import ChatBench
from posttrain.training.observer import StopRequested
from tests.rl_trial import rl_bench, rl_config

pytestmark = pytest.mark.slow

AGAINST = {"strategy.rewards": {"accuracy": {"weight": -1.0}}}
OWN = """
import hashlib
def same(question, choices, answer, completion, **row):
    return 0.5
def wrong(question, choices, answer, completion, **row):
    return float(answer not in completion)
def noise(question, choices, answer, completion, **row):
    return hashlib.md5((completion + row["id"]).encode()).digest()[0] / 255
"""


@pytest.fixture(scope="module")
def bench() -> ChatBench:
    return rl_bench()


@pytest.fixture(autouse=True)
def asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All questions in one batch: an answer does not depend on those beside it, and a CPU is done four times sooner."""
    monkeypatch.setattr(rl, "_BATCH", rl.NUM_ANSWERS)


def verdict(bench: ChatBench, changes: Mapping[str, Any], samples: Sequence[Row] | None = None) -> Verdict:
    config = rl_config(changes)
    before = [value.clone() for value in bench.base.parameters()]
    found = run(config, bench, samples or few_samples(config, bench))
    assert bench.chat.model is bench.base
    assert all(torch.equal(a, b) for a, b in zip(before, bench.base.parameters(), strict=True))
    assert not any(value.requires_grad or value.grad is not None for value in bench.base.parameters())
    return found


def values(found: Verdict) -> dict[str, float | None]:
    return {check.name: check.value for check in found.checks}


def test_a_sound_training_passes(bench: ChatBench) -> None:
    found = verdict(bench, {"overfit.steps": 14})
    assert found.passed
    assert found.diagnosis is None
    measured = values(found)
    assert set(measured) == {
        "finite_loss", "parameters_moved", "fit", "training_reward", "right_answers", "equal_reward_groups",
        "cut_completions", "grad_norm",
    }  # fmt: skip
    assert all(check.passed for check in found.checks)
    right_answers, fit = measured["right_answers"], measured["fit"]
    assert right_answers is not None
    assert right_answers > 0.2
    assert fit is not None
    assert found.score == fit < 0.2


def own(name: str, folder: Path) -> dict[str, Any]:
    (folder / "rewards.py").write_text(OWN)
    return {"strategy.rewards": {name: {"file": str(folder / "rewards.py")}}, "strategy.allow_code": True}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"overfit.steps": 4, "training.learning_rate": 3e-3, **AGAINST}, "wrong_reward"),
        ({"overfit.steps": 4, "training.learning_rate": 3e-3, "own": "wrong"}, "wrong_reward"),
        ({"overfit.steps": 6, "training.learning_rate": 2e-3, "own": "noise"}, "wrong_reward"),
        ({"overfit.steps": 1, "own": "same"}, "constant_reward"),
        ({"overfit.steps": 1, "strategy.max_completion_tokens": 4}, "always_cut"),
        ({"overfit.steps": 2, "training.learning_rate": 1e-6}, "too_slow"),
        ({"overfit.steps": 4, "training.learning_rate": 2e-2}, "diverged"),
        ({"overfit.steps": 4, "training.learning_rate": 1e9}, "not_finite"),
        ({"overfit.steps": 4, "training.learning_rate": 1e-4}, "underfits"),
    ],
)
def test_a_broken_training_is_told_apart(bench: ChatBench, tmp_path: Path, changes: dict[str, Any], code: str) -> None:
    changes = dict(changes)
    if "own" in changes:
        changes |= own(changes.pop("own"), tmp_path)
    found = verdict(bench, changes)
    assert not found.passed
    assert found.diagnosis is not None
    assert found.diagnosis.code == code, found


def test_a_base_that_is_never_right_needs_examples_first(bench: ChatBench) -> None:
    rows = few_samples(rl_config(), bench)
    strange = [dataclasses.replace(row, choices=("twelve", "twenty"), answer="twelve") for row in rows]
    found = verdict(bench, {"overfit.steps": 1, "strategy.rewards": {"accuracy": {"weight": 1.0}}}, strange)
    assert found.diagnosis is not None
    assert found.diagnosis.code == "no_signal"
    assert "`type: full`" in found.reason


def test_what_the_base_solves_counts_as_passed(bench: ChatBench) -> None:
    found = verdict(bench, {"strategy.rewards": {"format": {"weight": 1.0}}})
    assert found.passed
    assert found.steps == 0
    assert "solves all samples already" in found.checks[0].note


def test_a_reward_that_raises_is_no_verdict(bench: ChatBench, tmp_path: Path) -> None:
    (tmp_path / "rewards.py").write_text("def mine(question, choices, answer, completion, **row):\n    return None\n")
    changes = {"strategy.rewards": {"mine": {"file": str(tmp_path / "rewards.py")}}, "strategy.allow_code": True}
    with pytest.raises(RewardError, match="returned nothing"):
        verdict(bench, changes)


def test_breaks_off_when_asked(bench: ChatBench) -> None:
    config = rl_config()
    with pytest.raises(StopRequested):
        run(config, bench, few_samples(config, bench), lambda: True)
    assert bench.chat.model is bench.base


def test_the_cached_verdict_follows_the_rewards_file(bench: ChatBench, tmp_path: Path) -> None:
    code = "def mine(question, choices, answer, completion, **row):\n    return {}\n"
    changes = own("mine", tmp_path) | {"overfit.steps": 1, "overfit.samples": 2}
    (tmp_path / "rewards.py").write_text(code.format(1.0))
    assert gate(rl_config(changes), bench).passed
    (tmp_path / "rewards.py").write_text(code.format(0.5))
    assert not gate(rl_config(changes), bench).passed
