"""The advice of `plan`: which strategy, with reasons that are the file's own numbers."""

from pathlib import Path

import pytest

from posttrain.config import SUPPORT, SweepConfig
from posttrain.config.recommend import Facts, advice, support_table

SWEEP = {
    "name": "s",
    "model": {"checkpoint": "some/model", "family": "cosmos-predict"},
    "strategy": {"type": "lora"},
    "data": {"sources": {"a": {"path": "a"}}},
    "training": {"steps": 10, "batch_size": 2, "learning_rate": 1e-4},
    "search_space": {"training.learning_rate": {"loguniform": [1e-5, 1e-3]}},
}


def config(family: str, strategy: str) -> SweepConfig:
    metric = {"vlm": {"full": "accuracy", "rl": "reward"}}.get(family, {}).get(strategy, "loss")
    return SweepConfig.model_validate(
        SWEEP
        | {"model": {"checkpoint": "some/model", "family": family}, "strategy": {"type": strategy}}
        | {"search": {"objective": {"metric": f"held_out/{metric}"}}}
    )


@pytest.mark.parametrize(
    ("family", "facts", "strategy", "reason"),
    [
        ("cosmos-predict", Facts(200, None, 0.0, None), "LoRA", "200 clips are limited data"),
        ("cosmos-predict", Facts(50_000, None, 0.0, 2_000_000_000), "Full", "on 2.0B parameters: 50000 clips are much"),
        ("cosmos-transfer", Facts(3_000, None, 0.0, None), "LoRA", "between limited (1000) and much (10000)"),
        ("vlm", Facts(800, 0.9, 1.0, None), "RL", "800 rows of quality 0.90 are scarce"),
        ("vlm", Facts(80_000, None, 1.0, None), "SFT", "80000 rows are not scarce"),
        ("vlm", Facts(800, 0.4, 1.0, None), "SFT", "RL amplifies wrong answers"),
        ("vlm", Facts(800, None, 0.1, None), "SFT", "only 10%"),
    ],
)
def test_the_data_decides_and_is_named(family: str, facts: Facts, strategy: str, reason: str) -> None:
    own = {"LoRA": "lora", "Full": "full", "RL": "rl", "SFT": "full"}[strategy]
    other = {"lora": "full", "rl": "full"}.get(own, "rl" if family == "vlm" else "lora")
    for chosen, remark in ((own, "the file's choice"), (other, "chosen otherwise")):
        first = advice(config(family, chosen), facts)[0]
        assert strategy in first
        assert reason in first
        assert remark in first


def test_faulty_data_and_many_repetitions_are_remarked_on() -> None:
    text = " ".join(advice(config("cosmos-predict", "full"), Facts(20_000, 0.5, 0.0, None)))
    assert "mean quality of the data is 0.50" in text
    text = " ".join(advice(config("cosmos-predict", "lora"), Facts(0, None, 0.0, None)))
    assert "times" not in text
    few = SweepConfig.model_validate(SWEEP | {"training": {**SWEEP["training"], "steps": 1000}})  # type: ignore[dict-item]
    assert "sees each sample 200 times" in " ".join(advice(few, Facts(10, None, 0.0, None)))


def test_a_file_without_filters_is_told_where_to_look() -> None:
    filtered = SweepConfig.model_validate(SWEEP | {"data": {"sources": {"a": {"path": "a"}}, "filters": "standard"}})
    facts = Facts(10, None, 0.0, None)
    assert "posttrain data" in " ".join(advice(config("cosmos-predict", "lora"), facts))
    assert "posttrain data" not in " ".join(advice(filtered, facts))


def test_the_readme_shows_the_support_table() -> None:
    table = support_table()
    assert table in (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert table.count("no: ") == sum(1 for cell in SUPPORT.values() if cell.rule) == 3
