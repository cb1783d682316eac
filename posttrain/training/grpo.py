"""TRL's `GRPOTrainer` over our draws: the same prompts as in the evaluation, and answers that no batch layout changes.

    draw -> question --G answers, each sampled from its own seed--> rewards -> advantages -> TRL's loss

The trainer's own data set holds the numbers of the draws alone; rows, their media and their prompts come from the
model's `RowEncoder`, which has them encoded once, so text, pictures and videos all train as they are measured.
Sampling does not touch the global generator: a resumed run, two workers and any micro-batch see the same answers.

Shapes: B answers (each question G times in a row), L prompt tokens, A answer tokens.
"""

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset

from posttrain.config import RlConfig, TrialConfig
from posttrain.data import Row
from posttrain.evaluation.ranks import together
from posttrain.evaluation.rewards import Rewards, Said
from posttrain.models.loading import evaluating
from posttrain.models.sampling import GumbelSampler, answer_tokens, seed_of
from posttrain.models.torchvision_shim import ensure_torchvision
from posttrain.models.vlm import VisionLanguageModel
from posttrain.training.draws import Draws
from posttrain.training.trainer import KeepingTrainer, settings

ensure_torchvision()  # trl's trainers import it

from trl import GRPOConfig, GRPOTrainer  # noqa: E402
from trl.trainer.utils import add_fused_lm_head  # noqa: E402

# What the Trainer logs -> our metric. Lengths are in tokens, `kl` and `entropy` in nats per token.
LOGGED = {
    "reward": "train/reward",
    "reward_std": "train/reward_std",
    "equal_reward_groups": "train/equal_reward_groups",
    "kl": "train/kl",
    "entropy": "train/entropy",
    "clip_ratio/region_mean": "train/clipped_ratios",
    "completions/clipped_ratio": "train/cut_completions",
    "completions/mean_length": "train/completion_tokens",
}

PER_TOKEN = ("kl", "entropy", "clip_ratio/region_mean")
EQUAL = 1e-6  # rewards that differ by less are equal


def grpo_arguments(config: TrialConfig, folder: Path, *, log_every: int, device: torch.device) -> GRPOConfig:
    """The arguments of `GRPOTrainer`; those of its defaults that would change a trial in silence are set."""
    strategy = config.strategy
    assert isinstance(strategy, RlConfig)
    common = settings(config.training, folder, log_every=log_every, device=device, copies=strategy.generations)
    return GRPOConfig(
        **common
        | {
            "bf16": False,  # the strategy's copy computes in its precision by itself
            "activation_checkpointing": False,  # switched on the network
            "ddp_find_unused_parameters": True,  # a batch without pictures leaves the vision tower without gradients
            "shuffle_dataset": False,  # the order is the draws'
            "num_generations": strategy.generations,
            "num_iterations": strategy.iterations,
            "max_completion_length": strategy.max_completion_tokens,
            "temperature": strategy.temperature,
            "beta": 0.0,  # see `RolloutTrainer`: its reference is the base that is loaded already
            "epsilon": strategy.epsilon,
            "loss_type": "dapo",  # over all tokens of the batch: no micro-batch changes it (arXiv 2503.14476)
            "scale_rewards": "group",
            "log_completions": False,
        }
    )


@dataclass(frozen=True)
class Asked:
    """One answer to come: its question, and the seed of its tokens."""

    row: Row
    seed: int


class RolloutTrainer(KeepingTrainer, GRPOTrainer):  # type: ignore[misc]  # trl ships no strict types
    """GRPO on a vision-language model.

    Args:
        reference: the base, from which `strategy.kl` keeps the model near; it may wait on another device.

    Raises:
        RewardError: while it trains, on every worker, when a reward of the user's own goes wrong.
    """

    def __init__(
        self,
        model: VisionLanguageModel,
        reference: torch.nn.Module,
        draws: Draws,
        rewards: Rewards,
        config: TrialConfig,
        arguments: GRPOConfig,
    ) -> None:
        assert isinstance(config.strategy, RlConfig)
        self.own_curves = LOGGED | _by_component(rewards)
        self._vlm = model
        self._draws = draws
        self._seed = config.training.seed
        self._precision = config.training.precision
        # a strategy's own, if it has one
        self._forwards: list[tuple[Any, Any]] = [
            (network, network.__dict__.get("forward")) for network in (model.model, reference)
        ]
        self._batch: list[int] = []
        self._asked: list[Asked] = []
        self._rows: list[Row] = []
        arguments._n_gpu = min(arguments.n_gpu, 1)  # one process, one GPU: TRL refuses several before `keep` is called
        arguments.reward_weights = [component.weight for component in rewards.components]
        super().__init__(
            model=model.model,
            reward_funcs=[scorer(component, model.encoder.opening) for component in rewards.components],
            args=arguments,
            train_dataset=Dataset.from_dict({"draw": range(len(draws)), "prompt": [""] * len(draws)}),
            processing_class=model.processor.tokenizer,
        )
        if config.strategy.kl > 0:
            self.beta = config.strategy.kl
            self.ref_model = reference.to(model.device)
            add_fused_lm_head(self.ref_model, temperature=self.temperature)

    def train(self, resume_from_checkpoint: str | None = None) -> Any:
        """Trains; what TRL put in front of the networks' forward passes is taken off again."""
        try:
            return super().train(resume_from_checkpoint=resume_from_checkpoint)
        finally:
            for network, own in self._forwards:
                network.__dict__.pop("forward", None)
                if own is not None:
                    network.forward = own

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """With the answers that the next step still trains on, each worker its own."""
        super()._save_optimizer_and_scheduler(output_dir)
        if self.state.global_step % self.num_iterations:
            Path(output_dir).mkdir(parents=True, exist_ok=True)
            kept = {"step": self._step, "draws": self._batch, "answers": self._buffered_inputs}
            torch.save(kept, self._kept_answers(output_dir))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and self._kept_answers(checkpoint).is_file():
            kept = torch.load(self._kept_answers(checkpoint), map_location=self._vlm.device, weights_only=True)
            self._step, self._buffered_inputs = kept["step"], kept["answers"]
            self._ask(kept["draws"])

    def _kept_answers(self, folder: str) -> Path:
        """For another number of workers there are none: they sample anew."""
        worker, workers = self.accelerator.process_index, self.accelerator.num_processes
        return Path(folder) / f"answers_{worker}_of_{workers}.pt"

    def _send_telemetry(self) -> None:
        """Nothing is sent anywhere."""

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """A checkpoint holds what the strategy writes, and no draft of a README."""

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._ask([example["draw"] for example in inputs])
        for example, asked in zip(inputs, self._asked, strict=True):
            example["row"] = asked.row
        with warnings.catch_warnings():  # trl 1.16 asks by the old name whether activations are checkpointed
            warnings.filterwarnings("ignore", ".*gradient_checkpointing.* is deprecated", FutureWarning)
            scored: dict[str, Any] = super()._generate_and_score_completions(inputs)
        begin = self.accelerator.process_index * len(inputs)
        scored["advantages"].masked_fill_(self._equal[begin : begin + len(inputs)], 0.0)
        return scored | {"places": torch.arange(len(inputs), device=scored["advantages"].device)}

    def _ask(self, draws: list[int]) -> None:
        """Takes this worker's part of a batch: each draw as often as there are generations, one after the other."""
        rows = {draw: self._draws.sample(draw) for draw in dict.fromkeys(draws)}
        seeds = [seed_of(self._seed, draw, place % self.num_generations) for place, draw in enumerate(draws)]
        self._batch = draws
        self._asked = [Asked(rows[draw], seed) for draw, seed in zip(draws, seeds, strict=True)]
        self._rows = [each.row for each in self._asked]

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return [self._vlm.encoder.encode(row).prompt_L.tolist() for row in self._rows], None, {}

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], images: None, multimodal_fields: dict[str, Any], num_generations: int
    ) -> tuple[list[list[int]], None]:
        """Answers to all questions, a micro-batch at a time."""
        said: list[list[int]] = []
        size = self.args.per_device_train_batch_size
        with evaluating([self._vlm.model]), torch.no_grad():  # activations are not checkpointed, no cache is dropped
            for begin in range(0, len(self._asked), size):
                said += self._answers(self._asked[begin : begin + size])
        return said, None

    def _answers(self, asked: Sequence[Asked]) -> list[list[int]]:
        prompts = self._vlm.to_device(self._vlm.encoder.prompts([each.row for each in asked]))
        sampler = GumbelSampler([each.seed for each in asked], self.temperature, self._vlm.device)
        tokenizer, limit = self._vlm.processor.tokenizer, self.max_completion_length
        return answer_tokens(self._vlm.model, tokenizer, prompts, max_new_tokens=limit, sampler=sampler)

    def _calculate_rewards(self, *args: Any) -> torch.Tensor:
        """Every reward of all workers' answers; finds the groups in which all answers earn the same.

        TRL's own rounding can leave such a group a standard deviation of 1e-7, which it takes for a difference.
        """
        values: torch.Tensor = super()._calculate_rewards(*args)
        totals = (values.double() * self.reward_weights.to(values.device)).sum(1).view(-1, self.num_generations)
        equal = totals.amax(1) - totals.amin(1) < EQUAL
        self._metrics["train"]["equal_reward_groups"].append(equal.double().mean().item())
        self._equal = equal.repeat_interleave(self.num_generations)
        return values

    def _compute_loss(self, model: torch.nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
        self._rows = [self._asked[place].row for place in inputs["places"].tolist()]
        loss: torch.Tensor = super()._compute_loss(model, inputs)
        self._weigh_last(inputs)
        return loss

    def _weigh_last(self, inputs: dict[str, Any]) -> None:
        """Makes TRL's mean over micro-batches one over tokens, which does not depend on how the batch is cut."""
        tokens = self.accelerator.reduce(inputs["completion_mask"].sum(), "sum")
        weight = float(tokens) * self.args.steps_per_generation / float(inputs["num_items_in_batch"])
        for name in PER_TOKEN:
            if self._metrics["train"][name]:
                self._metrics["train"][name][-1] *= weight

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        """As TRL's, (B, A) each, but with the media of `self._rows`, of whatever kind."""
        size = batch_size or len(input_ids)
        found = []
        for begin in range(0, len(input_ids), size):
            some = slice(begin, begin + size)
            media = self._media(self._rows[some], input_ids.shape[1] - logits_to_keep, logits_to_keep)
            labels = input_ids[some].masked_fill(attention_mask[some] == 0, -100)
            labels[:, :-logits_to_keep] = -100
            with self._autocast():
                found.append(
                    model(
                        input_ids=input_ids[some],
                        attention_mask=attention_mask[some],
                        labels=labels,
                        fused_lm_head=True,
                        **media,
                    )
                )
        logps = torch.cat([part.log_probs[:, -logits_to_keep:] for part in found])
        entropies = torch.cat([part.entropy[:, -logits_to_keep:] for part in found]) if compute_entropy else None
        return logps, entropies, None

    def _media(self, rows: Sequence[Row], prompt_tokens: int, answer_tokens: int) -> dict[str, torch.Tensor]:
        """Pixels of the rows, and for each token whether it stands for a picture or a video."""
        prompts = self._vlm.encoder.prompts(rows)
        del prompts["input_ids"], prompts["attention_mask"]
        # another micro-batch may hold a longer prompt: all of a generation are padded alike
        kinds = prompts["mm_token_type_ids"]
        prompts["mm_token_type_ids"] = torch.nn.functional.pad(kinds, (prompt_tokens - kinds.shape[1], answer_tokens))
        return self._vlm.to_device(prompts)

    def _autocast(self) -> AbstractContextManager[None]:
        """The fused head calls the network's body, around the autocast that the strategy put on its forward pass."""
        on = self._precision == "bf16"
        return torch.autocast(self._vlm.device.type, dtype=torch.bfloat16, enabled=on)


def scorer(component: Any, opening: str) -> Callable[..., list[float]]:
    """A reward as TRL calls it; an error on one worker is raised on all, which would else wait for it.

    `opening` is the tag that the prompt opened, which belongs to the form of every completion.
    """

    def score(completions: list[str], completion_ids: list[list[int]], row: list[Row], **_: Any) -> list[float]:
        texts = [opening + completion for completion in completions]
        each = zip(row, texts, map(len, completion_ids), strict=True)
        with together():
            return [component(Said(*said)) for said in each]

    score.__name__ = component.name
    return score


def _by_component(rewards: Rewards) -> dict[str, str]:
    names = [component.name for component in rewards.components]
    means = {f"rewards/{name}/mean": f"train/reward_{name}" for name in names}
    return means | {f"rewards/{name}/std": f"train/reward_{name}_std" for name in names}
