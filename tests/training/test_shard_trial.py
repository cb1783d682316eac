"""A trial on clips in a tar is the trial on the same clips in a folder, and finds everything encoded."""

import shutil
from pathlib import Path

import pytest
import torch

from posttrain.config import TrialConfig
from posttrain.data import Splits, demo, prepare
from posttrain.models.encoding import EncodingStore
from posttrain.paths import TrialPaths
from posttrain.training.train import train
from posttrain.training.video_bench import VideoBench
from tests.shard_files import tar_of
from tests.tiny_trial import Listener, trial_config
from tests.training.trial_files import evaluations, optimizer_state, weights

pytestmark = pytest.mark.slow
PLACES = ("fixed-high", "tracking-high")


def few_clips(place: str, folder: Path) -> list[str]:
    """Puts the first clips of a demo set into a folder; returns their stems."""
    whole = demo.resolve("shapes") / place
    stems = sorted(path.stem for path in (whole / "videos").iterdir())[:12]
    for kind in ("videos", "captions"):
        (folder / kind).mkdir(parents=True)
        for path in (whole / kind).iterdir():
            if path.stem in stems:
                shutil.copy(path, folder / kind)
    return stems


def on(config: TrialConfig, bench: VideoBench) -> VideoBench:
    """A slot that has just begun, of the same base."""
    dataset = prepare(config, bench.family.clip, Path())
    new = VideoBench(bench.family, EncodingStore(bench.family), Splits(dataset.train, dataset.suites))
    new.store.encode(new.samples())
    return new


def test_a_trial_over_shards_is_the_trial_over_files(bench: VideoBench, tmp_path: Path) -> None:
    """One source is one tar, the other a folder of two."""
    for place, cut in zip(PLACES, (12, 3), strict=True):
        stems = few_clips(place, tmp_path / "files" / place)
        for number, some in enumerate((stems[:cut], stems[cut:])):
            if some:
                tar_of(tmp_path / "shards" / place / f"{number}.tar", tmp_path / "files" / place, some)
    ended, benches = {}, {}
    for kind, fixed in (("files", "fixed-high"), ("shards", "fixed-high/0.tar")):
        config = trial_config(
            {
                "data.sources.fixed.path": str(tmp_path / kind / fixed),
                "data.sources.tracking.path": str(tmp_path / kind / "tracking-high"),
                "training.steps": 6,
                "evaluation.every": 3,
            }
        )
        benches[kind], ended[kind] = on(config, bench), TrialPaths(tmp_path / kind / "trial")
        train(config, benches[kind], ended[kind], Listener())
    assert all(".tar" in str(sample.video) for sample in benches["shards"].samples())
    assert benches["shards"].store.encoded == 0, "the encodings of the files are those of the members"
    mine, theirs = weights(ended["shards"], 6), weights(ended["files"], 6)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    moments = zip(optimizer_state(ended["shards"], 6), optimizer_state(ended["files"], 6), strict=True)
    assert all(torch.equal(a, b) for a, b in moments)
    # the noise of a measurement is drawn by the id of the sample, and ids name the shard where there are several
    pairs = list(zip(evaluations(ended["shards"]), evaluations(ended["files"]), strict=True))
    assert len(pairs) == 2
    assert all(mine["seen/loss"] == theirs["seen/loss"] for mine, theirs in pairs)
