"""Every filter at its threshold, and what each does with values that nobody expects."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posttrain.config import DataConfig, StandardFilters, filters_in_force
from posttrain.data import Judged, Row, Sample, SourceScan
from posttrain.data.filters import FUNCTIONS, Threshold, apply_filters, needs_measuring, thresholds
from posttrain.data.filters.limits import LIMITS
from posttrain.data.filters.outliers import MIN_SAMPLES
from posttrain.data.prepare import copies, split
from posttrain.data.signature import signature
from posttrain.data.words import count_words
from posttrain.errors import DataError
from tests.data import planted


def clip(name: str, *, caption: str = "a caption of words", start_s: float = 0.0, **metadata: Any) -> Sample:
    source, _, stem = name.partition("/")
    return Sample(
        name, source, Path(f"{stem}.mp4"), start_s, caption, metadata, metadata.pop("hash", f"hash of {name}")
    )


def row(name: str, answer: str, *, question: str = "what?", media: str | None = None, **metadata: Any) -> Row:
    hashes = (media or f"picture of {name}",)
    return Row(
        name, name.partition("/")[0], (("user", question),), answer, (Path("p.png"),), None, (), metadata, hashes
    )


def judged(sample: Sample | Row, signed: str = "", **scores: float) -> Judged[Any]:
    text = sample.answer if isinstance(sample, Row) else sample.caption
    return Judged(sample, {"words": float(count_words(text)), **scores}, signature=signed)


def filtered(entries: Sequence[Judged[Any]], *filters: Any, suites: Sequence[str] = ()) -> dict[str, list[str]]:
    """Sample id -> the reasons of its faults."""
    scans = run(entries, *filters, suites=suites)
    return {
        one.sample.id: [fault.reason for fault in one.faults]
        for scan in scans.values()
        for one in scan.judged
        if one.faults
    }


def run(entries: Sequence[Judged[Any]], *filters: Any, suites: Sequence[str] = ()) -> dict[str, SourceScan[Any]]:
    names = list(dict.fromkeys(entry.sample.source for entry in entries))
    scans = {
        name: SourceScan(name, Path(name), [], [], {}, {}, [entry for entry in entries if entry.sample.source == name])
        for name in names
    }
    data = DataConfig.model_validate({"sources": {name: {"path": name} for name in names}, "filters": list(filters)})
    rows = any(isinstance(entry.sample, Row) for entry in entries)
    return apply_filters(scans, [name for name in names if name not in suites], filters_in_force(data.filters, rows))


@pytest.mark.parametrize(
    ("config", "score", "right", "wrong", "kind"),
    [
        ({"type": "duration", "min_s": 2}, "duration_s", 2.0, 1.99, "file too short"),
        ({"type": "duration", "max_s": 2}, "duration_s", 2.0, 2.01, "file too long"),
        ({"type": "duration", "min_frames": 20}, "frames", 20, 19, "too few frames"),
        ({"type": "resolution", "min_height": 480}, "height", 480, 479, "picture too small"),
        ({"type": "resolution", "min_width": 640}, "width", 640, 639, "picture too small"),
        ({"type": "brightness", "min": 0.1}, "brightness", 0.1, 0.099, "too dark"),
        ({"type": "brightness", "max": 0.9}, "brightness", 0.9, 0.901, "too bright"),
        ({"type": "contrast", "min": 0.1}, "contrast", 0.1, 0.09, "no contrast"),
        ({"type": "sharpness", "min": 15}, "sharpness", 15, 14.9, "blurred"),
        ({"type": "cuts", "max": 1}, "cuts", 1, 2, "cut"),
        ({"type": "motion", "min": 0.01}, "motion", 0.01, 0.009, "still"),
        ({"type": "motion", "max": 0.1}, "motion", 0.1, 0.11, "too much motion"),
        ({"type": "shake", "max": 0.02}, "shake", 0.02, 0.021, "shaking"),
    ],
)
def test_a_limit_lets_its_own_value_pass(
    config: dict[str, Any], score: str, right: float, wrong: float, kind: str
) -> None:
    entries = [
        judged(clip("a/right"), **{score: right}),
        judged(clip("a/wrong"), **{score: wrong}),
        judged(clip("a/not_measured")),
    ]
    found = filtered(entries, config)
    assert list(found) == ["a/wrong"]
    assert found["a/wrong"][0].startswith(f"{kind}: ")
    assert f"{wrong:.4g}" in found["a/wrong"][0]


def test_every_filter_has_a_function_and_thresholds_are_told() -> None:
    data = DataConfig.model_validate({"sources": {"a": {"path": "a"}}, "filters": ["standard", {"type": "outlier"}]})
    in_force = filters_in_force(data.filters, rows=False)
    assert {config.type for config in in_force} <= set(FUNCTIONS)
    assert set(LIMITS) <= set(FUNCTIONS)
    told = thresholds(in_force)
    assert Threshold("cuts", "cuts", "max", 0.0) in told
    assert Threshold("caption", "words", "min", 3.0) in told
    assert Threshold("outlier", "outlier", "max", 8.0) in told
    assert not any(limit.filter == "caption" and limit.side == "max" for limit in told)
    assert needs_measuring(in_force)
    assert not needs_measuring(filters_in_force(DataConfig.model_validate(
        {"sources": {"a": {"path": "a"}}, "filters": ["caption", {"type": "duration", "min_s": 1}]}
    ).filters, rows=False))  # fmt: skip


def test_all_faults_are_told_and_the_first_in_the_order_of_the_table_is_the_reason() -> None:
    entries = [judged(clip("a/bad", caption="x"), brightness=0.0, sharpness=1.0, motion=0.0), judged(clip("a/good"))]
    scans = run(entries, "caption", "motion", "sharpness", "brightness")
    assert [fault.filter for fault in scans["a"].judged[0].faults] == ["brightness", "sharpness", "motion", "caption"]
    assert [entry.reason for entry in scans["a"].dropped] == ["too dark: brightness 0, below 0.015"]
    assert [sample.id for sample in scans["a"].kept] == ["a/good"]


# captions


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A red ball rolls.", 4),
        ("well-lit, don't!", 2),
        ("  ", 0),
        ("...", 0),
        ("一只猫在草地上奔跑", 9),
        ("Ein Ball fällt, schräg & schnell", 5),
        ("빨간 공이 굴러간다", 3),
    ],
)
def test_words_are_counted_in_any_language(text: str, words: int) -> None:
    assert count_words(text) == words


def test_captions_of_too_few_and_too_many_words() -> None:
    entries = [judged(clip(f"a/{k}", caption="word " * k)) for k in range(1, 6)]
    found = filtered(entries, {"type": "caption", "min_words": 2, "max_words": 4})
    assert found == {
        "a/1": ["caption too short: words 1, below 2"],
        "a/5": ["caption too long: words 5, above 4"],
    }


def test_a_caption_that_too_many_videos_share_says_nothing_about_any_of_them() -> None:
    shared = [judged(clip(f"a/{k}", caption=f"{' ' * k}A  Video clip {'HERE' if k else 'here'}")) for k in range(3)]
    windows = [judged(clip(f"a/w@{k}", caption="one long take", start_s=float(k), hash="w")) for k in range(5)]
    elsewhere = [judged(clip("b/0", caption="a video clip here"))]
    found = filtered([*shared, *windows, *elsewhere], {"type": "caption", "max_repeats": 2})
    assert found == {f"a/{k}": ["caption repeated: 3 videos of the source have it, above 2"] for k in range(3)}
    assert filtered([*shared, *windows], {"type": "caption", "max_repeats": 3}) == {}


def test_of_questions_the_answers_are_captions() -> None:
    rows = [judged(row(f"a/{k}", "yes", question=f"{k}?")) for k in range(3)] + [judged(row("a/x", "no, not at all"))]
    found = filtered(rows, {"type": "caption", "min_words": 2})
    assert found["a/0"] == ["answer too short: words 1, below 2"]
    found = filtered(rows, {"type": "caption", "min_words": 0, "max_repeats": 2})
    assert found == {f"a/{k}": ["answer repeated: 3 rows of the source have it, above 2"] for k in range(3)}
    assert filtered(rows, "standard") == {}


# duplicates


def test_exact_copies_are_told_by_content_and_window() -> None:
    entries = [
        judged(clip("a/1", hash="x")),
        judged(clip("a/1@1", hash="x", start_s=2.0)),
        judged(clip("a/2", hash="x")),
        judged(clip("b/0", hash="x")),
    ]
    assert filtered(entries, "duplicate") == {
        "a/2": ["duplicate: the same file and time as a/1"],
        "b/0": ["duplicate: the same file and time as a/1"],
    }


def test_quality_decides_before_the_order_of_sources_and_ids() -> None:
    entries = [
        judged(clip("a/1", hash="x")),
        judged(clip("a/0", hash="y", quality=float("nan"))),
        judged(clip("b/0", hash="x", quality=0.2)),
        judged(clip("b/1", hash="x", quality=0.9)),
        judged(clip("b/2", hash="y", quality="high")),
    ]
    assert set(filtered(entries, "duplicate")) == {"a/1", "b/0", "b/2"}


def test_what_a_suite_measures_stays_and_suites_may_share_their_clips() -> None:
    entries = [judged(clip(f"{source}/0", hash="x", quality=0.5)) for source in ("a", "val", "other_val")]
    assert list(filtered(entries, "duplicate", suites=("val", "other_val"))) == ["a/0"]
    # and nothing else is asked of a suite's own clips
    dark = [judged(clip("val/0"), brightness=0.0), judged(clip("a/0"), brightness=0.0)]
    assert list(filtered(dark, "brightness", suites=("val",))) == ["a/0"]


def test_nothing_is_dropped_for_a_copy_that_is_dropped_itself() -> None:
    entries = [judged(clip("a/1", hash="x"), brightness=0.0), judged(clip("a/2", hash="x"), brightness=0.5)]
    assert list(filtered(entries, "brightness", "duplicate")) == ["a/1"]


def near_copies() -> list[Judged[Any]]:
    frames = planted.moving(1)
    noisy = planted.noisy(frames, 3.0)
    return [
        judged(clip("a/1", hash="x"), signature(frames)),
        judged(clip("a/1@1", hash="x", start_s=2.0), signature(noisy)),
        judged(clip("b/0", hash="y"), signature(noisy)),
        judged(clip("b/0@1", hash="y", start_s=2.0), signature(planted.moving(2))),
        judged(clip("b/1", hash="z"), signature(planted.moving(3))),
    ]


def test_near_copies_are_told_and_windows_of_one_file_are_none() -> None:
    (reason,) = filtered(near_copies(), "duplicate")["b/0"]
    assert reason.startswith("near duplicate: differs from a/1 in ")
    assert set(filtered(near_copies(), "duplicate")) == {"b/0"}
    assert set(filtered(near_copies(), {"type": "duplicate", "distance": 0.0})) <= {"b/0"}


def test_files_of_which_a_window_is_a_copy_stay_on_one_side_of_the_split() -> None:
    entries = [Judged(clip(f"a/{k}@{w}", hash=f"h{k}", start_s=float(w)), {}) for k in range(12) for w in range(2)]
    frames = [planted.moving(20 + k) for k in range(6)]
    signed = [
        Judged(entry.sample, {}, (), signature(frames[k // 4] if entry.sample.start_s == 0 else planted.moving(40 + k)))
        for k, entry in enumerate(entries)
    ]
    scan = run(signed, "duplicate")["a"]
    pairs = copies(scan)
    assert len(pairs) == 6
    for share in (0.2, 0.5, 0.8):
        train, held_out = split("a", scan.kept, share, pairs)
        sides = [{sample.content_hash for sample in side} for side in (train, held_out)]
        assert not any(len({one, other} & side) == 1 for one, other in pairs for side in sides)


def test_a_thousand_copies_leave_one() -> None:
    signed = signature(planted.moving(1))
    entries = [judged(clip(f"a/{k:04d}"), signed) for k in range(1000)]
    assert set(filtered(entries, "duplicate")) == {entry.sample.id for entry in entries[1:]}


def test_questions_are_copies_with_the_same_media_and_the_same_words() -> None:
    entries = [
        judged(row("a/1", "yes", media="m")),
        judged(row("a/2", "no", media="m")),
        judged(row("a/3", "yes", media="m", question="why?")),
        judged(row("a/4", "yes", media="n")),
    ]
    assert filtered(entries, "standard") == {"a/2": ["duplicate: the same media and question as a/1"]}


# metadata


def test_where_keeps_what_fulfils_it_and_tells_the_values_of_the_others() -> None:
    entries = [
        judged(clip("a/1", quality=0.9, camera="ego")),
        judged(clip("a/2", quality=0.7, camera="ego")),
        judged(clip("b/1", camera="ego")),
        judged(clip("b/2", quality=float("nan"), camera="ego")),
    ]
    found = filtered(entries, {"type": "where", "where": "quality >= 0.8 and camera == 'ego'"})
    assert set(found) == {"a/2", "b/1", "b/2"}
    assert found["a/2"] == ["where: quality >= 0.8 and camera == 'ego' does not hold (camera: \"ego\", quality: 0.7)"]
    assert "quality: missing" in found["b/1"][0]


def test_where_refuses_a_column_that_no_sample_has_and_values_of_other_kinds() -> None:
    entries = [judged(clip("a/1", quality="good"))]
    with pytest.raises(DataError, match=r"^data\.filters\.where\.where: .*'qualty'.*did you mean 'quality'"):
        filtered(entries, {"type": "where", "where": "qualty > 1"})
    with pytest.raises(DataError, match=r"^data\.filters\.where\.where: a/1: "):
        filtered(entries, {"type": "where", "where": "quality > 1"})


def test_balance_caps_classes_at_a_multiple_of_the_smallest() -> None:
    entries = [judged(clip(f"a/{k}", camera="ego")) for k in range(10)]
    entries += [judged(clip(f"b/{k}", camera="fixed")) for k in range(2)]
    entries += [judged(clip("b/x")), judged(clip("b/y", camera=float("nan")))]
    found = filtered(entries, {"type": "balance", "by": "camera", "max_ratio": 2})
    assert sum(name.startswith("a/") for name in found) == 6
    assert found["b/x"] == found["b/y"] == ["no class: camera is missing"]
    assert {reason for name, (reason,) in found.items() if name.startswith("a/")} == {
        'class too frequent: camera "ego" has 10 samples, above 4'
    }
    # which ones is told by their content: neither order nor chance plays a part
    assert filtered(entries[::-1], {"type": "balance", "by": "camera", "max_ratio": 2}) == found
    with pytest.raises(DataError, match=r"data\.filters\.balance\.by: no sample has the column 'kamera'.*camera"):
        filtered(entries, {"type": "balance", "by": "kamera"})


def test_balance_of_answers_and_of_one_class() -> None:
    rows = [judged(row(f"a/{k}", "yes ", question=str(k))) for k in range(5)] + [judged(row("a/n", "no"))]
    assert len(filtered(rows, {"type": "balance", "by": "answer", "max_ratio": 3})) == 2
    assert filtered(rows[:5], {"type": "balance", "by": "answer", "max_ratio": 1}) == {}


# outliers


def test_an_outlier_is_told_with_its_score_and_how_far_it_is() -> None:
    rng = np.random.default_rng(0)
    entries = [judged(clip(f"a/{k}"), brightness=float(value)) for k, value in enumerate(rng.normal(0.5, 0.02, 40))]
    entries.append(judged(clip("a/x"), brightness=0.95))
    found = filtered(entries, "outlier")
    assert list(found) == ["a/x"]
    assert found["a/x"][0].startswith("outlier: brightness 0.95 is ")
    assert "deviations above the median 0.4974" in found["a/x"][0]
    scores = {one.sample.id: one.scores["outlier"] for one in run(entries)["a"].judged}
    assert scores["a/x"] > 8 > max(value for name, value in scores.items() if name != "a/x")


@pytest.mark.parametrize("count", [1, MIN_SAMPLES - 1, 20])
def test_equal_scores_and_few_clips_have_no_outliers(count: int) -> None:
    entries = [judged(clip(f"a/{k}"), brightness=0.5, sharpness=0.0, motion=0.0) for k in range(count)]
    assert filtered(entries, "outlier") == {}
    scores = [one.scores.get("outlier") for one in run(entries)["a"].judged]
    assert set(scores) == ({0.0} if count >= MIN_SAMPLES else {None})


def test_one_that_differs_among_equals_is_an_outlier_and_one_clip_is_none() -> None:
    entries = [judged(clip(f"a/{k}"), brightness=0.5, contrast=0.1) for k in range(19)]
    assert set(filtered([*entries, judged(clip("a/x"), brightness=0.6)], "outlier")) == {"a/x"}
    assert filtered([judged(clip("a/1"), brightness=0.5)], "standard", "outlier") == {}
    assert apply_filters({}, (), filters_in_force([StandardFilters(type="standard")], rows=False)) == {}
