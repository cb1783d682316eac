"""The loaded vision-language model against plain transformers: prompts, labels, losses, answers."""

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from posttrain.config import SourceConfig
from posttrain.data import RowSpec, sample_video, scan
from posttrain.errors import DataError, ModelError
from posttrain.evaluation.answers import in_form
from posttrain.evaluation.matching import right, well_formed
from posttrain.models.vlm import VisionLanguageModel, limit_pixels
from posttrain.models.vlm_catalog import MAX_ASPECT
from posttrain.models.vlm_rows import IGNORED, RowEncoder, supervised_share
from tests.chat import SPEC, digits, unlike


def plain_inputs(chat: VisionLanguageModel, row: Any, **more: Any) -> Any:
    """What the processor's own chat template makes of a row."""
    media: list[dict[str, Any]] = [{"type": "image", "image": Image.open(path)} for path in row.images]
    extra: dict[str, Any] = {}
    if row.video is not None:
        frames_THWC, fps = sample_video(row.video, SPEC)
        media.append({"type": "video", "video": torch.from_numpy(frames_THWC.transpose(0, 3, 1, 2).copy())})
        indices = list(range(len(frames_THWC)))
        extra = {
            "do_sample_frames": False,
            "video_metadata": [{"fps": fps, "total_num_frames": len(indices), "frames_indices": indices}],
            "cap_pixels_per_frame": True,
        }
    text = row.turns[-1][1].replace("<image>", "").replace("<video>", "").strip()
    messages = [
        *({"role": role, "content": [{"type": "text", "text": said}]} for role, said in row.turns[:-1]),
        {"role": "user", "content": [*media, {"type": "text", "text": text}]},
        *more.get("said", []),
    ]
    return chat.processor.apply_chat_template(
        messages,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        add_generation_prompt=not more.get("said"),
        processor_kwargs=extra,
    )


@pytest.mark.parametrize("folder", ["read", "choice", "motion"])
def test_a_prompt_is_what_the_checkpoints_own_template_makes(chat: VisionLanguageModel, folder: str) -> None:
    row = digits(folder)[0]
    plain = plain_inputs(chat, row)
    encoded = chat.encoder.encode(row)
    assert torch.equal(encoded.prompt_L, plain["input_ids"][0])
    for name, value in encoded.media.items():
        assert torch.equal(value, torch.as_tensor(plain[name])), name
    pixels = {"read": "pixel_values", "choice": "pixel_values", "motion": "pixel_values_videos"}[folder]
    assert pixels in encoded.media


def test_labels_are_on_the_answer_alone(chat: VisionLanguageModel) -> None:
    rows = [digits("read")[0], digits("choice")[0], digits("motion")[0]]
    batch = chat.collate(rows)
    for row, labels in zip(rows, batch["labels"], strict=True):
        supervised = labels[labels != IGNORED]
        assert chat.processor.tokenizer.decode(supervised) == row.target + "<|im_end|>"
    assert 0.05 < supervised_share(batch) < 0.25


def test_the_loss_of_a_mixed_batch_is_that_of_each_row_alone(chat: VisionLanguageModel) -> None:
    rows = [digits("read")[0], digits("motion")[0], digits("choice")[0], digits("read")[1]]
    batched = chat.token_losses(chat.collate(rows))
    for index, row in enumerate(rows):
        said = [{"role": "assistant", "content": [{"type": "text", "text": row.target}]}]
        plain = plain_inputs(chat, row, said=said)
        answer = chat.encoder.encode(row).answer_A
        start = len(chat.encoder.encode(row).prompt_L)
        assert torch.equal(plain["input_ids"][0, start : start + len(answer)], answer)
        with torch.no_grad():
            logits = chat.model(**plain, use_cache=False).logits[0, start - 1 : start - 1 + len(answer)]
        expected = torch.nn.functional.cross_entropy(logits, answer)
        mine = batched.losses[index].sum() / batched.supervised[index].sum()
        assert torch.allclose(mine, expected, atol=1e-5)


def test_answers_do_not_depend_on_the_batch(chat: VisionLanguageModel) -> None:
    rows = [digits("read")[0], digits("choice")[0], digits("motion")[0], digits("read")[1]]
    greedy = chat.generate(rows, max_new_tokens=12)
    assert chat.generate(rows[::-1], max_new_tokens=12, batch_size=2)[::-1] == greedy
    plain = plain_inputs(chat, rows[1])
    tokens = chat.model.generate(**plain, max_new_tokens=12, do_sample=False)[0, plain["input_ids"].shape[1] :]
    assert greedy[1] == chat.processor.tokenizer.decode(tokens, skip_special_tokens=True)
    sampled = chat.generate(rows, max_new_tokens=12, temperature=1.5, seed=3)
    assert chat.generate(rows[::-1], max_new_tokens=12, temperature=1.5, seed=3, batch_size=3)[::-1] == sampled
    assert chat.generate(rows, max_new_tokens=12, temperature=1.5, seed=4) != sampled
    assert not chat.model.training


def test_sampling_draws_from_the_models_own_distribution(chat: VisionLanguageModel) -> None:
    row = digits("choice")[1]
    with torch.no_grad():
        logits = chat.model(**chat.encoder.prompts([row]), use_cache=False).logits[0, -1]
    likeliest, share = int(logits.argmax()), float((logits / 2).softmax(-1).max())
    rows = [replace(row, id=f"copy-{number}") for number in range(256)]
    texts = chat.generate(rows, max_new_tokens=1, temperature=2.0, batch_size=64)
    first = chat.processor.tokenizer.decode([likeliest], skip_special_tokens=True)
    assert abs(texts.count(first) / len(texts) - share) < 4 * (0.25 / 256) ** 0.5


def test_the_base_reads_digits_in_its_own_words_and_is_right_half_the_time(chat: VisionLanguageModel) -> None:
    """What post-training needs: something to improve, and something to reinforce."""
    rows = digits("read")[:60]
    said = chat.generate(rows, max_new_tokens=10)
    assert np.mean([row.answer in text for row, text in zip(rows, said, strict=True)]) > 0.7
    assert np.mean([row.answer == text for row, text in zip(rows, said, strict=True)]) < 0.1
    rows = digits("choice")[:160]
    said = chat.generate(rows, max_new_tokens=14, temperature=1.0)
    tagged = [text.startswith("<think></think><answer>") and text.endswith("</answer>") for text in said]
    right = [text == row.target for row, text in zip(rows, said, strict=True)]
    assert 0.75 < np.mean(tagged) < 0.98
    assert 0.3 < np.mean(right) < 0.65


def test_other_pixels_give_another_answer(chat: VisionLanguageModel) -> None:
    rows = unlike(digits("read"), 6)
    batch = chat.collate(rows)
    black = batch | {"pixel_values": torch.zeros_like(batch["pixel_values"])}
    seen, unseen = (chat.token_losses(inputs).losses.sum() for inputs in (batch, black))
    assert unseen > seen + 3


def test_the_checkpoint_is_whole_and_plain(chat: VisionLanguageModel, tmp_path: Path) -> None:
    chat.model.save_pretrained(tmp_path)
    chat.processor.save_pretrained(tmp_path)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path)
    processor = AutoProcessor.from_pretrained(tmp_path)
    inputs = plain_inputs(chat, digits("motion")[0])
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, chat.model(**inputs).logits)
    assert processor.chat_template == chat.processor.chat_template
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == chat.model.config.model_type
    again = VisionLanguageModel.load(tmp_path, dtype=torch.bfloat16, device=torch.device("cpu"))
    assert again.model.dtype == torch.bfloat16
    assert next(iter(again.modules.values())) is again.model


def test_several_pictures_and_a_single_frame(chat: VisionLanguageModel) -> None:
    one, other = digits("read")[:2]
    turns = (("user", "<image>\nfirst, <image> second"),)
    both = replace(
        one, turns=turns, images=(*one.images, *other.images), media_hashes=(*one.media_hashes, *other.media_hashes)
    )
    encoded = chat.encoder.encode(both)
    assert len(encoded.media["image_grid_thw"]) == 2
    single = chat.encoder.encode(one)
    assert torch.equal(encoded.media["pixel_values"][: len(single.media["pixel_values"])], single.media["pixel_values"])
    short = RowEncoder(chat.processor, RowSpec(max_frames=1, fps=2.0))
    assert int(short.encode(digits("motion")[0]).media["video_grid_thw"][0, 0]) == 1
    long = RowEncoder(chat.processor, RowSpec(max_frames=8, fps=4.0))
    assert int(long.encode(digits("motion")[0]).media["video_grid_thw"][0, 0]) == 4


def test_pictures_are_scaled_to_the_limit(chat: VisionLanguageModel) -> None:
    processor = copy.deepcopy(chat.processor)
    token = (2 * processor.image_processor.patch_size) ** 2
    limit_pixels(processor, token)
    encoder = RowEncoder(processor, SPEC)
    assert int(encoder.encode(digits("read")[0]).media["image_grid_thw"].prod()) == 4
    assert int(encoder.encode(digits("motion")[0]).media["video_grid_thw"][0, 1:].prod()) == 4
    assert int(chat.encoder.encode(digits("read")[0]).media["image_grid_thw"].prod()) == 16


OPENED, CLOSED = "<think>\\n", "<think>\\n\\n</think>\\n\\n"


def with_template(chat: VisionLanguageModel, opening: str, said: str) -> RowEncoder:
    """An encoder whose template ends prompts with `opening` and writes answers as `said`."""
    processor = copy.deepcopy(chat.processor)
    processor.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for part in m.content %}"
        "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}"
        "{% if m.role == 'assistant' %}" + said + "{% else %}{{ part.text }}{% endif %}"
        "{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{{ '" + opening + "' }}{% endif %}"
    )
    return RowEncoder(processor, SPEC)


VERBATIM = "{{ part.text }}"
REOPENED = "{{ '<think>\\n' + part.text }}"
# as Qwen3-VL-Thinking writes the last answer
THOUGHT_APART = "{{ '<think>\\n\\n</think>\\n\\n' + part.text.split('</think>')[-1] }}"


@pytest.mark.parametrize("opening", [OPENED, "<think>", CLOSED])
@pytest.mark.parametrize(
    ("said", "folder"),
    [
        (VERBATIM, "choice"),
        (VERBATIM, "read"),
        (REOPENED, "choice"),
        (THOUGHT_APART, "choice"),
        (THOUGHT_APART, "read"),
    ],
)
def test_a_template_that_opens_the_thought(chat: VisionLanguageModel, opening: str, said: str, folder: str) -> None:
    """The prompt and the answer after it are one well-formed text, however the template writes given answers."""
    encoder = with_template(chat, opening, said)
    assert encoder.opening == opening.replace("\\n", "\n")
    row = digits(folder)[0]
    prompt, answer = encoder.texts(row)
    assert prompt.endswith(encoder.opening)
    text = encoder.opening + answer.removesuffix("<|im_end|>")
    assert right(text, row.answer, row.choices)
    assert in_form(row, text)
    if folder == "choice":
        assert well_formed(text)


def test_a_template_that_opens_nothing(chat: VisionLanguageModel) -> None:
    assert chat.encoder.opening == ""


def test_what_is_said_begins_with_the_thought_that_the_prompt_opened(chat: VisionLanguageModel) -> None:
    rows = digits("choice")[:2]
    plain = chat.generate(rows, max_new_tokens=12)
    own, chat.encoder = chat.encoder, with_template(chat, OPENED, "{{ part.text }}")
    try:
        texts = chat.generate(rows, max_new_tokens=12)
    finally:
        chat.encoder = own
    assert all(text.startswith("<think>\n") for text in texts)
    assert plain == chat.generate(rows, max_new_tokens=12)


@pytest.mark.parametrize("size", [(200, 1), (1, 200), (1, 1), (3600, 18)])
def test_the_processor_takes_what_a_scan_keeps(
    chat: VisionLanguageModel, tmp_path: Path, size: tuple[int, int]
) -> None:
    found = scan("qa", narrow(tmp_path, size), replace(SPEC, max_aspect=MAX_ASPECT), Path())
    assert not found.dropped
    chat.collate(found.kept)


@pytest.mark.parametrize("size", [(201, 1), (1, 201), (4096, 18)])
def test_the_processor_refuses_what_a_scan_drops(
    chat: VisionLanguageModel, tmp_path: Path, size: tuple[int, int]
) -> None:
    source = narrow(tmp_path, size)
    found = scan("qa", source, replace(SPEC, max_aspect=MAX_ASPECT), Path())
    assert [row.id for row in found.kept] == ["qa/whole"]
    assert all(entry.reason.startswith(f"too narrow: {size[0]}x{size[1]} pixels are") for entry in found.dropped)
    assert len(found.dropped) == 2
    for row in scan("qa", source, SPEC, Path()).kept[1:]:
        with pytest.raises(ValueError, match="aspect ratio must be smaller than 200"):
            chat.collate([row])


def narrow(folder: Path, size: tuple[int, int]) -> SourceConfig:
    """A source with a picture and a video of one size, and a row without media."""
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    with av.open(str(folder / "b.mov"), "w") as container:
        stream = container.add_stream("png", rate=4)
        stream.width, stream.height = size
        stream.pix_fmt = "rgb24"
        for _ in range(4):
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        container.mux(stream.encode())
    rows = [
        {"id": "whole", "question": "Is it?", "answer": "yes"},
        {"id": "a", "image": "a.png", "question": "What is it?", "answer": "a line"},
        {"id": "b", "video": "b.mov", "question": "What is it?", "answer": "a line"},
    ]
    (folder / "rows.json").write_text(json.dumps(rows))
    return SourceConfig(path=str(folder / "rows.json"))


def test_what_cannot_be_supervised_is_refused(chat: VisionLanguageModel) -> None:
    row = digits("read")[0]
    processor = copy.deepcopy(chat.processor)
    processor.chat_template = "{% for m in messages %}{% if m.role != 'assistant' %}said{% endif %}{% endfor %}"
    with pytest.raises(ModelError, match=f"row {row.id}.*so no token of it can be supervised"):
        RowEncoder(processor, SPEC).collate([row])
    with pytest.raises(DataError, match=f"row {row.id}: it has .* tokens, and model.max_sequence_length is 12"):
        RowEncoder(chat.processor, SPEC, max_tokens=12).collate([row])


def test_memory_is_bounded(chat: VisionLanguageModel) -> None:
    encoder = RowEncoder(chat.processor, SPEC, memory_bytes=3 * chat.encoder.encode(digits("read")[0]).nbytes)
    for row in digits("read")[:6]:
        encoder.encode(row)
    assert len(encoder._memory) == 3
    encoder.encode(digits("read")[5])
    assert len(encoder._memory) == 3


def test_a_pickle_is_not_read(chat: VisionLanguageModel, tmp_path: Path) -> None:
    chat.model.save_pretrained(tmp_path)
    chat.processor.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(chat.model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="transformers cannot load"):
        VisionLanguageModel.load(tmp_path, dtype=torch.float32, device=torch.device("cpu"))
    shutil.rmtree(tmp_path)


def test_a_tokenizer_fits_the_words_of_the_digits(chat: VisionLanguageModel) -> None:
    tokenizer = chat.processor.tokenizer
    assert len(tokenizer) <= chat.model.get_input_embeddings().num_embeddings
    assert all(len(tokenizer(word)["input_ids"]) == 1 for word in ("seven", " digit", "left", "odd"))
    assert len(tokenizer("<think></think><answer>seven</answer>")["input_ids"]) <= 10
