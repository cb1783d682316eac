"""What is measured on answers: the loss of the true one, and what the model says itself."""

from dataclasses import replace

import pytest
import torch

from posttrain.config import AnswersConfig
from posttrain.evaluation.answers import NUM_SHOWN, answer_losses, answers, in_form, room_for_answers
from posttrain.evaluation.rewards import question_of
from posttrain.models.vlm import VisionLanguageModel
from tests.chat import digits


def test_the_loss_is_each_rows_own_whatever_the_batch(chat: VisionLanguageModel) -> None:
    rows = [*digits("read")[:3], *digits("motion")[:2], *digits("choice")[:2]]
    losses_N = answer_losses(chat, rows, batch_size=3)
    for row, loss in zip(rows, losses_N, strict=True):
        with torch.no_grad():
            expected = chat.model(**chat.collate([row]), use_cache=False).loss
        assert float(loss) == pytest.approx(float(expected), abs=1e-5)


def test_answers_are_judged_and_shown(chat: VisionLanguageModel) -> None:
    rows = list(digits("choice")[:12])
    room = room_for_answers(chat, rows, AnswersConfig())
    found = answers(chat, rows, max_new_tokens=room, batch_size=5)
    assert found.texts == chat.generate(rows, max_new_tokens=room)
    for row, text, is_right, is_formed in zip(rows, found.texts, found.right_N, found.formed_N, strict=True):
        assert bool(is_right) == (text == row.target)  # the base answers these in tags and with one of the choices
        assert bool(is_formed) == (text.startswith("<think></think><answer>") and text.endswith("</answer>"))
    shown = found.shown(rows)
    assert len(shown) == NUM_SHOWN
    assert shown[0].question.startswith("Which digit is written here?\nA. ")
    assert (shown[0].true, shown[0].given) == (rows[0].answer, found.texts[0])
    again = answers(chat, rows, max_new_tokens=room, batch_size=4, temperature=1.0, seed=5)
    assert again.texts == chat.generate(rows, max_new_tokens=room, temperature=1.0, seed=5)


def test_a_long_wrong_answer_is_not_cut_into_a_right_one(chat: VisionLanguageModel) -> None:
    """The base says "seven, a large digit." where one word is asked for."""
    rows = list(digits("read")[:12])
    found = answers(chat, rows, max_new_tokens=room_for_answers(chat, rows, AnswersConfig()), batch_size=16)
    assert float(found.right_N.mean()) == 0.0
    assert all(text.endswith("digit.") for text in found.texts)
    assert room_for_answers(chat, rows, AnswersConfig(max_new_tokens=3)) == 3


def test_the_form_that_a_row_asks_for() -> None:
    plain, tagged = digits("read")[0], digits("choice")[0]
    assert in_form(plain, "seven")
    assert not in_form(plain, "<answer>seven</answer>")
    assert not in_form(plain, "  ")
    assert in_form(tagged, "<think>hm</think><answer>seven</answer>")
    assert not in_form(tagged, "seven")
    assert question_of(plain) == "Which digit is this?"
    talk = replace(plain, turns=(*plain.turns, ("assistant", "seven"), ("user", "Is it <image> odd?")))
    assert question_of(talk) == "Is it  odd?"
