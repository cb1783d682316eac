"""The page of curation: complete, self-contained, bounded, and not to be broken by what data says."""

import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from posttrain.config import FILTERS, FilterConfig
from posttrain.config.filters import STANDARD, SharpnessFilter
from posttrain.data import ClipSpec, Dataset, Dropped, Fault, Judged, Row, RowSpec, Sample, SourceScan
from posttrain.reports.curation.page import build_page
from posttrain.reports.curation.summary import Curation, summarise_curation

SPEC = ClipSpec(frames=5, height=32, width=48, fps=8.0)
HOSTILE = (
    "<script>alert('x')</script>",
    '"><img src=http://evil.example/x onerror="alert(1)">',
    "{{ 7 * 7 }} {% raw %}",
    "שלום 🎉 \u202e drawkcab",
    "a\x00b\x1b[31m c",
    "back\ttab <!-- ",
    "not utf-8: \udcff\udcfe",
)


class Parsed(HTMLParser):
    """The page as a browser sees it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise, which makes the largest thumbnails."""
    path = tmp_path_factory.mktemp("video") / 'it\'s "noise".mp4'
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(8):
            pixels_HWC = rng.integers(0, 255, (64, 96, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels_HWC, format="rgb24")))
        container.mux(stream.encode())
    return path


def filters(*sections: dict[str, Any]) -> list[FilterConfig]:
    return [FILTERS[section["type"]].model_validate(section) for section in sections]


def sharp(index: int, video: Path, **more: Any) -> Judged[Sample]:
    """A clip whose sharpness is its index; one below 3 is dropped."""
    sample = Sample(f"ego/{index:05d}", "ego", video, 0.0, f"clip number {index}", {"quality": index}, f"h{index}")
    fault = Fault("sharpness", f"blurred: sharpness {index}, below 3", index, 3.0)
    return Judged(replace(sample, **more), {"sharpness": float(index), "motion": 0.5}, (fault,) if index < 3 else ())


def dataset(judged: Sequence[Judged[Any]], unread: Sequence[Dropped] = ()) -> Dataset[Any]:
    kept = [one.sample for one in judged if one.kept]
    dropped = [*unread, *(one.to_dropped() for one in judged if not one.kept)]
    scan: SourceScan[Any] = SourceScan("ego", Path("/data/ego"), kept, dropped, {}, {}, list(judged))
    return Dataset({"ego": kept}, {"ego": []}, {}, {"ego": scan}, [])


def page_of(found: Dataset[Any], sections: Sequence[FilterConfig], spec: ClipSpec | RowSpec = SPEC) -> str:
    curation = summarise_curation(found, sections, rows=isinstance(spec, RowSpec))
    return build_page(curation, spec, title="warehouse", about=["sweeps/warehouse.yaml"])


def test_every_dropped_sample_is_there_with_its_reason(video: Path) -> None:
    unread = [Dropped(f"ego/bad{index}", Path(f"bad{index}.mp4"), "0 bytes") for index in range(3)]
    found = dataset([sharp(index, video) for index in range(12)], unread)
    text = Parsed(page_of(found, filters({"type": "sharpness", "min": 3}))).text
    for entry in found.scans["ego"].dropped:
        assert entry.id in text
        assert entry.reason in text
    assert "3 dropped below 3" in text
    assert re.search(r"15\s*clips found", text)
    assert re.search(r"9\s*kept, 60 %", text)


def test_the_nearest_on_both_sides_of_a_threshold_are_shown(video: Path) -> None:
    page = page_of(dataset([sharp(index, video) for index in range(40)]), filters({"type": "sharpness", "min": 3}))
    cards = re.findall(r"(dropped|kept): sharpness (\d+)", page)
    assert cards == [("dropped", "2"), ("dropped", "1"), ("dropped", "0")] + [("kept", str(n)) for n in (3, 4, 5, 6)]
    assert len(Parsed(page).all("img")) >= 7


def test_a_standard_filter_that_is_not_in_the_file_is_dashed_with_what_it_would_drop(video: Path) -> None:
    judged = [replace(sharp(index, video), faults=()) for index in range(12)]
    page = page_of(dataset(judged), [])
    lines = [line for line in Parsed(page).all("line") if "threshold" in (line["class"] or "")]
    assert lines
    assert all("proposed" in (line["class"] or "") for line in lines)
    (standard,) = [config.min for config in STANDARD if isinstance(config, SharpnessFilter)]
    would_be = sum(one.scores["sharpness"] < standard for one in judged)
    assert f"{would_be} would be dropped below {standard:g}" in page


def test_duplicates_lie_beside_what_is_kept_instead(video: Path) -> None:
    copy = Fault("duplicate", "near duplicate: 3 % of the bits differ from ego/00007", 0.03, 0.12, "ego/00007")
    judged = [sharp(index, video) for index in range(5, 10)]
    judged[4] = replace(judged[4], faults=(copy,))
    page = page_of(dataset(judged), filters({"type": "duplicate"}))
    section = page[page.index('id="filter-duplicate"') :]
    assert section.index("ego/00007") < section.index("ego/00009") < section.index("</section>")


def test_the_page_refers_to_nothing_and_runs_nothing(video: Path) -> None:
    judged = [sharp(index, video, caption=caption) for index, caption in enumerate(HOSTILE)]
    parsed = Parsed(page_of(dataset(judged), filters({"type": "sharpness", "min": 3})))
    assert parsed.all("script") == parsed.all("link") == parsed.all("iframe") == []
    for tag, attributes in parsed.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("href") or "#").startswith("#")
        assert (attributes.get("src") or "data:image/jpeg;base64,").startswith("data:image/jpeg;base64,"), tag
    style = parsed.text[: parsed.text.index("what curation kept")]
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_text(video: Path, text: str) -> None:
    sample = {"caption": text, "id": f"ego/{text}", "metadata": {f"k {text}": text}}
    unread = [Dropped(f"ego/unread/{text}", Path(text), f"unreadable: {text}")]
    page = page_of(
        dataset([sharp(1, video, **sample), sharp(9, video)], unread), filters({"type": "sharpness", "min": 3})
    )
    page.encode("utf-8")
    shown = text.encode("utf-8", "backslashreplace").decode().replace("\x00", "�").replace("\x1b", "�")
    assert Parsed(page).text.count(shown) >= 4
    harmless = dataset([sharp(1, video, metadata={"k": "v"}), sharp(9, video)], [Dropped("ego/b", Path("b"), "bad: b")])
    plain = page_of(harmless, filters({"type": "sharpness", "min": 3}))
    assert [tag for tag, _ in Parsed(page).tags] == [tag for tag, _ in Parsed(plain).tags]


def test_the_page_is_bounded_whatever_the_size_of_the_data(video: Path) -> None:
    every = [FILTERS[name] for name in ("brightness", "contrast", "sharpness", "cuts", "motion", "shake", "caption")]
    scores = ("brightness", "contrast", "sharpness", "cuts", "motion", "shake", "words", "outlier", "duration_s")
    rng = np.random.default_rng(0)
    judged = []
    for index in range(4000):
        faults = (Fault("balance", f"too frequent: {index}"),) if index % 3 == 0 else ()
        if index % 7 == 0:
            faults = (Fault("duplicate", "duplicate: of another", 0.0, 0.0, f"ego/{index // 70 * 70 + 1:05d}"),)
        one = sharp(index, video, caption="words " * 200, metadata={f"column {index % 3}": "text " * 100 + str(index)})
        judged.append(replace(one, scores={name: float(rng.uniform(0, 0.05)) for name in scores}, faults=faults))
    page = page_of(dataset(judged), [section(type=name) for name, section in FILTERS.items() if section in every])
    images = len(Parsed(page).all("img"))
    assert 50 < images <= 300
    assert len(page) < 5e6


def test_rows_show_their_pictures_and_have_no_scores_of_clips(tmp_path: Path) -> None:
    pictures = [tmp_path / f"{index}.png" for index in range(2)]
    for index, path in enumerate(pictures):
        Image.new("RGB", (40, 20 + 900 * index), "red").save(path)
    rows = [
        Row(f"qa/{index}", "ego", (("user", "<image>\nWhat is this?"),), answer, images, None, (), {}, (f"m{index}",))
        for index, (answer, images) in enumerate([("red", tuple(pictures)), ("blue", pictures[:1]), ("none", ())])
    ]
    judged = [Judged(row, {"words": 1.0}) for row in rows]
    judged[1] = replace(judged[1], faults=(Fault("balance", "too frequent: blue"),))
    page = page_of(
        dataset(judged), filters({"type": "caption", "min_words": 1}, {"type": "balance", "by": "answer"}), RowSpec()
    )
    assert len(Parsed(page).all("img")) >= 1
    assert "What is this?" in page
    assert "sharpness" not in page.lower()


def test_json_adds_up(video: Path) -> None:
    found = dataset([sharp(index, video) for index in range(12)], [Dropped("ego/bad", Path("bad.mp4"), "0 bytes")])
    curation: Curation = summarise_curation(found, filters({"type": "sharpness", "min": 3}), rows=False)
    document = curation.to_dict()
    assert {reason["filter"]: reason["count"] for reason in document["reasons"]} == {"sharpness": 3, "reading": 1}
    source = document["sources"]["ego"]
    assert source["found"] == source["kept"] + source["dropped"] == 13
    (threshold,) = document["scores"]["sharpness"]["thresholds"]
    assert threshold == {"filter": "sharpness", "side": "min", "value": 3.0, "in_force": True, "outside": 3}
    assert document["metadata"]["quality"] == {"share": 1.0, "range": [0, 11], "shares": {"ego": 1.0}}
