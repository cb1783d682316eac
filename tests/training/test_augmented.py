"""What the draws of a trial read: variants by position and seed, all of them encoded before, all of it counted."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from posttrain.config import SearchSpace, TrialConfig
from posttrain.config.space_check import searched_probabilities
from posttrain.data import Splits
from posttrain.data.transform import decode_with
from posttrain.data.views import NO_PARAPHRASES, variant
from posttrain.models.encoding import EncodingStore
from posttrain.overfit.diffusion import short
from posttrain.paths import TrialPaths
from posttrain.training.plan import PlanDataset
from posttrain.training.reads import Reads
from posttrain.training.train import plan_draws, train
from posttrain.training.video_bench import VideoBench
from tests.tiny_trial import Listener, trial_config

pytestmark = pytest.mark.slow

FLIP = {"type": "flip", "probability": 0.5}
CROP = {"type": "crop", "probability": 0.5}
DROPOUT = {"type": "caption_dropout", "probability": 0.2}
PARAPHRASE = {"type": "paraphrase", "probability": 0.5}
NOISE = {"type": "conditioning_noise", "probability": 0.5, "max_sigma": 0.2}
ALL = [FLIP, CROP, {"type": "colour", "probability": 0.5}, DROPOUT, PARAPHRASE, NOISE]

Item = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def slot(bench: VideoBench) -> VideoBench:
    """The workbench on a few samples, one with a paraphrase, with a store of its own."""
    train = {name: samples[:3] for name, samples in bench.dataset.train.items()}
    first, *rest = train["fixed"]
    train["fixed"] = [dataclasses.replace(first, paraphrases=("Something moves to the left.", "It moves.")), *rest]
    return VideoBench(bench.family, EncodingStore(bench.family), Splits(train, bench.dataset.suites))


def configured(*augmentations: dict[str, Any], **changes: Any) -> TrialConfig:
    return trial_config({"data.augmentations": list(augmentations), "training.steps": 25, **changes})


def prepared(slot: VideoBench, config: TrialConfig, searched: dict[str, Any] | None = None) -> PlanDataset:
    """The plan of a trial after the preparation of its sweep."""
    seen: list[tuple[int, int]] = []
    reads = Reads.of_sweep(config.data, slot.dataset.train, searched or {})
    slot.encode(slot.samples(), lambda done, total: seen.append((done, total)), lambda: False, reads)
    clips, _ = reads.of(slot.samples())
    assert seen[-1] == (len(clips), len(clips))
    return slot.plan(config, plan_draws(config, slot))


def items(plan: PlanDataset) -> list[Item]:
    return [plan[i] for i in range(len(plan))]


def equal(one: Item, other: Item) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_without_augmentations_every_draw_is_as_ever(slot: VideoBench) -> None:
    """Written out: the order in which the generator of a draw is asked."""
    from posttrain.training.draws import draw_seed

    plan = prepared(slot, configured(DROPOUT))
    for position in range(40):
        sample = plan.draws.sample(position)
        generator = torch.Generator().manual_seed(draw_seed(0, position))
        prompt = slot.store.prompt(sample.caption)
        if torch.rand((), generator=generator) < 0.2:
            prompt = torch.zeros_like(prompt)
        latents = slot.store.latents(sample)
        choice = torch.multinomial(torch.tensor([0.5, 0.5]), 1, generator=generator)
        expected = {
            "latents_BCThw": latents,
            "prompts_BLD": prompt,
            "sigmas_B": slot.family.noise_levels.draw(1, generator)[0],
            "noise_BCThw": torch.randn(latents.shape, generator=generator),
            "num_condition_B": torch.tensor([1, 2])[choice][0],
        }
        assert equal(plan[position], expected)


def test_a_draw_reads_the_view_that_its_position_and_seed_say(slot: VideoBench) -> None:
    config = configured(FLIP, CROP)
    forwards = items(prepared(slot, config))
    torch.manual_seed(3)
    again = slot.plan(config, plan_draws(config, slot))
    assert all(equal(again[i], forwards[i]) for i in reversed(range(len(forwards))))
    plan, known = prepared(slot, config), 0
    for position, item in enumerate(forwards):
        sample = plan.draws.sample(position)
        views = [variant(sample, "all", config.data, index) for index in range(4)]
        matching = [
            view
            for view in views
            if torch.equal(slot.store.latents(sample, view.transform), item["latents_BCThw"])
            and torch.equal(slot.store.prompt(view.caption), item["prompts_BLD"])
        ]
        assert matching
        known += matching[0].transform.key != ""
    assert 0.5 < known / len(forwards) < 0.95  # 3 of 4, if both act in half of the variants
    other = slot.plan(configured(FLIP, CROP, **{"training.seed": 1}), plan_draws(config, slot))
    assert not all(torch.equal(other[i]["latents_BCThw"], forwards[i]["latents_BCThw"]) for i in range(20))


def test_an_augmentation_moves_neither_noise_nor_dropped_captions(slot: VideoBench) -> None:
    without, with_all = prepared(slot, configured(DROPOUT)), prepared(slot, configured(*ALL))
    for one, other in zip(items(without), items(with_all), strict=True):
        for name in ("noise_BCThw", "sigmas_B", "num_condition_B"):
            assert torch.equal(one[name], other[name])
        assert bool(one["prompts_BLD"].any()) == bool(other["prompts_BLD"].any())


def test_latents_of_a_view_are_those_of_its_pixels(slot: VideoBench) -> None:
    config = configured(FLIP, CROP, {"type": "colour", "probability": 1.0})
    prepared(slot, config)
    sample = slot.dataset.train["fixed"][0]
    views = [variant(sample, "all", config.data, index) for index in range(4)]
    for view in views:
        frames = decode_with(sample, slot.family.clip, view.transform)
        assert torch.equal(slot.store.latents(sample, view.transform), slot.family.encode_frames(frames))


def test_the_second_trial_encodes_nothing_whatever_probability_it_draws(
    slot: VideoBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path))
    suites = {name: samples[:1] for name, samples in slot.dataset.suites.items()}
    few = Splits({name: samples[:2] for name, samples in slot.dataset.train.items()}, suites)
    fresh = VideoBench(slot.family, EncodingStore(slot.family), few)
    space = TypeAdapter(SearchSpace).validate_python(
        {
            "data.augmentations.crop.probability": {"uniform": [0.1, 0.9]},
            "data.augmentations.flip.probability": {"choice": [0.0, 0.5, 1.0]},
            "training.learning_rate": {"loguniform": [1e-4, 1e-2]},
        }
    )
    searched = searched_probabilities(space)
    assert searched == {"crop": (0.1, 0.9), "flip": (0.0, 1.0)}
    prepared(fresh, configured(FLIP, CROP), searched)
    encoded = fresh.store.encoded
    assert encoded > len(fresh.samples())
    for crop, flip, seed in ((0.1, 0.0, 0), (0.33, 0.5, 1), (0.9, 1.0, 2)):
        config = configured({**FLIP, "probability": flip}, {**CROP, "probability": crop}, **{"training.seed": seed})
        items(fresh.plan(config, plan_draws(config, fresh)))
    assert fresh.store.encoded == encoded
    again = VideoBench(slot.family, EncodingStore(slot.family), few)
    prepared(again, configured(FLIP, CROP), searched)
    assert again.store.encoded == 0


def test_suites_are_encoded_as_they_are(slot: VideoBench) -> None:
    config = configured(FLIP, CROP)
    clips, _ = Reads.of_sweep(config.data, slot.dataset.train, {}).of(slot.samples())
    trained = {sample.id for samples in slot.dataset.train.values() for sample in samples}
    counts = Counter(sample.id for sample, _ in clips)
    assert all(counts[sample.id] == 1 for sample in slot.samples() if sample.id not in trained)
    assert all(1 < counts[sample_id] <= 5 for sample_id in trained)


def test_paraphrases_are_read_in_their_share_and_by_their_own_sample(slot: VideoBench) -> None:
    config = configured(PARAPHRASE, **{"training.steps": 100})
    plan = prepared(slot, config)
    known = slot.dataset.train["fixed"][0]
    texts = {text: slot.store.prompt(text) for text in (known.caption, *known.paraphrases)}
    read: Counter[str] = Counter()
    for position, item in enumerate(items(plan)):
        sample = plan.draws.sample(position)
        if sample.id != known.id:
            assert torch.equal(item["prompts_BLD"], slot.store.prompt(sample.caption))
            continue
        read.update(text for text, prompt in texts.items() if torch.equal(prompt, item["prompts_BLD"]))
    assert read.total() > 50
    assert read[known.caption] / read.total() == pytest.approx(0.5, abs=0.2)
    assert min(read[text] for text in known.paraphrases) > 5
    assert plan.augmented(400)["draws"] == {"paraphrase": read.total() - read[known.caption]}


def test_noise_on_given_frames_has_its_share_and_its_bound(slot: VideoBench) -> None:
    plan = prepared(slot, configured(NOISE, **{"training.steps": 100}))
    sigmas = [float(item["given_sigmas_B"]) for item in items(plan)]
    noisy = [sigma for sigma in sigmas if sigma]
    assert len(noisy) / len(sigmas) == pytest.approx(0.5, abs=0.1)
    assert max(noisy) <= 0.2
    assert sum(noisy) / len(noisy) == pytest.approx(0.1, abs=0.02)
    assert plan.augmented(400)["draws"] == {"conditioning_noise": len(noisy)}


def test_what_was_done_and_left_alone_is_in_the_result(slot: VideoBench, tmp_path: Path) -> None:
    config = configured(*ALL, **{"training.steps": 12})
    plan = prepared(slot, config)
    outcome = train(config, slot, TrialPaths(tmp_path), Listener())
    assert outcome.augmentations == plan.augmented(48)
    draws = outcome.augmentations["draws"]
    assert draws.keys() == {step["type"] for step in ALL}
    assert all(10 <= draws[name] <= 38 for name in ("flip", "crop", "colour"))
    assert draws["caption_dropout"] == sum(not item["prompts_BLD"].any() for item in items(plan))
    num_samples = sum(map(len, slot.dataset.train.values()))
    assert outcome.augmentations["left_alone"] == {"paraphrase": {NO_PARAPHRASES: num_samples - 1}}
    assert slot.augmented(configured(), plan.draws, 48) == {}


def test_a_trial_that_was_interrupted_reads_the_same(slot: VideoBench, tmp_path: Path) -> None:
    config = configured(*ALL, **{"training.steps": 8})
    prepared(slot, config)
    straight = train(config, slot, TrialPaths(tmp_path / "straight"), Listener())
    assert train(config, slot, TrialPaths(tmp_path / "cut"), Listener(interrupt_at=4)).status == "interrupted"
    resumed = train(config, slot, TrialPaths(tmp_path / "cut"), Listener())
    assert resumed.metrics == straight.metrics
    assert resumed.augmentations == straight.augmentations


def test_the_gate_learns_samples_as_they_are(slot: VideoBench) -> None:
    assert short(configured(*ALL), slot).data.augmentations == ()


def test_a_sample_is_encoded_for_the_stages_that_may_draw_it(slot: VideoBench) -> None:
    stages = [
        {"name": "broad", "fraction": 0.5},
        {"name": "focused", "fraction": 0.5, "weights": {"fixed": 1.0}, "where": "camera == 'fixed'"},
    ]
    config = configured(CROP, **{"data.stages": stages})
    reads = Reads.of_sweep(config.data, slot.dataset.train, {})
    for source, drawn in (("fixed", ["broad", "focused"]), ("tracking", ["broad"])):
        assert [reads.stages[sample.id] for sample in slot.dataset.train[source]] == [drawn] * 3
    plan = prepared(slot, config)
    encoded = slot.store.encoded
    items(plan)
    assert slot.store.encoded == encoded
    keys = {
        stage: {variant(slot.dataset.train["fixed"][0], stage, config.data, i).transform.key for i in range(4)}
        for stage in ("broad", "focused")
    }
    assert keys["broad"] & keys["focused"] <= {""}  # each stage has variants of its own
