"""What a configuration for several workers becomes in one process."""

from pathlib import Path

import pytest

from posttrain.config import LoadedSingle, load_single
from posttrain.sweep.single import in_one_process

SWEEP = """\
name: mine
model: {checkpoint: tiny:qwen3-vl, family: vlm}
strategy: {type: full}
data: {sources: {a: {path: rows.json}}}
training: {steps: 20, batch_size: 12, learning_rate: 0.01}
resources: {workers: 4, parallel: fsdp}
"""


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedSingle:
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP)
    return load_single(file)


def test_the_batch_of_several_workers_is_accumulated(loaded: LoadedSingle) -> None:
    alone = in_one_process(loaded, "mine-train")
    assert (alone.config.training.batch_size, alone.config.training.micro_batch_size) == (12, 3)
    assert (alone.config.resources.workers, alone.config.resources.parallel) == (1, "ddp")
    assert (alone.config.name, loaded.config.name) == ("mine-train", "mine")
    assert alone.origins["training.micro_batch_size"] == "posttrain train"


def test_a_micro_batch_of_the_files_own_stays(tmp_path: Path, loaded: LoadedSingle) -> None:
    own = in_one_process(load_single(loaded.path, ["training.micro_batch_size=1"]), "mine-train")
    assert own.config.training.micro_batch_size == 1
    assert own.origins["training.micro_batch_size"] == "command line"


def test_what_only_a_search_reads_makes_no_difference(loaded: LoadedSingle) -> None:
    more = load_single(loaded.path, ["search.trials=50", "search.sampler=random", "search.scheduler.grace=0.5"])
    assert in_one_process(more, "mine-train").config == in_one_process(loaded, "mine-train").config
