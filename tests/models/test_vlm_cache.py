"""Rows in the cache: equal to what the processor gives live, decoded once, whole or made again."""

import copy
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from posttrain.data import Row, RowSpec, Splits
from posttrain.errors import DataError, EnvironmentFault
from posttrain.models import vlm_media
from posttrain.models.vlm import VisionLanguageModel, limit_pixels
from posttrain.models.vlm_media import picture_arguments, video_arguments
from posttrain.models.vlm_rows import RowEncoder
from posttrain.training.chat_bench import ChatBench
from tests.chat import SPEC, digits


@pytest.fixture
def rows(chat: VisionLanguageModel) -> list[Row]:
    """Pictures and videos; found before the cache is another."""
    return [*digits("read")[:2], digits("choice")[0], *digits("motion")[:2]]


@pytest.fixture
def own_cache(rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path))
    return tmp_path


def entries(cache: Path, kind: str) -> list[Path]:
    return sorted((cache / "encodings" / kind).rglob("*.safetensors"))


@contextmanager
def work(monkeypatch: pytest.MonkeyPatch, chat: VisionLanguageModel) -> Iterator[Counter[str]]:
    """Counts what is decoded and what the processors resize, for the length of the block."""
    counts: Counter[str] = Counter()

    def counted(name: str, function: Any) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            counts[name] += 1
            return function(*args, **more)

        return call

    with monkeypatch.context() as patch:
        for name in ("open_picture", "sample_video"):
            patch.setattr(vlm_media, name, counted(name, getattr(vlm_media, name)))
        for part in {type(chat.processor.image_processor), type(chat.processor.video_processor)}:
            patch.setattr(part, "resize", counted("resize", part.resize))
        yield counts


def live(chat: VisionLanguageModel, row: Row) -> dict[str, torch.Tensor]:
    """The whole of a row by one call of the plain processor."""
    arguments: dict[str, Any] = {}
    if row.images:
        arguments = {"images": [picture_arguments(path)["images"][0] for path in row.images]}
    if row.video is not None:
        arguments |= video_arguments(row.video, SPEC)
    prompt, _ = chat.encoder.texts(row)
    inputs = chat.processor(text=[prompt], return_tensors="pt", return_mm_token_type_ids=True, **arguments)
    return {name: torch.as_tensor(value) for name, value in inputs.items()}


def large_picture(row: Row, path: Path) -> Row:
    """The row with a picture of many colours that has to be resized."""
    pixels = np.random.default_rng(0).integers(0, 256, (203, 331, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return replace(row, images=(path,), media_hashes=("large",))


def test_cached_equals_live_bit_for_bit(
    chat: VisionLanguageModel, own_cache: Path, rows: list[Row], tmp_path: Path
) -> None:
    first = RowEncoder(chat.processor, SPEC)
    some = [*rows, large_picture(rows[0], tmp_path / "large.png")]
    for row in some:
        first.prepare(row)
    second = RowEncoder(chat.processor, SPEC)
    for row in some:
        expected, encoded = live(chat, row), second.encode(row)
        assert torch.equal(encoded.prompt_L, expected["input_ids"][0])
        assert torch.equal(encoded.kinds_L, expected["mm_token_type_ids"][0])
        assert encoded.prompt_L.dtype == encoded.kinds_L.dtype == encoded.answer_A.dtype == torch.int64
        assert encoded.media.keys() == expected.keys() - {"input_ids", "attention_mask", "mm_token_type_ids"}
        for name, value in encoded.media.items():
            assert value.dtype == expected[name].dtype, name
            assert torch.equal(value, expected[name]), name
    assert (second.media.processed, second.media.processed_again) == (0, 0)


def test_a_second_encoder_decodes_and_resizes_nothing(
    chat: VisionLanguageModel, own_cache: Path, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = RowEncoder(chat.processor, SPEC)
    with work(monkeypatch, chat) as counts:
        for row in rows:
            first.prepare(row)
    assert (counts["open_picture"], counts["sample_video"], counts["resize"]) == (3, 2, 5)
    assert first.media.processed == 5
    second = RowEncoder(chat.processor, SPEC)
    with work(monkeypatch, chat) as counts:
        for row in rows:
            second.prepare(row)
            second.encode(row)
            second.size(row)
    assert counts == {}
    assert second.media.processed == 0


def test_pixels_are_kept_small_and_once(chat: VisionLanguageModel, own_cache: Path, rows: list[Row]) -> None:
    encoder = RowEncoder(chat.processor, SPEC)
    picture, video = rows[0], rows[-1]
    encoder.prepare(picture)
    (entry,) = entries(own_cache, "media")
    stored, floats = load_file(entry)["pixel_values"], encoder.encode(picture).media["pixel_values"]
    assert stored.dtype == torch.uint8
    assert stored.nbytes * 8 == floats.nbytes
    encoder.prepare(replace(picture, id="other", turns=(("user", "<image>\nAnother question"),)))
    assert len(entries(own_cache, "media")) == 1
    assert len(entries(own_cache, "rows")) == 2
    encoder.prepare(video)
    (stored,) = (load_file(path)["pixel_values_videos"] for path in entries(own_cache, "media") if path != entry)
    assert stored.nbytes * 4 == encoder.encode(video).media["pixel_values_videos"].nbytes


def test_an_entry_belongs_to_the_settings_that_it_depends_on(
    chat: VisionLanguageModel, own_cache: Path, rows: list[Row]
) -> None:
    def prepared(processor: Any, spec: RowSpec) -> tuple[int, int]:
        encoder = RowEncoder(processor, spec)
        encoder.prepare(rows[0])
        encoder.prepare(rows[-1])
        return len(entries(own_cache, "media")), len(entries(own_cache, "rows"))

    assert prepared(chat.processor, SPEC) == (2, 2)
    assert prepared(chat.processor, RowSpec(max_frames=2, fps=1.0)) == (3, 3)  # the picture is the same
    smaller = copy.deepcopy(chat.processor)
    limit_pixels(smaller, (2 * smaller.image_processor.patch_size) ** 2)
    assert prepared(smaller, SPEC) == (5, 5)
    other_words = copy.deepcopy(chat.processor)
    other_words.chat_template = other_words.chat_template.replace("You are", "Thou art")
    if other_words.chat_template != chat.processor.chat_template:
        assert prepared(other_words, SPEC) == (5, 7)


def test_tokens_are_counted_without_pixels(
    chat: VisionLanguageModel, own_cache: Path, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = RowEncoder(chat.processor, SPEC)
    expected = [(len(row.prompt_L), len(row.answer_A)) for row in map(first.encode, rows)]
    for path in entries(own_cache, "media"):
        path.unlink()
    second = RowEncoder(chat.processor, SPEC)
    with work(monkeypatch, chat) as counts:
        assert [second.size(row) for row in rows] == expected
    assert counts == {}


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_what_is_lost_is_made_again_and_counted(
    chat: VisionLanguageModel, own_cache: Path, rows: list[Row], damage: str
) -> None:
    first = RowEncoder(chat.processor, SPEC)
    expected = [first.encode(row) for row in rows]
    for path in [*entries(own_cache, "media"), *entries(own_cache, "rows")]:
        path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:-3])
    second = RowEncoder(chat.processor, SPEC)
    for row, known in zip(rows, map(second.encode, rows), strict=True):
        other = expected[rows.index(row)]
        assert torch.equal(known.prompt_L, other.prompt_L)
        assert all(torch.equal(known.media[name], value) for name, value in other.media.items())
    assert second.media.processed_again == 5
    third = RowEncoder(chat.processor, SPEC)
    third.encode(rows[0])
    assert third.media.processed == 0


def bench_of(chat: VisionLanguageModel, rows: Sequence[Row]) -> ChatBench:
    chat.encoder = RowEncoder(chat.processor, SPEC, chat.encoder.max_tokens)
    return ChatBench(chat, chat.model, Splits({"all": list(rows)}, {}), Path())


@pytest.fixture
def given_back(chat: VisionLanguageModel) -> Iterator[None]:
    encoder = chat.encoder
    yield
    chat.encoder = encoder


def test_the_preparation_encodes_every_row_once(
    chat: VisionLanguageModel, own_cache: Path, rows: list[Row], given_back: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    many = [replace(rows[index % 5], id=str(index), turns=(("user", f"<image>{index}"),)) for index in range(70)]
    many = [
        row if row.images else replace(row, turns=(("user", row.turns[0][1].replace("<image>", "<video>")),))
        for row in many
    ]
    with work(monkeypatch, chat) as counts:
        bench_of(chat, many).encode(many, lambda done, total: seen.append((done, total)), lambda: False)
    assert seen == [(64, 70), (70, 70)]
    assert counts["resize"] == 5
    assert len(entries(own_cache, "rows")) == 70
    again = bench_of(chat, many)
    with work(monkeypatch, chat) as counts:
        again.encode(many, lambda done, total: None, lambda: False)
        chat.collate(many[:6])
    assert counts == {}


def test_a_row_that_is_too_long_is_found_in_the_preparation_also_from_the_cache(
    chat: VisionLanguageModel, own_cache: Path, rows: list[Row], given_back: None
) -> None:
    bench_of(chat, rows).encode(rows, lambda done, total: None, lambda: False)
    chat.encoder.max_tokens = 20
    for _ in range(2):
        with pytest.raises(DataError, match=r"it has \d+ tokens, and model.max_sequence_length is 20"):
            bench_of(chat, rows).encode(rows, lambda done, total: None, lambda: False)


def test_rows_beyond_the_limit_of_the_cache_are_told_after_the_first_round(
    chat: VisionLanguageModel, own_cache: Path, rows: list[Row], given_back: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTTRAIN_CACHE_LIMIT", "100kB")
    many = [replace(rows[0], id=str(index), turns=(("user", f"<image>{index}"),)) for index in range(900)]
    with pytest.raises(EnvironmentFault, match=r"needs .*kB of encodings .* is 100 kB"):
        bench_of(chat, many).encode(many, lambda done, total: None, lambda: False)
    assert len(entries(own_cache, "rows")) == 64
