"""GRPO through TRL: the same answers however a batch is cut, the right log-probabilities, nothing left behind."""

from pathlib import Path
from typing import Any

import pytest
import torch

from posttrain.config import RlConfig, TrialConfig
from posttrain.data import Row, Stage
from posttrain.errors import RewardError
from posttrain.evaluation.answers import answers
from posttrain.evaluation.rewards import Rewards
from posttrain.models.sampling import seed_of
from posttrain.paths import TrialPaths
from posttrain.training.chat_bench import ChatBench
from posttrain.training.draws import Draws
from posttrain.training.grpo import RolloutTrainer, scorer
from posttrain.training.train import attached, plan_draws, train
from tests.chat import digits
from tests.float64 import in_float64, train_in_float64
from tests.look import Look
from tests.rl_trial import open_rl_bench, rl_bench, rl_config
from tests.tiny_trial import Listener
from tests.training.orders import REWARDED, REWARDED_AGAIN
from tests.training.trial_files import (
    assert_close_trials,
    assert_same_trial,
    checkpoint,
    checkpoint_steps,
    curves,
)

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("chat_group")]
NAMES = ("tiny:qwen2.5-vl", pytest.param("tiny:qwen3-vl", marks=pytest.mark.full))


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def bench(name: str) -> ChatBench:
    return rl_bench(name)


@pytest.fixture(scope="module")
def config(name: str) -> TrialConfig:
    return rl_config({"model.checkpoint": name})


@pytest.fixture(scope="module")
def straight(config: TrialConfig, bench: ChatBench, tmp_path_factory: pytest.TempPathFactory) -> TrialPaths:
    """Six steps, measured at 3 and 6."""
    paths = TrialPaths(tmp_path_factory.mktemp("straight"))
    before = Look(bench.chat.model)
    assert train(config, bench, paths, Listener()).status == "completed"
    assert bench.chat.model is bench.base
    assert Look(bench.chat.model) == before
    assert "forward" not in bench.base.__dict__
    return paths


def test_what_is_told_of_each_step(straight: TrialPaths) -> None:
    told = {tag: dict(points) for tag, points in curves(straight).items()}
    assert set(told) >= {
        f"train/{each}"
        for each in (
            "loss", "grad_norm", "learning_rate", "reward", "reward_std", "reward_accuracy", "reward_accuracy_std",
            "reward_format", "reward_format_std", "equal_reward_groups", "entropy", "clipped_ratios",
            "cut_completions", "completion_tokens",
        )
    }  # fmt: skip
    for step in told["train/reward"]:
        parts = told["train/reward_accuracy"][step] + 0.2 * told["train/reward_format"][step]
        assert told["train/reward"][step] == pytest.approx(parts, abs=1e-5)
        assert 0 < told["train/completion_tokens"][step] <= 20
        assert 0 <= told["train/equal_reward_groups"][step] <= 1
    assert any(0 < value < 1 for value in told["train/equal_reward_groups"].values())
    assert {"held_out/reward", "held_out/accuracy", "held_out/format", "held_out/loss"} <= set(told)


def test_the_measured_reward_is_that_of_the_likeliest_answers(config: TrialConfig, bench: ChatBench) -> None:
    rows = bench.dataset.suites["held_out"]
    found = bench.evaluate(config, None).values
    said = answers(bench.chat, rows, max_new_tokens=20, batch_size=5)
    assert found["held_out/accuracy"] == float(said.right_N.mean())
    assert found["held_out/reward"] == pytest.approx(float(said.right_N.mean() + 0.2 * said.formed_N.mean()))
    assert isinstance(config.strategy, RlConfig)
    assert said.num_tokens == [len(_tokens(bench, text)) + 1 for text in said.texts]


def _tokens(bench: ChatBench, text: str) -> list[int]:
    return list(bench.chat.processor.tokenizer(text)["input_ids"])


def test_interrupted_and_resumed_is_straight(
    config: TrialConfig, bench: ChatBench, straight: TrialPaths, tmp_path: Path
) -> None:
    paths = TrialPaths(tmp_path)
    assert train(config, bench, paths, Listener(interrupt_at=2)).status == "interrupted"
    assert train(config, bench, paths, Listener(interrupt_at=3)).status == "interrupted"
    assert train(config, bench, paths, Listener()).status == "completed"
    assert_same_trial(paths, straight, 6, train_curves=False)
    assert checkpoint_steps(paths) == checkpoint_steps(straight)


def test_answers_train_several_steps_and_their_ratios_are_clipped(tmp_path: Path) -> None:
    """Also when a trial is interrupted between two steps on the same answers."""
    bench = rl_bench()
    changes = {"strategy.iterations": 3, "strategy.epsilon": 0.01, "evaluation.every": 6, "training.steps": 6}
    whole, parts = TrialPaths(tmp_path / "whole"), TrialPaths(tmp_path / "parts")
    outcome = train(rl_config(changes), bench, whole, Listener())
    assert outcome.mixture == {"all": {"choice": 8}}  # two batches of four questions
    draws = plan_draws(rl_config(changes), bench)
    questions = [bench.chat.encoder.encode(draws.sample(position)).prompt_L for position in range(8)]
    expected = {"samples": 8, "epochs": 8 / len(bench.dataset.train["choice"]), "tokens": sum(map(len, questions))}
    assert outcome.exposure == {"all": {"choice": expected}}
    clipped = dict(curves(whole)["train/clipped_ratios"])
    assert clipped[1] == 0
    assert clipped[6] > 0
    assert train(rl_config(changes), bench, parts, Listener(interrupt_at=2)).status == "interrupted"
    assert train(rl_config(changes), bench, parts, Listener(interrupt_at=2)).status == "interrupted"
    assert train(rl_config(changes), bench, parts, Listener()).status == "completed"
    assert_same_trial(parts, whole, 6, train_curves=False)


def test_memory_is_saved_without_a_trace(name: str, bench: ChatBench, tmp_path: Path) -> None:
    """In float64: the answers, and weights that differ by rounding alone however they are computed."""
    brief = {"model.checkpoint": name, "training.steps": 2, "evaluation.every": 2}
    sparing = {"training.micro_batch_size": 1, "training.gradient_checkpointing": True}
    exact = train_in_float64(rl_config(brief), bench, tmp_path / "exact")
    assert_close_trials(train_in_float64(rl_config({**brief, **sparing}), bench, tmp_path / "sparing"), exact, 2)


@pytest.fixture(scope="module")
def alone() -> ChatBench:
    """The base that two workers train, for the same trials by one; like theirs it begins in float64."""
    return open_rl_bench(rl_config(REWARDED))


def test_two_workers_are_one(chat_group: Path, alone: ChatBench, tmp_path: Path) -> None:
    """Also where they accumulate."""
    one = train_in_float64(rl_config(REWARDED), alone, tmp_path)
    for name in ("rl-two", "rl-cut"):
        assert_close_trials(TrialPaths(chat_group / name), one, 2)


def test_two_workers_train_on_the_same_answers_again(chat_group: Path, alone: ChatBench, tmp_path: Path) -> None:
    one = train_in_float64(rl_config(REWARDED_AGAIN), alone, tmp_path)
    assert_close_trials(TrialPaths(chat_group / "rl-again"), one, 4)


def test_what_a_reward_raises_on_one_worker_both_raise(chat_group: Path) -> None:
    for output in [(chat_group / f"output-{rank}.txt").read_text() for rank in range(2)]:
        assert "rl-bad refused strategy.rewards.mine" in output
        assert "returned nothing" in output


def _mixed() -> list[Row]:
    """A question with one picture, one with two, one with a clip, and one without media."""
    import dataclasses

    one, other = digits("choice")[:2]
    two = dataclasses.replace(
        one,
        id="two",
        turns=(("user", "<image>\n<image>\nWhich digit is written here?"),),
        images=(*one.images, *other.images),
        media_hashes=(*one.media_hashes, *other.media_hashes),
    )
    none = dataclasses.replace(
        one, id="none", turns=(("user", "Which digit is seven?"),), images=(), media_hashes=(), choices=()
    )
    return [one, two, digits("motion")[0], none]


def test_log_probabilities_are_the_models_own_for_any_media(
    name: str, bench: ChatBench, config: TrialConfig, tmp_path: Path
) -> None:
    rows, generations = _mixed(), 2
    config = rl_config({"model.checkpoint": name, "strategy.generations": generations, "strategy.temperature": 1.3})
    draws = Draws(0, [Stage("all", 24, {"mixed": 1.0})], {"mixed": rows})
    drawn = [draws.sample(position) for position in range(4)]
    assert {row.id for row in drawn} == {row.id for row in rows}
    with in_float64(bench), attached(config, bench):
        trainer: Any = bench.trainer(config, draws, tmp_path, log_every=1)
        assert isinstance(trainer, RolloutTrainer)
        trainer.model.train()
        inputs = [{"draw": draw, "prompt": ""} for draw in range(4) for _ in range(generations)]
        batch = trainer._generate_and_score_completions(inputs)
        order = [5, 0, 7, 2, 1, 6, 3, 4]  # as TRL shuffles a batch
        trainer._rows = [drawn[place // generations] for place in order]
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)[order]
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)[order]
        keep = batch["completion_ids"].shape[1]
        with torch.no_grad():
            logps, entropies, _ = trainer._get_per_token_logps_and_entropies(
                trainer.model, ids, mask, keep, batch_size=3, compute_entropy=True
            )
        for place, found, entropy in zip(order, logps, entropies, strict=True):
            length = int(batch["completion_mask"][place].sum())
            answer = batch["completion_ids"][place, :length]
            expected = _alone(bench, drawn[place // generations], answer) / 1.3
            chances = expected.log_softmax(-1)
            torch.testing.assert_close(found[:length], chances[range(length), answer], rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(entropy[:length], -(chances.exp() * chances).sum(-1), rtol=1e-9, atol=1e-9)
            assert answer.tolist() == _sampled(bench, drawn[place // generations], place, generations)


def _alone(bench: ChatBench, row: Row, answer: torch.Tensor) -> torch.Tensor:
    """The logits of each token of an answer to a row that is in no batch, (A, V)."""
    prompts = bench.chat.encoder.prompts([row])
    width = prompts["input_ids"].shape[1]
    zeros = torch.zeros_like(answer)[None]
    prompts["input_ids"] = torch.cat([prompts["input_ids"], answer[None]], 1)
    prompts["attention_mask"] = torch.cat([prompts["attention_mask"], zeros + 1], 1)
    prompts["mm_token_type_ids"] = torch.cat([prompts["mm_token_type_ids"], zeros], 1)
    with torch.no_grad():
        return bench.base(**prompts).logits[0, width - 1 : -1]  # type: ignore[no-any-return]


def _sampled(bench: ChatBench, row: Row, place: int, generations: int) -> list[int]:
    """The answer to a row alone, from the seed that it has in a batch."""
    from posttrain.models.sampling import GumbelSampler, answer_tokens

    seed = seed_of(0, place // generations, place % generations)
    sampler = GumbelSampler([seed], 1.3, bench.device)
    prompts = bench.chat.encoder.prompts([row])
    tokenizer = bench.chat.processor.tokenizer
    return answer_tokens(bench.base, tokenizer, prompts, max_new_tokens=20, sampler=sampler)[0]


def test_groups_that_earn_the_same_move_nothing(tmp_path: Path) -> None:
    """0.3 + 0.1 of eight equal answers is not exactly their mean in float32: TRL alone would train on that."""
    bench = rl_bench()
    (tmp_path / "rewards.py").write_text(
        "def flat(question, choices, answer, completion, **row):\n    return 0.1 + 0.2\n"
    )
    own = {"flat": {"file": str(tmp_path / "rewards.py"), "weight": 0.7}}
    brief = {"training.steps": 1, "evaluation.every": 1, "strategy.generations": 6}
    config = rl_config({"strategy.rewards": own, "strategy.allow_code": True, **brief})
    train(config, bench, TrialPaths(tmp_path / "trial"), Listener())
    told = curves(TrialPaths(tmp_path / "trial"))
    assert told["train/equal_reward_groups"] == [(1, 1.0)]
    assert told["train/grad_norm"] == [(1, 0.0)]
    found = bench.chat.read("", checkpoint(TrialPaths(tmp_path / "trial"), 1))
    assert all(torch.equal(found[name], value) for name, value in bench.base.state_dict().items())


def test_kl_is_measured_from_the_base(tmp_path: Path) -> None:
    bench, paths = rl_bench(), TrialPaths(tmp_path)
    config = rl_config({"strategy.kl": 0.05, "evaluation.every": 3, "training.steps": 3, "training.seed": 3})
    before = Look(bench.base)
    train(config, bench, paths, Listener())
    divergence = [value for _, value in curves(paths)["train/kl"]]
    assert divergence[0] == pytest.approx(0, abs=1e-6)
    assert divergence[-1] > 1e-5
    assert "forward" not in bench.base.__dict__
    assert Look(bench.base) == before


def test_frozen_parts_stay_and_bf16_trains(tmp_path: Path) -> None:
    bench = rl_bench(precision="bf16")
    brief = {"training.precision": "bf16", "training.steps": 2, "evaluation.every": 2}
    config = rl_config({"strategy.freeze": ("model.visual",), **brief})
    train(config, bench, TrialPaths(tmp_path), Listener())
    found = bench.chat.read("", checkpoint(TrialPaths(tmp_path), 2))
    base = bench.base.state_dict()
    moved = {name for name, value in found.items() if not torch.equal(value, base[name].float())}
    assert moved
    assert not any(name.startswith("model.visual") for name in moved)


def test_a_reward_that_raises_ends_the_trial_and_leaves_the_base(tmp_path: Path) -> None:
    bench = rl_bench()
    (tmp_path / "rewards.py").write_text("def mine(question, choices, answer, completion, **row):\n    return 1 / 0\n")
    own = {"mine": {"file": str(tmp_path / "rewards.py")}}
    config = rl_config({"strategy.rewards": own, "strategy.allow_code": True})
    before = Look(bench.base)
    with pytest.raises(RewardError, match=r"mine of .*rewards.py raised ZeroDivisionError: .* for row choice/"):
        train(config, bench, TrialPaths(tmp_path / "trial"), Listener())
    assert bench.chat.model is bench.base
    assert Look(bench.base) == before


def test_completions_are_judged_with_the_thought_that_the_prompt_opened() -> None:
    strategy = RlConfig(type="rl", rewards={"format": {"weight": 1.0}})
    (form,) = Rewards.load(strategy, Path()).components
    row = digits("choice")[0]
    said = [f"hm</think><answer>{row.answer}</answer>", f"<answer>{row.answer}</answer>"]
    assert scorer(form, "<think>\n")(said, [[1], [1]], [row, row]) == [1.0, 0.0]
    assert scorer(form, "")(said, [[1], [1]], [row, row]) == [0.0, 0.0]
