"""A trial on clips in a tar is the trial on the same clips in a folder, and finds everything encoded."""

from pathlib import Path

import pytest
import torch

from posttrain.data import demo
from posttrain.paths import TrialPaths
from posttrain.training.train import train
from tests.shard_files import tar_of
from tests.tiny_trial import Listener, open_bench, trial_config
from tests.training.trial_files import evaluations, optimizer_state, weights

pytestmark = pytest.mark.slow


def test_a_trial_over_shards_is_the_trial_over_files(straight: TrialPaths, tmp_path: Path) -> None:
    """One source is one tar, the other a folder of two."""
    for place in ("fixed-high", "tracking-high"):
        folder = demo.resolve("shapes") / place
        stems = sorted(path.stem for path in (folder / "videos").iterdir())
        cut = len(stems) if place == "fixed-high" else 3
        for number, some in enumerate((stems[:cut], stems[cut:])):
            if some:
                tar_of(tmp_path / place / f"{number}.tar", folder, some)
    config = trial_config(
        {
            "data.sources.fixed.path": str(tmp_path / "fixed-high" / "0.tar"),
            "data.sources.tracking.path": str(tmp_path / "tracking-high"),
        }
    )
    sharded = open_bench(config)
    assert all(".tar" in str(sample.video) for sample in sharded.samples())
    assert sharded.store.encoded == 0, "the encodings of the files are those of the members"
    files, shards = straight, TrialPaths(tmp_path / "shards")
    train(config, sharded, shards, Listener())
    mine, theirs = weights(shards, 12), weights(files, 12)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    moments = zip(optimizer_state(shards, 12), optimizer_state(files, 12), strict=True)
    assert all(torch.equal(a, b) for a, b in moments)
    # the noise of a measurement is drawn by the id of the sample, and ids name the shard where there are several
    pairs = zip(evaluations(shards), evaluations(files), strict=True)
    assert all(mine["seen/loss"] == theirs["seen/loss"] for mine, theirs in pairs)
