"""Mistakes: each with file, line, path, what was found and expected, the nearest name; and all of them at once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from posttrain.config import load_sweep, load_trial, trial_yaml
from posttrain.errors import ConfigError, Issue

from .conftest import SWEEP, Write

Issues = Callable[..., list[Issue]]

# (text, its replacement, path, line, in the message, in the hint)
MISTAKES = [
    ("1e-4", "1e-4\n  schedul: cosine", "training.schedul", 18, "unknown key", "'schedule'"),
    ("steps: 40", "seed: 1", "training.steps", 14, "is missing", "Optimizer steps"),
    ("steps: 40", "steps: 4.5", "training.steps", 15, "found 4.5, expected a whole number of at least 1", ""),
    ("steps: 40", "steps: '40'", "training.steps", 15, "found '40'", "quotes"),
    ("steps: 40", "steps: true", "training.steps", 15, "found true", ""),
    ("steps: 40", "steps:", "training.steps", 15, "found nothing", "give a value"),
    ("1e-4", "0.0", "training.learning_rate", 17, "found 0.0, expected a number above 0", "peak"),
    ("1e-4", "abc", "training.learning_rate", 17, "found 'abc', expected a number", ""),
    ("1e-4", ".nan", "training.learning_rate", 17, "expected a finite number", ""),
    ("1e-4", "1e-4\n  schedule: cosin", "training.schedule", 18, "cosine, constant, linear", "'cosine'"),
    ("1e-4", "1e-4\n  warmup: 2000", "training.warmup", 18, "of at least 0 and below 1", "Share of the steps"),
    (
        "1e-4",
        "1e-4\n  conditioning_frames: {1: 0.5}",
        "training.conditioning_frames",
        18,
        "sum to 0.5",
        "{1: 0.5, 2: 0.5}",
    ),
    ("1e-4", "1e-4\n  conditioning_frames: {x: 1}", "training.conditioning_frames.x", 18, "latent frames", ""),
    ("name: demo-lora", "name: demo lora", "name", 1, "letters, digits", "rename"),
    ("name: demo-lora", "name: 12", "name", 1, "found 12, expected a text", "quotes"),
    ("name: demo-lora", "name: a\nlearning_rate: 3", "learning_rate", 2, "unknown key", "training.learning_rate"),
    ("model: {checkpoint: tiny:predict2.5}", "model: tiny:predict2.5", "model", 2, "a section with checkpoint", ""),
    ("2.5}", "2.5, frames: 10}", "model.frames", 2, "4k + 1", "9 or 13"),
    ("2.5}", "2.5, width: 20}", "model.width", 2, "multiple of 16", "16 or 32"),
    ("2.5}", "2.5, family: vml}", "model.family", 2, "found 'vml'", "'vlm'"),
    ("2.5}", "2.5, family: vlm}", "strategy.type", 3, "found 'lora'", "`LoRA is for diffusion models`"),
    ("2.5}", "2.5, controls: {edge: 0}}", "model.controls.edge", 2, "found 0", ""),
    ("2.5}", "2.5, controls: {}}", "model.controls", 2, "", ""),
    ("2.5}", "2.5, controls: {egde: 1}}", "model.controls.egde", 2, "", ""),
    ("2.5}", "2.5, family: cosmos-predict, controls: {edge: 1}}", "model.controls", 2, "no ControlNet", "leave"),
    ("2.5}", "2.5, max_pixels: 99}", "model.max_pixels", 2, "is for vision-language models", "delete"),
    ("type: lora, rank", "type: lorra, rank", "strategy.type", 3, "found 'lorra'", "'lora'"),
    ("type: lora, rank: 8", "rank: 8", "strategy", 3, "`type` is missing", "type: lora"),
    ("rank: 8}", "rank: 8, generations: 4}", "strategy.generations", 3, "unknown key", ""),
    ("search_space:", "resources: {parallel: fsdp}\nsearch_space:", "resources.parallel", 18, "`type: full`", "ddp"),
    ("{path: demo:shapes/fixed-low}", "{}", "data.sources.low.path", 7, "is missing", "A folder with videos/"),
    ("    low:", "    l.w: {path: x}\n    low:", "data.sources.l.w", 7, "is not allowed", "rename"),
    ("weights: {high: 1}", "weights: {hihg: 1}", "data.stages.focused.weights.hihg", 12, "no source", "'high'"),
    ("weights: {high: 1}", "weights: {high: 0}", "data.stages.focused.weights", 12, "all weights are 0", ""),
    ("weights: {high: 1}", "weights: {high: -1}", "data.stages.focused.weights.high", 12, "found -1", ""),
    ("fraction: 0.3", "fraction: 0.4", "data.stages", 8, "0.7 + 0.4 = 1.1", "0.3"),
    ("name: focused", "name: broad", "data.stages.broad", 10, "there twice", ""),
    ("type: caption_dropout", "type: flipp", "data.augmentations.flipp.type", 13, "found 'flipp'", "'flip'"),
    ("type: caption_dropout, p", "p", "data.augmentations.0", 13, "`type` is missing", "flip"),
    ("y: 0.1}]", "y: 0.1, strength: 1}]", "data.augmentations.caption_dropout.strength", 13, "unknown key", ""),
    ("y: 0.1}]", "y: 1}]", "data.augmentations.caption_dropout.probability", 13, "found 1", ""),
    ("steps: 40", "steps: 40\n  micro_batch_size: 3", "training.micro_batch_size", 16, "found 3", "1, 2, 4, 8"),
    ("search_space:", "resources: {workers: 3}\nsearch_space:", "training.batch_size", 16, "workers = 3", "take 9"),
    ("search_space:", "resources: {slots: many}\nsearch_space:", "resources.slots", 18, "or `auto`", ""),
    ("search_space:", "evaluation: {every: 50}\nsearch_space:", "evaluation.every", 18, "at most training.steps", ""),
    (
        "search_space:",
        "evaluation: {every: 8, psnr: {every: 12}}\nsearch_space:",
        "evaluation.psnr.every",
        18,
        "multiple of the 8",
        "take 16",
    ),
    (
        "search_space:",
        "evaluation: {suites: {new: {source: low}}}\nsearch_space:",
        "search.objective.metric",
        1,
        "found the suite 'held_out'",
        "new/loss",
    ),
    (
        "search_space:",
        "search: {objective: {metric: held_out/psnr}}\nsearch_space:",
        "search.objective.metric",
        18,
        "at the end alone",
        "evaluation.psnr.every",
    ),
    (
        "search_space:",
        "search: {objective: {metric: held_out/loss, mode: max}}\nsearch_space:",
        "search.objective.mode",
        18,
        "a lower one",
        "mode: min",
    ),
    ("search_space:", "search: {sampler: gp}\nsearch_space:", "search.sampler", 18, "tpe, random", ""),
]


@pytest.mark.parametrize(("old", "new", "where", "line", "message", "hint"), MISTAKES, ids=lambda v: str(v)[:30])
def test_a_mistake_is_told_with_its_line_and_remedy(
    issues: Issues, tmp_path: Path, old: str, new: str, where: str, line: int, message: str, hint: str
) -> None:
    (issue,) = issues((old, new))
    assert issue.where == where
    assert (issue.file, issue.line) == (str(tmp_path / "sweep.yaml"), line)
    assert message in issue.message
    assert hint in issue.hint


RL = """\
name: rl
model: {checkpoint: some/vlm, family: vlm}
strategy: {type: rl, rewards: {accuracy: 1.0}}
data: {sources: {s: {path: rows.json}}}
training: {steps: 40, batch_size: 8, learning_rate: 1e-6}
search_space: {training.learning_rate: {loguniform: [1e-6, 2e-6]}}
"""
RL_MISTAKES = [
    ("family: vlm", "family: cosmos-predict", "strategy.type", "found 'rl'", "`RL is for vision-language models`"),
    ("{accuracy: 1.0}", "{acuracy: 1.0}", "strategy.rewards.acuracy", "no reward 'acuracy'", "file: rewards.py"),
    ("{accuracy: 1.0}", "{mine: {file: mine.py}}", "strategy.rewards.mine", "is code", "allow_code: true"),
    ("{accuracy: 1.0}", "{mine: {file: mine.sh}}", "strategy.rewards.mine.file", "expected a Python file", ""),
    ("{accuracy: 1.0}", "{accuracy: {max_tokens: 3}}", "strategy.rewards.accuracy.max_tokens", "`length`", "delete"),
    ("type: rl", "type: rl, iterations: 3", "training.steps", "multiple of strategy.iterations = 3", "take 42"),
    ("1e-6}\n", "1e-6, shift: 3}\n", "training.shift", "is for diffusion models", "delete"),
    ("training.learning_rate:", "training.shift:", "search_space.training.shift", "is for diffusion models", ""),
    ("search_space:", "overfit: {probe: 0.3}\nsearch_space:", "overfit.probe", "is for diffusion models", "delete"),
    (
        "search_space:",
        "search: {objective: {metric: held_out/psnr}}\nsearch_space:",
        "search.objective.metric",
        "psnr is not measured with `type: rl`",
        "held_out/reward",
    ),
]


@pytest.mark.parametrize(("old", "new", "where", "message", "hint"), RL_MISTAKES, ids=lambda v: str(v)[:30])
def test_a_mistake_in_a_file_for_rl(write: Write, old: str, new: str, where: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_sweep(write((old, new), text=RL))
    (issue,) = caught.value.issues
    assert issue.where == where
    assert message in issue.message
    assert hint in issue.hint


SPACE_MISTAKES = [
    ("training.learning_rat: {uniform: [1, 2]}", "training.learning_rat", "is no configuration path", "learning_rate?"),
    ("learning_rate: {uniform: [1, 2]}", "learning_rate", "is no configuration path", "training.learning_rate"),
    ("evaluation.every: {choice: [1, 2]}", "evaluation.every", "the same in all trials", "strategy.rank"),
    ("data.stages.brod.weights: {simplex: [high, low]}", "data.stages.brod.weights", "is no", "broad.weights"),
    ("data.stages.focused.weights: {simplex: [high, lo]}", "data.stages.focused.weights.simplex.1", "'lo'", "'low'"),
    ("training.shift: {simplex: [high, low]}", "training.shift.simplex", "weights of a stage", "choice"),
    ("training.shift: {uniform: [5, 1]}", "training.shift.uniform", "low below high", "swap"),
    ("training.shift: {uniform: [5]}", "training.shift.uniform.1", "is missing", ""),
    ("training.shift: {loguniform: [0, 1]}", "training.shift.loguniform", "more than 0", "uniform"),
    ("training.shift: {uniform: [1, 2], choice: [1]}", "training.shift", "expected exactly one", "delete"),
    ("training.shift: {unform: [1, 2]}", "training.shift", "expected one kind", "'uniform'"),
    ("training.shift: {quniform: [1, 2, 1]}", "training.shift", "expected one kind", "not in this version"),
    ("training.shift: 3", "training.shift", "found 3", "loguniform"),
    ("training.shift: {uniform: [1, 2], step: 3}", "training.shift.step", "unknown key", ""),
    ("training.shift: {choice: [1.0, 1.0]}", "training.shift.choice", "twice", ""),
    (
        "training.shift: {uniform: [1, 2], when: {strategy.typ: lora}}",
        "training.shift.when.strategy.typ",
        "is no",
        "strategy.type",
    ),
    ("training.shift: {uniform: [-1, 2]}", "training.shift", "with training.shift = -1", ""),
    ("training.steps: {uniform: [10, 20]}", "training.steps", "whole number", "randint"),
    ("training.schedule: {choice: [cosine, linaer]}", "training.schedule", "linaer", ""),
    ("data.stages.broad.fraction: {uniform: [0.5, 1.0]}", "data.stages.broad.fraction", "for the other stages", ""),
    (
        "data.stages.focused.weights: {simplex: [high, low], min: 0.5}",
        "data.stages.focused.weights.min",
        "below 0.5",
        "",
    ),
]


@pytest.mark.parametrize(("entry", "where", "message", "hint"), SPACE_MISTAKES, ids=lambda v: str(v)[:40])
def test_a_mistake_in_the_search_space_is_told_with_its_line(
    issues: Issues, entry: str, where: str, message: str, hint: str
) -> None:
    (issue,) = issues(("search_space:\n", f"search_space:\n  {entry}\n"))
    assert issue.where == f"search_space.{where}"
    assert issue.line == 19
    assert message in issue.message
    assert hint in issue.hint


def test_values_that_do_not_go_together_are_found_before_anything_runs(issues: Issues) -> None:
    space = "search_space:\n  training.batch_size: {choice: [4, 8]}\n  training.micro_batch_size: {choice: [4, 8]}\n"
    (issue,) = issues(("search_space:\n", space))
    assert "training.batch_size = 4 and training.micro_batch_size = 8" in issue.message


def test_a_list_of_mistakes_is_not_told_to_be_empty(issues: Issues) -> None:
    """pydantic counts the right items of a list alone, and calls it too short where there is none."""
    found = issues(("name: broad,", "name: broad, where: a b,"), ("weights: {high: 1}", "min_quality: 2"))
    assert [issue.where for issue in found] == ["data.stages.broad.where", "data.stages.focused.min_quality"]


def test_conditions_in_a_circle_are_refused(issues: Issues) -> None:
    space = (
        "search_space:\n  training.shift: {uniform: [1, 2], when: {training.warmup: 0.1}}\n"
        "  training.warmup: {choice: [0.1, 0.2], when: {training.shift: 1.5}}\n"
    )
    (issue,) = issues(("search_space:\n", space))
    assert "circle" in issue.message


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(issues: Issues) -> None:
    found = issues(
        ("name: demo-lora", "name: demo lora"),
        ("rank: 8}", "rnk: 8}"),
        ("quality: 0.9", "quality: 9"),
        ("weights: {high: 1}", "weights: {hgh: 1}"),
        ("  steps: 40\n", "  steps: 40\n  steps: 50\n  micro_batch_size: 3\n"),
        ("training.learning_rate:", "training.learning_rte:"),
        ("min: 0.1", "min: 0.9"),
        overrides=("trainng.steps=3", "nonsense"),
    )
    assert [issue.where for issue in found if issue.file == "command line"] == ["nonsense", "trainng"]
    assert [(issue.where, issue.line) for issue in found if issue.file != "command line"] == [
        ("name", 1),
        ("strategy.rnk", 3),
        ("data.sources.high.quality", 6),
        ("data.stages.focused.weights.hgh", 12),
        ("training.steps", 16),
        ("training.micro_batch_size", 17),
        ("search_space.training.learning_rte", 21),
        ("search_space.data.stages.broad.weights.min", 22),
    ]


@pytest.mark.parametrize(
    ("override", "where", "message"),
    [
        ("training.steps=abc", "training.steps", "found 'abc'"),
        ("training.stepz=3", "training.stepz", "unknown key"),
        ("training.steps.x=3", "training.steps.x", "no section"),
        ("data.stages.brod.fraction=1", "data.stages.brod.fraction", "broad, focused"),
        ("training.steps=[1", "training.steps", "no YAML"),
        ("=3", "=3", "section.key=value"),
    ],
)
def test_a_wrong_override_is_told_as_one_of_the_command_line(
    issues: Issues, override: str, where: str, message: str
) -> None:
    (issue,) = issues(overrides=(override,))
    assert (issue.where, issue.file, issue.line) == (where, "command line", None)
    assert message in issue.message


def test_a_missing_file_names_the_nearest_one(write: Write, tmp_path: Path) -> None:
    write()
    with pytest.raises(ConfigError, match=r"swep\.yaml: there is no such file. Did you mean .*sweep\.yaml\?"):
        load_sweep(tmp_path / "swep.yaml")


def test_a_missing_inherited_file_is_told_at_the_line_that_names_it(write: Write) -> None:
    with pytest.raises(ConfigError) as caught:
        load_sweep(write(text="name: a\ndefaults: bse.yaml\n"))
    assert (caught.value.issues[0].where, caught.value.issues[0].line) == ("defaults", 2)


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n- b\n", "just text\n"])
def test_a_file_without_sections_is_refused(write: Write, text: str) -> None:
    with pytest.raises(ConfigError, match="expected sections"):
        load_sweep(write(text=text))


def test_a_file_that_is_no_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"name: a\nmodel: caf\xe9\n")
    with pytest.raises(ConfigError, match=r"a\.yaml:2: is not UTF-8 text"):
        load_sweep(path)


def test_a_search_space_file_is_wrong_under_its_own_name(write: Write, tmp_path: Path) -> None:
    head = SWEEP.partition("search_space:")[0]
    write(text="\ntraining.lerning_rate: {uniform: [1, 2]}\n", name="space.yaml")
    with pytest.raises(ConfigError) as caught:
        load_sweep(write(text=f"{head}search_space: space.yaml\n"))
    (issue,) = caught.value.issues
    assert (issue.file, issue.line) == (str(tmp_path / "space.yaml"), 2)


def test_a_search_space_file_that_is_not_there_is_told_with_the_shipped_ones(issues: Issues) -> None:
    found = issues((SWEEP[SWEEP.index("search_space:") :], "search_space: nowhere.yaml\n"))
    assert "nowhere.yaml" in found[0].message
    assert "cosmos-predict-lora.yaml" in found[0].hint


def test_a_wrong_trial_file_is_told_with_its_line(write: Write) -> None:
    text = trial_yaml(load_sweep(write()).config).replace("steps: 40", "steps: -1")
    with pytest.raises(ConfigError, match=r"trial\.yaml:\d+: training\.steps: found -1"):
        load_trial(text)


def test_given_frames_must_leave_one_to_predict(issues: Issues) -> None:
    given = ("1e-4", "1e-4\n  conditioning_frames: {1: 0.5, 2: 0.5}")
    (issue,) = issues(given, overrides=("model.frames=5",))
    assert (issue.where, issue.line) == ("training.conditioning_frames", 18)
    assert "leave none of the 2" in issue.message
    assert issue.hint == "give at most 1"
