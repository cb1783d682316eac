"""The gate on real short trainings: sound configurations pass, and each broken one is told its cause."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from posttrain.config import TrialConfig, merge
from posttrain.data import Sample, Splits
from posttrain.errors import ModelError
from posttrain.overfit.diffusion import run
from posttrain.overfit.gate import few_samples, gate
from posttrain.overfit.probe import FewSamples
from posttrain.overfit.verdict import NO_FIT, Verdict
from posttrain.training.observer import StopRequested
from posttrain.training.video_bench import VideoBench
from tests.look import Look

pytestmark = pytest.mark.slow

SHORTEST = {"overfit.steps": 1, "overfit.samples": 1}


@pytest.fixture
def own_cache(slot: VideoBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No verdict is known yet; the slot's encodings stay where they are."""
    assert slot.store.encoded >= 0
    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def first(quickstart: TrialConfig, slot: VideoBench, tmp_path_factory: pytest.TempPathFactory) -> tuple[Verdict, Path]:
    """The verdict on the shortest training, and the cache that remembers it and no other."""
    cache, questions = tmp_path_factory.mktemp("first"), Questions()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSTTRAIN_CACHE", str(cache))
        verdict = gate(merge(quickstart, SHORTEST), slot, questions)
    assert questions.asked == 1
    return verdict, cache


@pytest.fixture
def known(first: tuple[Verdict, Path], monkeypatch: pytest.MonkeyPatch) -> Verdict:
    """Its own cache is set; who asks for another verdict must break off, for it would be remembered too."""
    monkeypatch.setenv("POSTTRAIN_CACHE", str(first[1]))
    return first[0]


def trains(config: TrialConfig, bench: VideoBench) -> bool:
    """Whether the gate has no verdict yet; it is broken off after its first step."""
    try:
        gate(config, bench, Questions(stop_at=1))
    except StopRequested:
        return True
    return False


class Questions:
    """Counts the questions whether to stop: one for each step that the gate trains."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.asked = 0
        self.stop_at = stop_at

    def __call__(self) -> bool:
        self.asked += 1
        return self.asked == self.stop_at


def values(verdict: Verdict) -> dict[str, float | None]:
    return {check.name: check.value for check in verdict.checks}


def test_the_quickstarts_configuration_passes(quickstart: TrialConfig, slot: VideoBench, few: Sequence[Sample]) -> None:
    assert quickstart.overfit is not None
    before = Look(slot.family.transformer)
    verdict = run(quickstart, slot, few)
    assert verdict.passed, verdict.reason
    assert verdict.diagnosis is None
    assert verdict.reason == ""
    assert verdict.steps == quickstart.overfit.steps
    assert verdict.seconds > 0
    names = ["finite_loss", "parameters_moved", "fit", "closure", "caption_contrast"]
    assert [check.name for check in verdict.checks] == names
    assert all(check.passed for check in verdict.checks)
    assert verdict.score == values(verdict)["fit"]
    assert Look(slot.family.transformer) == before


@pytest.mark.parametrize(
    ("changes", "codes", "told"),
    [
        ({"training.learning_rate": 1e-5, "overfit.steps": 10}, {"too_slow"}, "1e-05 is too low"),
        ({"training.learning_rate": 1.0, "overfit.steps": 10}, {"diverged", "unstable"}, "1 is too high"),
        ({"training.learning_rate": 1e30}, {"not_finite"}, "blows up: the loss is nan"),
        # with all modules these steps are enough
        ({"strategy.target_modules": ["to_q"], "overfit.steps": 60}, {"underfits", "too_slow"}, "in 60 steps"),
    ],
)
def test_broken_settings_are_gated_with_their_cause(
    quickstart: TrialConfig,
    slot: VideoBench,
    few: Sequence[Sample],
    changes: Mapping[str, Any],
    codes: set[str],
    told: str,
) -> None:
    before = Look(slot.family.transformer)
    verdict = run(merge(quickstart, changes), slot, few)
    assert not verdict.passed
    assert verdict.diagnosis is not None
    assert verdict.diagnosis.code in codes
    assert told in verdict.reason
    assert "learning_rate" in verdict.diagnosis.remedy
    assert verdict.score > 0.35
    assert Look(slot.family.transformer) == before


def test_captions_that_say_nothing_of_their_clips_are_found(
    quickstart: TrialConfig, slot: VideoBench, few: Sequence[Sample]
) -> None:
    """The fit itself is perfect: with the first frame given, clips are learned by heart without a word."""
    first, second = few[0], few[1]
    swapped = [
        first,
        dataclasses.replace(second, caption=first.caption),
        dataclasses.replace(first, caption=second.caption),
        second,
    ]
    slot.store.encode(swapped)
    verdict = run(merge(quickstart, {"overfit.steps": 60}), slot, swapped)
    assert not verdict.passed
    assert verdict.diagnosis is not None
    assert verdict.diagnosis.code == "captions_ignored"
    assert {check.name: check.passed for check in verdict.checks}["fit"]
    assert "captions belong to their clips" in verdict.reason


def test_equal_captions_leave_the_contrast_out_and_say_so(
    quickstart: TrialConfig, slot: VideoBench, few: Sequence[Sample]
) -> None:
    equal = [dataclasses.replace(sample, caption=few[0].caption) for sample in few]
    slot.store.encode(equal)
    verdict = run(merge(quickstart, {"overfit.steps": 1}), slot, equal)
    (contrast,) = (check for check in verdict.checks if check.name == "caption_contrast")
    assert contrast.passed
    assert contrast.value is None
    assert contrast.note == "skipped: all captions are equal"


@pytest.mark.parametrize(
    "caption",
    [
        "A robot arm moves the {} cup to the other side of the table.",
        # the words that differ lie behind what the text encoder reads
        "The camera of a workshop watches a bench where somebody has put something down: it is {} {} {} {} {}.",
    ],
)
def test_captions_that_hardly_differ_refuse_nothing(slot: VideoBench, few: Sequence[Sample], caption: str) -> None:
    words = ["red apples cherries roses bricks", "blue sky water ice steel", "green grass leaves moss jade", "a b c d"]
    texts = [caption.format(*f"{text} end end".split()) for text in words]
    alike = [dataclasses.replace(sample, caption=text) for sample, text in zip(few, texts, strict=True)]
    slot.store.encode(alike)
    probe = FewSamples(slot.family, slot.store, alike)
    assert probe.contrast(num_condition=0) is None
    assert probe.contrast_note() == "skipped: 4 of 4 captions hardly differ"


def test_the_contrast_is_judged_where_captions_differ(
    quickstart: TrialConfig, slot: VideoBench, few: Sequence[Sample]
) -> None:
    """Two captions that hardly differ from each other are told apart from the other two."""
    captions = [
        "A robot arm moves the red cup up.",
        "A robot arm moves the blue cup up.",
        few[0].caption,
        few[0].caption,
    ]
    mixed = [dataclasses.replace(sample, caption=caption) for sample, caption in zip(few, captions, strict=True)]
    slot.store.encode(mixed)
    probe = FewSamples(slot.family, slot.store, mixed)
    assert probe.others() == {0: 2, 1: 2, 2: 0, 3: 0}
    assert probe.contrast_note() == ""
    assert probe.contrast(num_condition=0) is not None
    three = FewSamples(slot.family, slot.store, mixed[:2])
    assert (three.others(), three.contrast(num_condition=0)) == ({}, None)


def test_a_strategy_that_does_not_fit_is_an_error_not_a_verdict(
    quickstart: TrialConfig, slot: VideoBench, few: Sequence[Sample]
) -> None:
    with pytest.raises(ModelError, match=r"strategy\.target_modules"):
        run(merge(quickstart, {"strategy.target_modules": ["to_z"]}), slot, few)


def test_a_verdict_is_found_again_and_nothing_is_trained(
    quickstart: TrialConfig, slot: VideoBench, known: Verdict
) -> None:
    before, questions = Look(slot.family.transformer), Questions()
    second = gate(merge(quickstart, SHORTEST), slot, questions)
    assert questions.asked == 0
    assert second == known
    assert Look(slot.family.transformer) == before
    assert second.to_dict() == json.loads(json.dumps(known.to_dict()))


@pytest.mark.usefixtures("known")
def test_what_matters_asks_for_a_new_verdict(quickstart: TrialConfig, slot: VideoBench) -> None:
    for changes in (
        {"training.learning_rate": 2e-3},
        {"strategy.rank": 4},
        {"strategy.alpha": 3.0},
        {"strategy.target_modules": ["to_q"]},
        {"training.weight_decay": 0.1},
        {"training.schedule": "constant"},
        {"training.shift": 3.0},
        {"overfit.probe": 0.5},
        {"overfit.samples": 2},
    ):
        assert trains(merge(quickstart, {**SHORTEST, **changes}), slot), changes


@pytest.mark.usefixtures("known")
def test_other_samples_ask_for_a_new_verdict(quickstart: TrialConfig, slot: VideoBench) -> None:
    assert not trains(merge(quickstart, SHORTEST), slot)
    reversed_sources = dict(reversed(slot.dataset.train.items()))
    other = dataclasses.replace(slot, dataset=Splits(reversed_sources, slot.dataset.suites))
    other.store.encode(few_samples(merge(quickstart, SHORTEST), other))
    assert trains(merge(quickstart, SHORTEST), other)


def test_what_does_not_matter_does_not(quickstart: TrialConfig, slot: VideoBench, known: Verdict) -> None:
    changes = {
        "training.seed": 17,
        "training.batch_size": 4,
        "training.steps": 40,
        "training.conditioning_frames": {1: 1.0},
        "data.stages.all.weights": {"fixed": 0.1, "tracking": 0.8, "noisy": 0.1},
        "data.augmentations": [{"type": "caption_dropout", "probability": 0.5}],
        "evaluation.every": 7,
        "name": "other",
    }
    questions = Questions(stop_at=1)
    assert gate(merge(quickstart, {**SHORTEST, **changes}), slot, questions) == known
    assert questions.asked == 0


def test_a_stop_breaks_off_and_nothing_is_remembered(
    quickstart: TrialConfig, slot: VideoBench, own_cache: Path
) -> None:
    config = merge(quickstart, {"overfit.steps": 3, "overfit.samples": 1})
    before, questions = Look(slot.family.transformer), Questions(stop_at=2)
    with pytest.raises(StopRequested):
        gate(config, slot, questions)
    assert Look(slot.family.transformer) == before
    assert not list(own_cache.rglob("gate/*"))
    again = Questions()
    gate(config, slot, again)
    assert again.asked == 3


def test_a_loss_that_is_no_number_is_a_verdict_that_can_be_kept(
    quickstart: TrialConfig, slot: VideoBench, own_cache: Path
) -> None:
    config = merge(quickstart, {"training.learning_rate": 1e30, "training.warmup": 0.0, "overfit.samples": 1})
    verdict = gate(config, slot)
    assert verdict.diagnosis is not None
    assert verdict.diagnosis.code == "not_finite"
    assert verdict.score == NO_FIT
    assert gate(config, slot) == verdict
    assert not verdict.checks[0].passed


def test_samples_come_from_every_source_with_different_captions(quickstart: TrialConfig, slot: VideoBench) -> None:
    chosen = few_samples(quickstart, slot)
    assert [sample.source for sample in chosen] == ["fixed", "tracking", "noisy", "fixed"]
    assert len({sample.caption for sample in chosen}) == 4
    same = {
        source: [dataclasses.replace(sample, caption="Same.") for sample in samples[:-1]] + samples[-1:]
        for source, samples in slot.dataset.train.items()
    }
    other = dataclasses.replace(slot, dataset=Splits(same, {}))
    captions = [sample.caption for sample in few_samples(quickstart, other)]
    assert len(set(captions)) == 4, "the one different caption of a source goes before its equal ones"
    one = dataclasses.replace(slot, dataset=Splits({"fixed": slot.dataset.train["fixed"][:2]}, {}))
    assert len(few_samples(quickstart, one)) == 2, "no more than there are"
