"""SFT through TRL: our order and labels, one batch however it is cut, checkpoints that plain transformers loads."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from posttrain.config import TrialConfig
from posttrain.data import Row
from posttrain.errors import DataError
from posttrain.models.vlm_rows import IGNORED
from posttrain.paths import TrialPaths
from posttrain.training.chat_bench import ChatBench
from posttrain.training.train import attached, plan_draws, train
from tests.chat_trial import chat_config, open_chat_bench, unlike_answers
from tests.float64 import train_in_float64
from tests.look import Look
from tests.tiny_trial import Listener
from tests.training.orders import CHAT_SHARED, PICTURES, unlike_chat
from tests.training.trial_files import (
    assert_close_trials,
    assert_same_trial,
    checkpoint,
    checkpoint_steps,
    curves,
    evaluations,
    weights,
)

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("chat_group")]
NAMES = ("tiny:qwen2.5-vl", pytest.param("tiny:qwen3-vl", marks=pytest.mark.full))


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def config(name: str) -> TrialConfig:
    return chat_config({"model.checkpoint": name})


@pytest.fixture(scope="module")
def bench(config: TrialConfig) -> ChatBench:
    torch.set_num_threads(1)
    return open_chat_bench(config)


@pytest.fixture(scope="module")
def straight(config: TrialConfig, bench: ChatBench, tmp_path_factory: pytest.TempPathFactory) -> TrialPaths:
    """Six steps of pictures and clips, measured at 3 and 6, eight rows a batch."""
    paths = TrialPaths(tmp_path_factory.mktemp("straight"))
    before = Look(bench.chat.model)
    assert train(config, bench, paths, Listener()).status == "completed"
    assert Look(bench.chat.model) == before
    assert "forward" not in bench.chat.model.__dict__
    return paths


def test_the_loss_is_the_mean_over_the_supervised_tokens_of_the_draws(
    config: TrialConfig, bench: ChatBench, straight: TrialPaths
) -> None:
    draws = plan_draws(config, bench)
    rows: list[Row] = [draws.sample(position) for position in range(config.training.batch_size)]
    assert {row.source for row in rows} == {"read", "motion"}
    tokens = bench.chat.token_losses(bench.chat.collate(rows))
    expected = float(tokens.losses.sum() / tokens.supervised.sum())
    step, value = curves(straight)["train/loss"][0]
    assert (step, value) == (1, pytest.approx(expected, rel=1e-5))
    share = (bench.chat.collate(rows)["labels"] != IGNORED).sum() / bench.chat.collate(rows)["attention_mask"].sum()
    assert curves(straight)["train/supervised_share"][0][1] == pytest.approx(float(share))


def test_a_checkpoint_is_a_folder_of_plain_transformers(
    config: TrialConfig, bench: ChatBench, straight: TrialPaths
) -> None:
    folder = checkpoint(straight, 6)
    model = AutoModelForImageTextToText.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder)
    assert processor.chat_template == bench.chat.processor.chat_template
    rows = bench.dataset.suites["read"][:4]
    batch = bench.chat.collate(rows)
    with torch.no_grad():
        loss = model(**batch).loss
    base = bench.chat.token_losses(batch)
    assert loss < 0.6 * base.losses.sum() / base.supervised.sum()
    assert not list(straight.root.glob("README.md"))


def test_interrupted_and_resumed_is_straight(
    config: TrialConfig, bench: ChatBench, straight: TrialPaths, tmp_path: Path
) -> None:
    paths = TrialPaths(tmp_path)
    assert train(config, bench, paths, Listener(interrupt_at=2)).status == "interrupted"
    assert train(config, bench, paths, Listener(interrupt_at=3)).status == "interrupted"
    assert train(config, bench, paths, Listener()).status == "completed"
    assert_same_trial(paths, straight, 6, train_curves=False)
    assert checkpoint_steps(paths) == checkpoint_steps(straight)


def test_the_tokens_that_were_shown_are_counted(config: TrialConfig, bench: ChatBench, straight: TrialPaths) -> None:
    """Also by a process that has read none of the rows, as after an interruption."""
    found = train(config, bench, straight, Listener())  # has ended: nothing trains
    draws = plan_draws(config, bench)
    shown = [draws.sample(position) for position in range(6 * 8)]
    for source, exposure in found.exposure["all"].items():
        rows = [row for row in shown if row.source == source]
        tokens = sum(int(bench.chat.collate([row])["attention_mask"].sum()) for row in rows)
        epochs = len(rows) / len(bench.dataset.train[source])
        assert exposure == {"samples": len(rows), "epochs": epochs, "tokens": tokens}
    assert train(config, open_chat_bench(config), straight, Listener()).exposure == found.exposure


BRIEF = {"training.steps": 3, "evaluation.every": 3}


@pytest.fixture(scope="module")
def unlike(name: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What makes a trial of three steps over answers of unlike length."""
    path = unlike_answers(tmp_path_factory.mktemp("unlike"))
    return {"model.checkpoint": name, "data.sources.read.path": path, **BRIEF}


@pytest.fixture(scope="module")
def unlike_bench(unlike: dict[str, Any]) -> ChatBench:
    bench = open_chat_bench(chat_config(unlike))
    rows = bench.dataset.train["read"][:8]
    assert len({int((bench.chat.collate([row])["labels"] != IGNORED).sum()) for row in rows}) > 1
    return bench


@pytest.fixture(scope="module")
def exact(unlike: dict[str, Any], unlike_bench: ChatBench, tmp_path_factory: pytest.TempPathFactory) -> TrialPaths:
    """Three steps in float64, for comparisons with trials that sum in another order."""
    return train_in_float64(chat_config(unlike), unlike_bench, tmp_path_factory.mktemp("exact"))


def test_accumulated_micro_batches_are_one_batch(
    unlike: dict[str, Any], unlike_bench: ChatBench, exact: TrialPaths, tmp_path: Path
) -> None:
    config = chat_config({**unlike, "training.micro_batch_size": 4})
    assert_close_trials(train_in_float64(config, unlike_bench, tmp_path), exact, 3)


def test_gradient_checkpointing_changes_nothing_but_memory(
    unlike: dict[str, Any], unlike_bench: ChatBench, exact: TrialPaths, tmp_path: Path
) -> None:
    """Nor with micro-batches of a single row."""
    sparing = {"training.gradient_checkpointing": True, "training.micro_batch_size": 1}
    config = chat_config({**unlike, **sparing})
    with attached(config, unlike_bench):
        assert unlike_bench.chat.model.is_activation_checkpointing
    assert not unlike_bench.chat.model.is_activation_checkpointing
    assert_close_trials(train_in_float64(config, unlike_bench, tmp_path), exact, 3)


def test_bf16_computes_in_bf16_and_keeps_float32_weights(name: str, bench: ChatBench, tmp_path: Path) -> None:
    config = chat_config({"model.checkpoint": name, "training.precision": "bf16", **BRIEF})
    seen: list[Any] = []

    class Peek(Listener):
        def on_step(self, record: Any) -> None:
            seen.append({parameter.dtype for parameter in bench.chat.model.parameters()})
            super().on_step(record)

    assert train(config, bench, TrialPaths(tmp_path), Peek()).status == "completed"
    assert all(kinds == {torch.float32} for kinds in seen)
    assert weights(TrialPaths(tmp_path), 3)["lm_head.weight"].dtype == torch.float32
    assert "forward" not in bench.chat.model.__dict__


@pytest.fixture(scope="module")
def shared(chat_group: Path) -> TrialConfig:
    """The trial of two workers."""
    return chat_config(unlike_chat(chat_group))


@pytest.fixture(scope="module")
def alone(shared: TrialConfig) -> ChatBench:
    """The base that two workers train, for the same trial by one."""
    torch.set_num_threads(1)
    return open_chat_bench(shared)


def test_two_workers_measure_as_one(chat_group: Path, shared: TrialConfig, alone: ChatBench) -> None:
    measured, expected = json.loads((chat_group / "base.json").read_text()), alone.evaluate(shared, None)
    assert measured["values"] == expected.values  # bit for bit: they share batches, not rows
    assert measured["given"] == [answer.given for answer in expected.answers["read"]]


def test_two_workers_are_one(chat_group: Path, shared: TrialConfig, alone: ChatBench, tmp_path: Path) -> None:
    """Also where one worker's share of a micro-batch has no clip, or no picture."""
    draws = plan_draws(shared, alone)
    shares = [{draws.sample(pair).source, draws.sample(pair + 1).source} for pair in range(0, 3 * 8, 2)]
    assert {"read", "motion"} in shares
    one = train_in_float64(shared, alone, tmp_path)
    for name in ("two", "cut"):
        assert_close_trials(TrialPaths(chat_group / name), one, 3)


def test_two_workers_that_share_the_weights_out_are_one(chat_group: Path, tmp_path: Path) -> None:
    """Four batches of answers for two workers, of which one is only half asked for, and answers of unequal length."""
    config = chat_config(PICTURES)
    one = train_in_float64(config, open_chat_bench(config), tmp_path)
    assert_close_trials(TrialPaths(chat_group / "fsdp"), one, 3)
    rounded = evaluations(TrialPaths(chat_group / "fsdp-bf16"))
    assert rounded[-1]["read/loss"] == pytest.approx(evaluations(one)[-1]["read/loss"], rel=0.1)
    assert {value.dtype for value in weights(TrialPaths(chat_group / "fsdp-bf16"), 3).values()} == {torch.float32}


def test_rows_of_unlike_media_are_not_shared_out(bench: ChatBench, name: str, tmp_path: Path) -> None:
    config = chat_config({"model.checkpoint": name, **CHAT_SHARED})
    with pytest.raises(DataError, match="write `parallel: ddp`"):
        train(config, bench, TrialPaths(tmp_path), Listener())


def test_digits_are_learned(name: str, bench: ChatBench, tmp_path: Path) -> None:
    """What the base says in its own words it says in one word after seconds, for digits and clips it has not seen."""
    config = chat_config({"model.checkpoint": name, "training.steps": 40, "evaluation.every": 40})
    base = bench.evaluate(config, None)
    outcome = train(config, bench, TrialPaths(tmp_path), Listener())
    assert base.values["read/accuracy"] < 0.1
    assert outcome.metrics["read/accuracy"]["last"] > 0.6
    assert outcome.metrics["read/loss"]["last"] < 0.3 * base.values["read/loss"]
    assert outcome.metrics["read/format"]["last"] == 1.0
    assert base.answers["read"][0].given != base.answers["read"][0].true
