"""The filters of a sweep file: shorthand, order, and what is told about mistakes in them."""

from collections.abc import Callable

import pytest

from posttrain.config import (
    DataConfig,
    LoadedSweep,
    dump_resolved,
    filters_in_force,
    load_sweep,
    load_trial,
    trial_yaml,
)
from posttrain.config.filters import FILTERS, MEASURED, OF_CLIPS, STANDARD, STANDARD_OF_ROWS, FilterConfig
from posttrain.errors import ConfigError, Issue

Issues = Callable[..., list[Issue]]
HERE = "  augmentations: [{type: caption_dropout, probability: 0.1}]\n"


def in_force(filters: object, rows: bool = False) -> tuple[FilterConfig, ...]:
    data = DataConfig.model_validate({"sources": {"a": {"path": "a"}}, "filters": filters})
    return filters_in_force(data.filters, rows)


def test_nothing_is_filtered_unless_it_is_asked_for() -> None:
    assert filters_in_force(DataConfig.model_validate({"sources": {"a": {"path": "a"}}}).filters, rows=False) == ()
    assert in_force([]) == ()


def test_standard_is_a_list_of_filters_with_their_defaults() -> None:
    assert in_force("standard") == in_force(["standard"]) == in_force([{"type": "standard"}]) == STANDARD
    assert in_force("standard", rows=True) == STANDARD_OF_ROWS
    assert set(FILTERS) >= {entry.type for entry in STANDARD} | set(OF_CLIPS) | set(MEASURED)
    assert not {entry.type for entry in STANDARD_OF_ROWS} & set(OF_CLIPS)


def test_entries_beside_standard_replace_its_thresholds_or_add_to_it_in_the_order_of_the_table() -> None:
    chosen = in_force([{"type": "balance", "by": "camera"}, {"type": "sharpness", "min": 4}, "standard"])
    types = [entry.type for entry in chosen]
    assert types == [name for name in FILTERS if name in types]
    assert types == [*(entry.type for entry in STANDARD), "balance"]
    assert next(entry for entry in chosen if entry.type == "sharpness").min == 4
    assert [entry.type for entry in in_force(["duplicate", {"type": "motion", "max": 0.5}])] == ["motion", "duplicate"]


@pytest.mark.parametrize(
    ("filters", "where", "message", "hint"),
    [
        (
            "[{type: sharpnes}]",
            "data.filters.sharpnes.type",
            "found 'sharpnes', expected one of duration",
            "'sharpness'",
        ),
        ("standrad", "data.filters.0.type", "found 'standrad'", "'standard'"),
        ("[standard, blur]", "data.filters.1.type", "found 'blur'", "write `type: duration`"),
        ("[{min: 3}]", "data.filters.0", "`type` is missing", "write `type: duration`"),
        ("[{type: sharpness, mni: 3}]", "data.filters.sharpness.mni", "unknown key", "'min'"),
        ("[{type: cuts, max: 0.5}]", "data.filters.cuts.max", "found 0.5, expected a whole number", "most cuts"),
        ("[{type: motion, min: 2}]", "data.filters.motion.min", "expected a number from 0 to 1", "smallest mean"),
        ("[{type: motion, min: .nan}]", "data.filters.motion.min", "found nan, expected a finite number", ""),
        ("[{type: motion, min: 0.5, max: 0.1}]", "data.filters.motion", "min is 0.5 and max is 0.1", "larger one"),
        ("[{type: duration}]", "data.filters.duration", "has no threshold", "give min_s, max_s or min_frames"),
        ("[{type: resolution}]", "data.filters.resolution", "has no threshold", "give min_height or min_width"),
        ("[{type: balance}]", "data.filters.balance.by", "is missing", "A column of the metadata"),
        ("[{type: where, where: 'quality >'}]", "data.filters.where.where", "", ""),
        ("[motion, {type: motion}]", "data.filters.motion.type", "the filter 'motion' is there twice", "delete one"),
        ("{type: motion}", "data.filters", "found a section with type, expected a list", ""),
    ],
)
def test_a_mistake_is_told_with_its_place_and_the_nearest_name(
    issues: Issues, filters: str, where: str, message: str, hint: str
) -> None:
    (issue,) = issues((HERE, f"{HERE}  filters: {filters}\n"))
    assert (issue.where, issue.line) == (where, 14)
    assert message in issue.message
    assert hint in issue.hint


@pytest.mark.parametrize("strategy", ["full", "rl"])
def test_filters_of_pictures_are_refused_for_questions_at_their_line(issues: Issues, strategy: str) -> None:
    given = "  filters:\n    - standard\n    - {type: sharpness, min: 4}\n    - duplicate\n    - motion\n"
    found = issues(
        ("  stages:", f"{given}  stages:"),
        ("type: lora, rank: 8", f"type: {strategy}"),
        ("tiny:predict2.5", "tiny:qwen3-vl, family: vlm"),
        ("  strategy.rank: {choice: [4, 8], when: {strategy.type: lora}}\n", ""),
        (HERE, ""),
    )
    assert [(issue.where, issue.line) for issue in found] == [("data.filters.sharpness", 10), ("data.filters.3", 12)]
    assert all("is for diffusion models" in issue.message for issue in found)


def test_filters_are_in_the_resolved_file_with_their_origins_and_read_back_the_same(
    write: Callable[..., object],
) -> None:
    given = "  filters: [standard, {type: sharpness, min: 4}, {type: where, where: \"camera != 'ego'\"}]\n"
    loaded: LoadedSweep = load_sweep(write((HERE, HERE + given)))  # type: ignore[arg-type]
    resolved = dump_resolved(loaded)
    assert "- type: standard" in resolved
    assert any("min: 4" in line and line.rstrip().endswith("sweep.yaml:14") for line in resolved.splitlines())
    assert load_trial(trial_yaml(loaded.config)).data == loaded.config.data


def test_filters_can_be_given_on_the_command_line(write: Callable[..., object]) -> None:
    loaded = load_sweep(write(), ["data.filters=standard"])  # type: ignore[arg-type]
    assert filters_in_force(loaded.config.data.filters, rows=False) == STANDARD
    with pytest.raises(ConfigError, match="found 'standart'"):
        load_sweep(write(), ["data.filters=[standart]"])  # type: ignore[arg-type]
