"""The gate of supervised training of vision-language models.

1. *sanity*: parameters move, the loss is finite, and the training supervises the answers and nothing else;
2. *fit*: the true answers are likely, token by token, and every one of their tokens is the likeliest;
3. *picture*: without pixels they are not, where the same question has different answers.

What is trained on goes through `collate`; what is measured here is put together row by row from prompt and answer, so
that labels on the wrong tokens, or pictures of other rows, are not measured by themselves.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from posttrain.config import TrialConfig
from posttrain.data import Row
from posttrain.models.loading import evaluating
from posttrain.models.vlm import VisionLanguageModel
from posttrain.models.vlm_rows import IGNORED, EncodedRow, supervised_share
from posttrain.overfit.sft_diagnosis import Measured, diagnose
from posttrain.overfit.short import OnStep, Watch, moved, number, shortened, train_briefly, trainable
from posttrain.overfit.verdict import Check, Verdict
from posttrain.training.chat_bench import ChatBench
from posttrain.training.train import attached

_PIXELS = ("pixel_values", "pixel_values_videos")


def short(config: TrialConfig, bench: ChatBench) -> TrialConfig:
    """The trial with the gate's length, batch and seed, and everything else its own."""
    return shortened(config)


def run(
    config: TrialConfig,
    bench: ChatBench,
    samples: Sequence[Row],
    should_stop: Callable[[], bool] = lambda: False,
    on_step: OnStep = lambda *_: None,
) -> Verdict:
    """Trains on the samples and measures; the model is left as it was."""
    started = time.perf_counter()
    few = FewAnswers(bench.chat, samples)
    watch = Watch(should_stop, bench.device, on_step)
    brief = short(config, bench)
    with attached(brief, bench) as strategy:
        initial = few.fit().loss
        before = trainable(bench.model)
        steps = train_briefly(brief, bench, strategy, samples, watch)
        measured = _measure(few, steps, tuple(watch.losses), moved(before, bench.model), initial)
    return Verdict.of(diagnose(config, measured), _checks(config, measured), steps, started)


@dataclass(frozen=True)
class Fit:
    """The loss per answer token in nats, and the share of answer tokens that are the likeliest; means over tokens."""

    loss: float
    token_accuracy: float


class FewAnswers:
    """The gate's rows, each a batch of its own."""

    def __init__(self, chat: VisionLanguageModel, rows: Sequence[Row]) -> None:
        self._chat = chat
        self._rows = list(rows)
        self._encoded = [chat.encoder.encode(row) for row in rows]

    def fit(self) -> Fit:
        """Of all rows."""
        return self._mean(range(len(self._rows)), blind=False)

    def blindness(self) -> float | None:
        """How much higher the loss is with every pixel zero; None where no question has two different answers."""
        asked = [row.turns for row in self._rows]
        answers = {turns: {row.target for row in self._rows if row.turns == turns} for turns in asked}
        telling = [position for position, row in enumerate(self._rows) if len(answers[row.turns]) > 1]
        seen = [position for position in telling if self._encoded[position].media]
        if not seen:
            return None
        return self._mean(seen, blind=True).loss - self._mean(seen, blind=False).loss

    def supervised(self) -> tuple[float, float]:
        """The share of tokens that the training is over, and the share that answers are of prompts and answers."""
        prompts = sum(len(row.prompt_L) for row in self._encoded)
        answers = sum(len(row.answer_A) for row in self._encoded)
        return supervised_share(self._chat.collate(self._rows)), answers / (prompts + answers)

    def _mean(self, positions: Sequence[int], *, blind: bool) -> Fit:
        losses, right = [], []
        with evaluating([self._chat.model]):
            for position in positions:
                tokens = self._chat.token_losses(_alone(self._encoded[position], blind=blind))
                losses.append(tokens.losses[tokens.supervised])
                right.append(tokens.right[tokens.supervised])
        return Fit(float(torch.cat(losses).mean()), float(torch.cat(right).float().mean()))


def _alone(row: EncodedRow, *, blind: bool) -> dict[str, torch.Tensor]:
    """One row as a batch, its answer supervised."""
    ids = torch.cat([row.prompt_L, row.answer_A])[None]
    labels = torch.cat([torch.full_like(row.prompt_L, IGNORED), row.answer_A])[None]
    kinds = torch.cat([row.kinds_L, torch.zeros_like(row.answer_A)])[None]
    media = {name: torch.zeros_like(value) if blind and name in _PIXELS else value for name, value in row.media.items()}
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "mm_token_type_ids": kinds,
        "labels": labels,
        **media,
    }


def _measure(few: FewAnswers, steps: int, losses: tuple[float, ...], moved: bool, initial: float) -> Measured:
    share, expected = few.supervised()
    start = Measured(steps, losses, moved, share, expected, initial)
    if not all(map(math.isfinite, losses)):
        return start
    fit = few.fit()
    fitted = Measured(steps, losses, moved, share, expected, initial, fit.loss, fit.token_accuracy)
    if not math.isfinite(fit.loss):
        return fitted
    return Measured(steps, losses, moved, share, expected, initial, fit.loss, fit.token_accuracy, few.blindness())


def _checks(config: TrialConfig, measured: Measured) -> list[Check]:
    limits = config.overfit
    assert limits is not None
    checks = [
        Check("finite_loss", measured.finite, measured.losses[-1] if measured.finite else None, None),
        Check("parameters_moved", measured.moved, None, None),
        Check(
            "supervised_tokens",
            measured.supervises_answers,
            measured.supervised,
            measured.answers,
            "the share of tokens in the loss, and the share that are answers: equal",
        ),
    ]
    if measured.finite and measured.fitted is not None:
        accuracy = measured.token_accuracy
        fits = measured.fitted <= limits.answer_loss
        checks.append(Check("fit", fits, number(measured.fitted), limits.answer_loss, "at most"))
        checks.append(Check("answer_tokens", accuracy == 1.0, accuracy, 1.0, "at least"))
        gain = measured.gain
        checks.append(
            Check("uses_picture", True, None, limits.image_gain, "skipped: no question has two different answers")
            if gain is None
            else Check("uses_picture", gain >= limits.image_gain, number(gain), limits.image_gain, "at least")
        )
    return checks
