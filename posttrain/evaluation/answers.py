"""What a vision-language model is measured on: the loss on true answers, and the answers that it gives itself.

Questions are taken in fixed batches, and the workers of a trial share the batches: any number of workers computes the
same numbers, bit for bit.

Shapes: N rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from posttrain.config import AnswersConfig
from posttrain.data import Row
from posttrain.data.answer_text import answers_in
from posttrain.evaluation.matching import right, well_formed
from posttrain.evaluation.ranks import gather, shared_items, together, turns
from posttrain.evaluation.rewards import Rewards, Said, question_of
from posttrain.evaluation.suites import Answered
from posttrain.models.loading import evaluating
from posttrain.models.vlm import VisionLanguageModel

NUM_SHOWN = 8  # answers of a suite that people look at
# An answer may be longer than the longest true one of its suite by half, and by this many tokens: with less room a
# long wrong answer might be cut where it still looks right.
_SPARE_TOKENS = 8


@dataclass(frozen=True)
class Answers:
    """What a model said to N rows, whether it was right, and whether it was in the form that was asked for."""

    texts: list[str]
    num_tokens: list[int]
    right_N: torch.Tensor
    formed_N: torch.Tensor

    def rewarded(self, rows: Sequence[Row], rewards: Rewards) -> torch.Tensor:
        """The weighted sum of the rewards of each, (N,).

        Raises:
            RewardError: a reward of the user's own goes wrong; on every worker.
        """
        said = map(Said, rows, self.texts, self.num_tokens)
        with together():
            return torch.tensor([rewards.total(rewards.values(each)) for each in said], dtype=torch.float64)

    def shown(self, rows: Sequence[Row]) -> list[Answered]:
        """The first ones, to look at."""
        kept = list(zip(rows, self.texts, self.right_N.tolist(), strict=True))[:NUM_SHOWN]
        return [Answered(question_of(row), row.answer, text, bool(is_right)) for row, text, is_right in kept]


def answer_losses(chat: VisionLanguageModel, rows: Sequence[Row], batch_size: int) -> torch.Tensor:
    """Cross-entropy of the true answer's tokens in nats, mean over each row's tokens, (N,)."""
    losses_N = torch.zeros(len(rows), dtype=torch.float64, device=chat.device)
    with evaluating([chat.model]):
        for positions, counts in _own_batches(len(rows), batch_size):
            tokens = chat.token_losses(chat.collate([rows[position] for position in positions]))
            means = tokens.losses.sum(1) / tokens.supervised.sum(1)
            if counts:
                losses_N[positions.start : positions.stop] = means.double()
    return gather(losses_N)


def answers(
    chat: VisionLanguageModel,
    rows: Sequence[Row],
    *,
    max_new_tokens: int,
    batch_size: int,
    temperature: float = 0.0,
    seed: int = 0,
) -> Answers:
    """Asks each row once: the likeliest answer, or at a `temperature` above 0 a sampled one."""
    own: dict[int, tuple[str, int]] = {}
    for positions, counts in _own_batches(len(rows), batch_size):
        asked = [rows[position] for position in positions]
        said = chat.speak(
            asked, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed, batch_size=batch_size
        )
        if counts:
            own |= dict(zip(positions, said, strict=True))
    told = shared_items(own, len(rows))
    texts = [text for text, _ in told]
    pairs = list(zip(rows, texts, strict=True))
    return Answers(
        texts,
        [num_tokens for _, num_tokens in told],
        torch.tensor([float(right(text, row.answer, row.choices)) for row, text in pairs]),
        torch.tensor([float(in_form(row, text)) for row, text in pairs]),
    )


def in_form(row: Row, text: str) -> bool:
    """Whether an answer has the form that its row asks for: tags where it wants them, and none where it does not."""
    if row.asks_for_tags:
        return well_formed(text)
    return "<answer>" not in text and bool(answers_in(text)[-1].strip())


def room_for_answers(chat: VisionLanguageModel, rows: Sequence[Row], config: AnswersConfig) -> int:
    """The tokens that an answer may have: what the file says, or well more than the longest true one of `rows`."""
    longest = max(chat.encoder.size(row)[1] for row in rows)
    return config.max_new_tokens or longest + max(longest // 2, _SPARE_TOKENS)


def _own_batches(num_rows: int, batch_size: int) -> Iterator[tuple[range, bool]]:
    """See `turns`: the positions of a batch, and whether its results count."""
    for index, counts in turns(-(-num_rows // batch_size)):
        yield range(index * batch_size, min((index + 1) * batch_size, num_rows)), counts
