"""The gate of supervised training on real short trainings: sound ones pass, each broken one is told its cause."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from posttrain.config import TrialConfig, merge
from posttrain.data import Row
from posttrain.models.vlm_rows import IGNORED, RowEncoder
from posttrain.overfit.gate import few_samples, gate
from posttrain.overfit.sft import run
from posttrain.overfit.verdict import Verdict
from posttrain.training.chat_bench import ChatBench
from posttrain.training.observer import StopRequested
from tests.chat import SPEC
from tests.chat_trial import chat_config, open_chat_bench
from tests.look import Look

pytestmark = pytest.mark.slow

CHECKS = ["finite_loss", "parameters_moved", "supervised_tokens", "fit", "answer_tokens", "uses_picture"]
# a sound training is at a twentieth of the bound by then
BRIEF = {"training.learning_rate": 5e-3, "overfit.steps": 24, "overfit.batch_size": 4}
NAMES = ["tiny:qwen2.5-vl", pytest.param("tiny:qwen3-vl", marks=pytest.mark.full)]
# what does not depend on how a model sees
one_model = pytest.mark.parametrize("config", NAMES[:1], indirect=True)


@pytest.fixture(scope="module", params=NAMES)
def config(request: pytest.FixtureRequest) -> TrialConfig:
    return chat_config({"model.checkpoint": request.param, **BRIEF})


@pytest.fixture(scope="module")
def bench(config: TrialConfig) -> ChatBench:
    torch.set_num_threads(1)
    return open_chat_bench(config)


def changed(config: TrialConfig, **changes: Any) -> TrialConfig:
    return merge(config, {name.replace("__", "."): value for name, value in changes.items()})


def values(verdict: Verdict) -> dict[str, float | None]:
    return {check.name: check.value for check in verdict.checks}


@contextmanager
def trained_by(bench: ChatBench, encoder: RowEncoder) -> Iterator[None]:
    """What a broken program would train on, in place of what a sound one does."""
    sound, bench.chat.encoder = bench.chat.encoder, encoder
    try:
        yield
    finally:
        bench.chat.encoder = sound


def test_pictures_and_clips_are_learned_by_heart(config: TrialConfig, bench: ChatBench) -> None:
    samples = few_samples(config, bench)
    assert {row.source for row in samples} == {"read", "motion"}
    assert len({row.answer for row in samples}) == 4
    before = Look(bench.chat.model)
    verdict = run(config, bench, samples)
    assert Look(bench.chat.model) == before
    assert verdict.passed, verdict.reason
    assert verdict.reason == ""
    assert [check.name for check in verdict.checks] == CHECKS
    assert verdict.score == values(verdict)["fit"]
    assert verdict.steps == 24


@one_model
def test_the_verdict_is_remembered(config: TrialConfig, bench: ChatBench) -> None:
    brief = changed(config, overfit__steps=1)
    first = gate(brief, bench)
    assert gate(brief, bench) == first
    with pytest.raises(StopRequested):
        gate(changed(config, overfit__steps=2), bench, lambda: True)


class Masked(RowEncoder):
    def collate(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        batch = super().collate(rows)
        return batch | {"labels": torch.full_like(batch["labels"], IGNORED)}


class WholeText(RowEncoder):
    def collate(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        batch = super().collate(rows)
        return batch | {"labels": torch.where(batch["attention_mask"] == 1, batch["input_ids"], IGNORED)}


class Shifted(RowEncoder):
    def collate(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        batch = super().collate(rows)
        return batch | {"labels": batch["labels"].roll(-1, dims=1)}


class Blind(RowEncoder):
    def collate(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        batch = super().collate(rows)
        return {name: value * 0 if name.startswith("pixel") else value for name, value in batch.items()}


class Shuffled(RowEncoder):
    """Every row sees the picture of the one before it in its batch."""

    def collate(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        batch = super().collate(rows)
        if "pixel_values" in batch:
            pixels = batch["pixel_values"].reshape(len(batch["image_grid_thw"]), -1, batch["pixel_values"].shape[-1])
            batch["pixel_values"] = pixels.roll(1, dims=0).reshape(batch["pixel_values"].shape)
        return batch


@pytest.mark.parametrize(
    ("encoder", "steps", "codes"),
    [
        (Masked, 2, {"nothing_supervised"}),
        (WholeText, 2, {"prompt_supervised"}),
        (Shifted, 24, {"underfits", "diverged", "unstable", "too_slow"}),
        (Blind, 24, {"picture_ignored", "underfits", "diverged"}),
        (Shuffled, 24, {"underfits", "diverged", "unstable", "too_slow"}),
    ],
)
def test_a_broken_training_does_not_pass(
    config: TrialConfig, bench: ChatBench, encoder: type[RowEncoder], steps: int, codes: set[str]
) -> None:
    one_question = changed(config, data__sources={"read": {"path": "demo:digits/read"}}, overfit__steps=steps)
    samples = few_samples(config, bench)
    samples = [row for row in samples if row.source == "read"] + bench.dataset.train["read"][10:12]
    with trained_by(bench, encoder(bench.chat.processor, SPEC)):
        verdict = run(one_question, bench, samples)
    assert not verdict.passed
    assert verdict.diagnosis is not None
    assert verdict.diagnosis.code in codes, verdict
    assert verdict.diagnosis.remedy


@one_model
@pytest.mark.parametrize(
    ("rate", "codes"), [(1e-9, {"too_slow", "frozen"}), (1.0, {"diverged", "unstable", "not_finite"})]
)
def test_a_rate_that_cannot_work_is_told(config: TrialConfig, bench: ChatBench, rate: float, codes: set[str]) -> None:
    verdict = run(changed(config, training__learning_rate=rate, overfit__steps=4), bench, few_samples(config, bench))
    assert not verdict.passed
    assert verdict.diagnosis is not None
    assert verdict.diagnosis.code in codes, verdict
    assert "learning_rate" in verdict.diagnosis.remedy


@one_model
def test_without_different_answers_the_picture_is_not_asked_for(config: TrialConfig, bench: ChatBench) -> None:
    sevens = [row for row in bench.dataset.train["read"] if row.answer == "seven"][:3]
    verdict = run(config, bench, sevens)
    assert verdict.passed, verdict.reason
    picture = verdict.checks[-1]
    assert picture.value is None
    assert picture.note.startswith("skipped")


def test_questions_with_choices_are_learned_in_their_tags(config: TrialConfig) -> None:
    choice = changed(config, data__sources={"choice": {"path": "demo:digits/choice"}}, evaluation__suites=None)
    bench = open_chat_bench(choice)
    verdict = run(choice, bench, few_samples(choice, bench))
    assert verdict.passed, verdict.reason
