"""The workbench of vision-language models: rows read by the processor, TRL's Trainer, suites of questions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from posttrain.config import RlConfig, TrialConfig
from posttrain.data import Row, Splits
from posttrain.errors import DataError
from posttrain.evaluation.answers import answer_losses, answers, room_for_answers
from posttrain.evaluation.ranks import merged, own_share, together, world
from posttrain.evaluation.rewards import Rewards
from posttrain.evaluation.suites import Evaluation
from posttrain.models import load_chat
from posttrain.models.base import Trainable
from posttrain.models.vlm import VisionLanguageModel
from posttrain.training.draws import Draws
from posttrain.training.observer import StopRequested
from posttrain.training.reads import PLAIN_ALONE, Reads
from posttrain.training.workbench import Note, Progress, Workbench

ROWS_A_ROUND = 64  # rows that a worker encodes between two questions whether to stop


@dataclass(frozen=True)
class ChatBench(Workbench):
    """A loaded vision-language model with the rows of one sweep; rewards of one's own start at `base_dir`."""

    chat: VisionLanguageModel
    base: torch.nn.Module
    dataset: Splits[Row]
    base_dir: Path

    @classmethod
    def open(
        cls, config: TrialConfig, dataset: Splits[Row], base_dir: Path, device: torch.device, on_note: Note | None
    ) -> "ChatBench":
        """Loads the model; raises ModelError like `load_chat`."""
        chat = load_chat(config.model, config.training.precision, base_dir, device, on_note)
        return cls(chat, chat.model, dataset, base_dir)

    @property
    def model(self) -> Trainable:
        return self.chat

    @property
    def identity(self) -> list[str]:
        return [self.chat.weights_key, self.chat.reading_key]

    def depends_on(self, config: TrialConfig) -> list[str]:
        rewards = self.rewards(config.strategy).identity if isinstance(config.strategy, RlConfig) else []
        return [*self.identity, *rewards]

    def content(self, sample: Row) -> tuple[Any, ...]:
        return (sample.media_hashes, sample.turns, sample.target, sample.choices)

    def label(self, sample: Row) -> str:
        return sample.answer

    @property
    def size_unit(self) -> str:
        return "tokens"

    def sizes(self, config: TrialConfig, samples: Sequence[Row]) -> dict[str, int]:
        """The tokens of the prompt, those that stand for media included, and in SFT those of the true answer.

        The workers know them of the rows that they have read; others, which were drawn before an interruption, are read
        now.
        """
        rows = list({row.id: row for row in samples}.values())
        encoder = self.chat.encoder
        known = merged({place: size for place, row in enumerate(rows) if (size := encoder.known_size(row)) is not None})
        missing = [place for place in range(len(rows)) if place not in known]
        with together():
            own = {missing[turn]: encoder.size(rows[missing[turn]]) for turn in own_share(len(missing))}
        known |= merged(own)
        in_sft = not isinstance(config.strategy, RlConfig)
        return {row.id: known[place][0] + in_sft * known[place][1] for place, row in enumerate(rows)}

    def encode(
        self,
        samples: list[Any],
        progress: Progress,
        should_stop: Callable[[], bool],
        reads: Reads = PLAIN_ALONE,
    ) -> None:
        """Puts tokens and media of all rows into the cache, and so finds what would stop a training later.

        How large rows are is known once some are encoded: after the first round, room for the others is made.

        Raises:
            DataError: a row is too long.
            ModelError: the chat template leaves no token of the answers to supervise.
            EnvironmentFault: there is no room for the rows.
            StopRequested: `should_stop` said so.
        """
        encoder = self.chat.encoder
        a_round = ROWS_A_ROUND * world()[1]
        for start in range(0, len(samples), a_round):
            some = samples[start : start + a_round]
            with together():
                for position in own_share(len(some)):
                    encoder.prepare(some[position])
            with together():
                if start == 0 and world()[0] == 0:
                    encoder.reserve(samples[a_round:], seen=some)
            progress(start + len(some), len(samples))
            if should_stop():
                raise StopRequested

    @property
    def encoded(self) -> tuple[int, int]:
        return self.chat.encoder.media.processed, self.chat.encoder.media.processed_again

    def trainer(self, config: TrialConfig, draws: Draws, folder: Path, *, log_every: int) -> Any:
        if isinstance(config.strategy, RlConfig):
            from posttrain.training.grpo import RolloutTrainer, grpo_arguments

            rollouts = grpo_arguments(config, folder, log_every=log_every, device=self.device)
            return RolloutTrainer(self.chat, self.base, draws, self.rewards(config.strategy), config, rollouts)
        from posttrain.training.sft import SupervisedTrainer, sft_arguments

        parallel = config.resources.parallel
        if parallel == "fsdp":
            self._check_media()
        arguments = sft_arguments(config.training, folder, log_every=log_every, device=self.device, parallel=parallel)
        return SupervisedTrainer(self.chat, draws, arguments)

    def _check_media(self) -> None:
        """Under FSDP2 the workers gather each block together, so all of them must use the vision tower alike.

        Raises:
            DataError: some rows have pictures and others videos, or nothing to see.
        """
        kinds = {(bool(row.images), row.video is not None): row for row in self.samples()}
        if len(kinds) > 1:
            ids = " and ".join(row.id for row in kinds.values())
            raise DataError(
                f"resources.parallel: fsdp needs rows that all have pictures, all videos, or neither; {ids} differ in "
                "that; write `parallel: ddp`, or leave out the sources that differ"
            )

    def rewards(self, strategy: RlConfig) -> Rewards:
        """The rewards of a trial; raises RewardError like `Rewards.load`."""
        return Rewards.load(strategy, self.base_dir)

    def evaluate(self, config: TrialConfig, step: int | None) -> Evaluation:
        result = Evaluation()
        asked, strategy = config.evaluation.answers, config.strategy
        for suite, rows in self.dataset.suites.items():
            longest = strategy.max_completion_tokens if isinstance(strategy, RlConfig) else None
            room = asked.max_new_tokens or longest or room_for_answers(self.chat, rows, asked)
            said = answers(self.chat, rows, max_new_tokens=room, batch_size=asked.batch_size)
            losses_N = answer_losses(self.chat, rows, asked.batch_size)
            result.values[f"{suite}/accuracy"] = float(said.right_N.mean())
            result.values[f"{suite}/loss"] = float(losses_N.mean())
            result.values[f"{suite}/format"] = float(said.formed_N.mean())
            if isinstance(strategy, RlConfig):
                result.values[f"{suite}/reward"] = float(said.rewarded(rows, self.rewards(strategy)).mean())
            result.answers[suite] = said.shown(rows)
        return result
