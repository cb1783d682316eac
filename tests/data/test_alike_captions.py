"""Captions that hardly differ are counted, and clips that are dropped come with what helps."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from posttrain.config import SourceConfig, TrialConfig
from posttrain.data import ClipSpec, clip_remedy, count_kinds, demo, prepare, scan
from posttrain.data.alike_captions import count_alike, hardly_differ
from posttrain.errors import DataError

MakeSource = Callable[..., Path]
MakeVideo = Callable[..., Path]
ONE_WORD = [f"A robot arm moves the {colour} cup across the table." for colour in ("red", "blue", "white", "black")]
DIFFERENT = ["A hiker climbs a ridge.", "Traffic waits at a crossing.", "Snow falls on a harbour.", "A dog runs."]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (ONE_WORD[0], ONE_WORD[1], True),
        ("a red ball", "A  RED ball!", True),
        ("a red ball", "a blue ball", False),
        (DIFFERENT[0], DIFFERENT[1], False),
        ("赤いボールが左へ転がっていく様子", "赤いボールが右へ転がっていく様子", True),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_nearly_the_same_words_hardly_differ(one: str, other: str, alike: bool) -> None:
    assert hardly_differ(one, other) == hardly_differ(other, one) == alike


def test_captions_count_that_are_like_most_others() -> None:
    assert count_alike([]) == (0, 0)
    assert count_alike(["one"]) == (0, 1)
    assert count_alike(ONE_WORD) == (4, 4)
    assert count_alike(DIFFERENT) == (0, 4)
    assert count_alike([*ONE_WORD, DIFFERENT[0]]) == (4, 5)
    assert count_alike([*DIFFERENT, DIFFERENT[0]]) == (0, 5), "two that are equal among five"
    assert count_alike(ONE_WORD[:1] * 1000) == (200, 200)


@pytest.mark.usefixtures("demos")
@pytest.mark.parametrize("name", ["shapes/fixed-high", "shapes/zooming-low", "shapes-control/fixed", "general"])
def test_captions_of_the_demo_sets_differ(name: str) -> None:
    captions = [json.loads(path.read_text())["caption"] for path in demo.resolve(name).glob("captions/*.json")]
    assert len(captions) > 20
    assert count_alike(captions)[0] == 0


@pytest.mark.parametrize(("captions", "alike"), [(ONE_WORD, True), (DIFFERENT, False)])
def test_a_data_set_says_how_many_hardly_differ(
    tmp_path: Path, make_source: MakeSource, spec: ClipSpec, captions: list[str], alike: bool
) -> None:
    make_source(tmp_path / "ego", {f"clip{k}": captions[k % 4] for k in range(8)})
    config = TrialConfig.model_validate(
        {
            "name": "t",
            "model": {"checkpoint": "tiny:predict2.5"},
            "strategy": {"type": "lora"},
            "data": {"sources": {"ego": {"path": "ego"}}},
            "training": {"steps": 8},
        }
    )
    dataset = prepare(config, spec, tmp_path)
    told = [warning for warning in dataset.warnings if "captions" in warning]
    assert len(told) == alike
    count = len(dataset.train["ego"])
    assert not alike or told[0].startswith(f"data.sources.ego: {count} of {count} captions hardly differ from most")


def test_a_clip_that_is_too_short_comes_with_the_length_that_is_needed(
    tmp_path: Path, make_source: MakeSource, make_video: MakeVideo, spec: ClipSpec
) -> None:
    root = make_source(tmp_path / "ego", {"good": "a caption", "silent": None})
    make_video(root / "videos" / "short.mp4", [0.0, 0.125, 0.25], seed=9)
    (root / "captions" / "short.json").write_text('"short"')
    found = scan("ego", SourceConfig(path=str(root)), spec, Path())
    remedies = {kind: clip_remedy(kind, spec) for kind in count_kinds(found.dropped)}
    assert remedies == {
        "too short": "a clip must last 1.12 s, 9 frames at 8 fps: lower model.frames or raise model.fps",
        "no caption": "give each video a captions/<stem>.json or a metas/<stem>.txt",
    }
    (root / "videos" / "good.mp4").unlink()
    with pytest.raises(DataError) as caught:
        scan("ego", SourceConfig(path=str(root)), spec, Path())
    assert all(remedy in str(caught.value) for remedy in remedies.values())


@pytest.mark.parametrize(
    ("kind", "helps"),
    [
        ("depth control too short", "a clip must last"),
        ("no depth control", "give each video a depth/<stem>.mp4"),
        ("file too short", ""),  # filters say in `posttrain data` what to loosen
        ("caption too short", ""),
        ("unreadable", ""),
    ],
)
def test_reasons_have_remedies_of_their_own(spec: ClipSpec, kind: str, helps: str) -> None:
    remedy = clip_remedy(kind, spec)
    assert remedy.startswith(helps)
    assert bool(remedy) == bool(helps)
