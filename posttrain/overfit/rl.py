"""The gate of reinforcement learning: does the reward rise on a few questions, and do right answers with it?

1. *sanity*: the loss is finite, parameters move;
2. *training*: the mean reward of the last fifth of the steps is above that of the first;
3. *fit*: answers sampled afresh, with the same fixed seeds before and after, earn more;
4. *right answers*: there are more of them, for a wrong reward rises too.

Samples that the base solves already count as passed.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from posttrain.config import RlConfig, TrialConfig
from posttrain.data import Row
from posttrain.evaluation.answers import answers
from posttrain.evaluation.rewards import Rewards
from posttrain.overfit.rl_diagnosis import Measured, Sampled, checks, diagnose
from posttrain.overfit.short import OnStep, Watch, moved, shortened, train_briefly, trainable
from posttrain.overfit.verdict import Check, Verdict
from posttrain.training.chat_bench import ChatBench
from posttrain.training.train import attached

NUM_ANSWERS = 128  # with 32 the share of right answers is uncertain by 0.09
_BATCH = 32
_SEED = 0


def short(config: TrialConfig, bench: ChatBench) -> TrialConfig:
    """The trial with the gate's length, batch and seed, and everything else its own."""
    brief = shortened(config)
    return brief.model_copy(update={"evaluation": brief.evaluation.model_copy(update={"every": 1})})  # logs each step


def run(
    config: TrialConfig,
    bench: ChatBench,
    samples: Sequence[Row],
    should_stop: Callable[[], bool] = lambda: False,
    on_step: OnStep = lambda *_: None,
) -> Verdict:
    """Trains on the samples and measures; the model is left as it was.

    Raises:
        RewardError: a reward of the user's own goes wrong.
    """
    started = time.perf_counter()
    asked = _Questions(config, bench, samples)
    before = asked.ask()
    if bool(asked.solved(before).all()):
        return _solved(before, started)
    watch = Watch(should_stop, bench.device, on_step)
    brief = short(config, bench)
    with attached(brief, bench) as strategy:
        weights = trainable(bench.model)
        steps = train_briefly(brief, bench, strategy, samples, watch)
        measured = _of_training(watch, asked.rewards, steps, moved(weights, bench.model))
        if measured.finite:
            measured = replace(measured, sampled=asked.compared(before, asked.ask()))
    return Verdict.of(diagnose(config, measured), checks(config, measured), steps, started)


@dataclass(frozen=True)
class _Asked:
    """Answers of K rounds to N samples."""

    scores_NK: torch.Tensor
    right_NK: torch.Tensor
    texts: list[str]


class _Questions:
    """The samples, each asked as often as makes `NUM_ANSWERS` answers, with seeds of their own."""

    def __init__(self, config: TrialConfig, bench: ChatBench, samples: Sequence[Row]) -> None:
        assert isinstance(config.strategy, RlConfig)
        assert config.overfit is not None
        self.rewards = bench.rewards(config.strategy)
        self._strategy = config.strategy
        self._gain = config.overfit.reward_gain
        self._chat = bench.chat
        rounds = -(-NUM_ANSWERS // len(samples))
        self._num_samples = len(samples)
        self._rows = [replace(row, id=f"{row.id} (asked again {k})") for row in samples for k in range(rounds)]

    def ask(self) -> _Asked:
        """Samples the answers of the model as it is now."""
        said = answers(
            self._chat,
            self._rows,
            max_new_tokens=self._strategy.max_completion_tokens,
            batch_size=_BATCH,
            temperature=self._strategy.temperature,
            seed=_SEED,
        )
        scores = score(said.rewarded(self._rows, self.rewards), self.rewards)
        return _Asked(scores.view(self._num_samples, -1), said.right_N.view(self._num_samples, -1), said.texts)

    def solved(self, before: _Asked) -> torch.Tensor:
        """Samples whose score cannot rise by what is asked of the others, (N,)."""
        return before.scores_NK.mean(1) > 1 - self._gain

    def compared(self, before: _Asked, after: _Asked) -> Sampled:
        """The numbers that the verdict is about."""
        unsolved = ~self.solved(before)
        same = [old == new for old, new in zip(before.texts, after.texts, strict=True)]
        return Sampled(
            before=float(before.scores_NK[unsolved].mean()),
            after=float(after.scores_NK[unsolved].mean()),
            right_before=float(before.right_NK[unsolved].mean()),
            right_after=float(after.right_NK[unsolved].mean()),
            unchanged=sum(same) / len(same),
        )


def score(totals: torch.Tensor, rewards: Rewards) -> torch.Tensor:
    """Weighted sums as a share of what lies between the worst and the best."""
    return (totals - rewards.worst) / rewards.reach


def _of_training(watch: Watch, rewards: Rewards, steps: int, has_moved: bool) -> Measured:
    history = watch.history
    fifth = max(1, len(history) // 5)
    first, last = history[:fifth], history[-fifth:]
    about = [component.weight for component in rewards.components if component.name == "accuracy"]
    return Measured(
        steps=steps,
        loss=watch.losses[-1],
        moved=has_moved,
        grad_norm=max(each.get("train/grad_norm", math.nan) for each in history),
        first=float(score(_mean(first, "train/reward"), rewards)),
        last=float(score(_mean(last, "train/reward"), rewards)),
        equal_groups=float(_mean(first, "train/equal_reward_groups")),
        cut=float(_mean(first, "train/cut_completions")),
        accuracy_share=abs(math.fsum(about)) / rewards.reach,
    )


def _mean(history: Sequence[Mapping[str, float]], name: str) -> torch.Tensor:
    """Of the steps that log it: answers are sampled and rewarded in the first of `strategy.iterations` alone."""
    found = [each[name] for each in history if name in each]
    return torch.tensor(found or [math.nan], dtype=torch.float64).mean()


def _solved(before: _Asked, started: float) -> Verdict:
    missing = 1 - float(before.scores_NK.mean())
    skipped = Check("fit", True, missing, None, "skipped: the base solves all samples already")
    return Verdict.of(None, [skipped], 0, started)
