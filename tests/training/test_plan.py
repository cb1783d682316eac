"""The data order: a function of seed and position, in the mixture that was asked for."""

import itertools
import math
from collections import Counter
from collections.abc import Callable

import pytest
import torch

from posttrain.config import TrialConfig
from posttrain.data import plan_mixture
from posttrain.training.draws import draw_seed
from posttrain.training.plan import PlanDataset, collate
from posttrain.training.train import plan_draws
from posttrain.training.video_bench import VideoBench
from tests.tiny_trial import trial_config

MakePlan = Callable[..., PlanDataset]


def plan_dataset(config: TrialConfig, bench: VideoBench) -> PlanDataset:
    return bench.plan(config, plan_draws(config, bench))


@pytest.fixture
def plan(bench: VideoBench) -> MakePlan:
    return lambda **changes: plan_dataset(
        trial_config({name.replace("__", "."): value for name, value in changes.items()}), bench
    )


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_draw_is_made_of_seed_and_position(plan: MakePlan) -> None:
    one, other = plan(), plan()
    assert len(one) == 48
    forwards = [one[i] for i in range(48)]
    torch.manual_seed(7)
    backwards = [other[i] for i in reversed(range(48))][::-1]
    assert all(map(equal, forwards, backwards))
    assert not any(torch.equal(a["noise_BCThw"], b["noise_BCThw"]) for a, b in itertools.pairwise(forwards))
    reseeded = plan(training__seed=1)
    assert not any(equal(reseeded[i], forwards[i]) for i in range(48))


def test_batch_size_moves_no_draw(plan: MakePlan) -> None:
    small, large = plan(training__batch_size=2), plan(training__batch_size=8)
    assert all(equal(small[i], large[i]) for i in range(len(small)))


def test_an_item_holds_what_the_loss_wants(bench: VideoBench, plan: MakePlan) -> None:
    batch = collate([plan()[i] for i in range(3)])
    latents = bench.store.latents(bench.samples()[0])
    assert batch["latents_BCThw"].shape == batch["noise_BCThw"].shape == (3, *latents.shape)
    assert batch["prompts_BLD"].shape == (3, *bench.store.prompt(bench.samples()[0].caption).shape)
    assert batch["sigmas_B"].shape == batch["num_condition_B"].shape == (3,)
    assert ((batch["sigmas_B"] > 0) & (batch["sigmas_B"] < 1)).all()


def test_the_mixture_is_realised_stage_by_stage(bench: VideoBench) -> None:
    stages = [
        {"name": "broad", "fraction": 0.5, "weights": {"fixed": 0.25, "tracking": 0.75}},
        {"name": "narrow", "fraction": 0.5, "weights": {"fixed": 1.0}},
    ]
    config = trial_config({"data.stages": stages})
    plan = plan_dataset(config, bench)
    expected = {"broad": {"fixed": 6, "tracking": 18}, "narrow": {"fixed": 24}}
    assert plan.draws.realised(48) == expected
    assert plan.draws.realised(24) == {"broad": {"fixed": 6, "tracking": 18}, "narrow": {"fixed": 0}}
    by_latents = {bench.store.latents(s).numpy().tobytes(): s.source for s in bench.samples()}
    drawn = Counter(
        (("broad", "narrow")[i // 24], by_latents[plan[i]["latents_BCThw"].numpy().tobytes()]) for i in range(48)
    )
    assert drawn == {("broad", "fixed"): 6, ("broad", "tracking"): 18, ("narrow", "fixed"): 24}


def test_captions_are_dropped_in_their_share_and_belong_to_their_clips(bench: VideoBench, plan: MakePlan) -> None:
    many, share = 1000, 0.2
    items = [item for dataset in [plan(training__steps=many // 4)] for item in (dataset[i] for i in range(many))]
    dropped = [not item["prompts_BLD"].any() for item in items]
    assert sum(dropped) == pytest.approx(share * many, abs=4 * math.sqrt(many * share * (1 - share)))
    prompts = {bench.store.latents(s).numpy().tobytes(): bench.store.prompt(s.caption) for s in bench.samples()}
    for item, without in zip(items[:100], dropped, strict=False):
        assert without or torch.equal(item["prompts_BLD"], prompts[item["latents_BCThw"].numpy().tobytes()])
    never = plan(data__augmentations=())
    assert all(never[i]["prompts_BLD"].any() for i in range(len(never)))


def test_given_frames_come_in_their_shares(bench: VideoBench) -> None:
    shares = {0: 0.5, 2: 0.5}
    config = trial_config({"training.conditioning_frames": shares, "training.steps": 100})
    plan = plan_dataset(config, bench)
    counts = Counter(int(plan[i]["num_condition_B"]) for i in range(400))
    assert set(counts) == {0, 2}
    assert counts[0] == pytest.approx(200, abs=40)


def test_noise_levels_follow_the_shift(bench: VideoBench) -> None:
    medians = []
    for shift in (1.0, 5.0):
        plan = plan_dataset(trial_config({"training.shift": shift, "training.steps": 100}), bench)
        medians.append(float(torch.stack([plan[i]["sigmas_B"] for i in range(400)]).median()))
    assert medians == pytest.approx([0.5, 5 / 6], abs=0.05)


def test_seeds_of_draws_are_unrelated() -> None:
    assert len({draw_seed(seed, position) for seed in range(10) for position in range(1000)}) == 10_000


def test_the_plan_covers_the_training(bench: VideoBench) -> None:
    config = trial_config({"training.steps": 7, "training.batch_size": 6})
    stages = plan_mixture(config.data, bench.dataset.train, 7, 6).stages
    assert sum(stage.num_draws for stage in stages) == len(plan_dataset(config, bench)) == 42
