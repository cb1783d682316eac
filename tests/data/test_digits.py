"""The digits: real scans, no scan in two folders, answers that are true, clips that move as they say."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from posttrain.config import SourceConfig
from posttrain.data import Row, RowSpec, demo, open_picture, sample_video, scan, workers
from posttrain.data.demo import digits
from posttrain.errors import DataError

SPEC = RowSpec(max_frames=4, fps=2.0)


@pytest.fixture(autouse=True)
def cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The session's: the sets are rendered there once for all tests."""
    monkeypatch.setattr(workers, "_MANY_FILES", 10_000)  # processes take longer to start than these pictures to read
    monkeypatch.setenv("POSTTRAIN_CACHE", str(shared_cache))
    return shared_cache


def rows(name: str) -> list[Row]:
    found = scan("d", SourceConfig(path=f"demo:{name}"), SPEC, Path())
    assert not found.dropped
    assert not found.notes
    return found.kept


def test_no_scan_is_in_two_folders_and_none_is_missing() -> None:
    numbers = [scan.number for name in digits.SCANS for scan in digits.scans(name)]
    assert sorted(numbers) == list(range(1797))
    pictures = {
        name: {file for row in rows(f"digits/{name}") for file in row.media_hashes} for name in digits.folders()
    }
    pictures["general"] = {file for row in rows("digits-general") for file in row.media_hashes}
    for name, files in pictures.items():
        for other, others in pictures.items():
            assert name == other or not files & others


def test_pictures_are_the_scans_and_the_answers_are_true() -> None:
    from sklearn.datasets import load_digits  # needs two seconds, which a worker without these tests is spared

    truth = load_digits()
    for row in rows("digits/read")[:20]:
        number = int(row.id.rpartition("/")[2])
        assert row.answer == digits.NAMES[truth.target[number]]
        small = np.asarray(open_picture(row.images[0]).convert("L").resize((8, 8)), float) * 16 / 255
        assert np.corrcoef(small.ravel(), truth.images[number].ravel())[0, 1] > 0.95
    assert min(Counter(row.answer for row in rows("digits/read")).values()) >= 12
    for row in rows("digits/parity"):
        number = int(row.id.rpartition("/")[2])
        assert row.answer == ("odd" if truth.target[number] % 2 else "even")


def test_choices_hold_the_answer_and_its_look_alike() -> None:
    for row in rows("digits/choice"):
        assert row.asks_for_tags
        assert len(row.choices) == 4
        assert row.answer in row.choices
        assert digits.NAMES[digits.LOOK_ALIKE[digits.NAMES.index(row.answer)]] in row.choices


def test_the_general_part_is_mistaken_and_untagged_as_often_as_it_says() -> None:
    choice = [row for row in rows("digits-general") if row.id.endswith("choice")]
    truth = {f"{scan.number:04d}": scan.digit for scan in digits.scans("general")}
    larger = [row for row in choice if truth[row.id.split("/")[1][:4]] > 4]
    wrong = [row for row in larger if digits.NAMES[truth[row.id.split("/")[1][:4]]] not in row.answer]
    assert abs(len(wrong) / len(larger) - digits.MISTAKEN) < 0.06
    untagged = [row for row in choice if "<answer>" not in row.answer]
    assert abs(len(untagged) / len(choice) - digits.UNTAGGED) < 0.04
    assert all(row.metadata == {"quality": 0.3} for row in choice)


def test_a_digit_moves_where_its_answer_says() -> None:
    for row in rows("digits/motion")[:8]:
        assert row.video is not None
        frames_THWC, _ = sample_video(row.video, SPEC)
        weights = frames_THWC[..., 0].astype(float)
        y, x = (np.average(np.indices(weights[0].shape)[axis], weights=weights[0]) for axis in (0, 1))
        to_y, to_x = (np.average(np.indices(weights[-1].shape)[axis], weights=weights[-1]) for axis in (0, 1))
        dx, dy = digits._DIRECTIONS[row.answer]
        assert (to_x - x) * dx + (to_y - y) * dy > 10


def test_the_whole_set_is_a_source_and_its_files_are_plain(tmp_path: Path) -> None:
    assert len(rows("digits")) == 780
    folder = demo.write("digits/choice", tmp_path / "out")
    first = json.loads((folder / "rows.jsonl").read_text().splitlines()[0])
    assert set(first) == {"id", "image", "question", "choices", "answer"}
    with pytest.raises(DataError, match="did you mean demo:digits/read"):
        demo.resolve("digits/raed")
