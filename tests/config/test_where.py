"""Conditions on metadata: what they mean, what they refuse, and that no text runs anything."""

import math

import pytest
from pydantic_core import PydanticCustomError

from posttrain.config.where import MAX_DEPTH, MAX_LENGTH, parse
from posttrain.errors import DataError

ROW = {
    "quality": 0.8,
    "camera": "ego",
    "synthetic": False,
    "height": 480,
    "width": 640,
    "class": "it's",
    "shot type": "close",
    "note": None,
    "score": math.nan,
    "tags": ["a"],
}

TRUE = (
    "quality >= 0.8 and camera == 'ego'",
    "quality>=.8 and camera=='ego'",
    "0.5 < quality <= 0.8",
    "camera in ['ego', \"fixed\"]",
    "camera not in ['fixed', 'drone']",
    "not camera in ['fixed']",
    "not synthetic and synthetic == false",
    "width > height",
    "class == 'it\\'s'",
    'class == "it\'s"',
    "`shot type` != 'wide'",
    "note is missing and note is null and note == null",
    "score is missing and absent is missing",
    "camera is not missing and camera != null and quality is not null",
    "camera == 'x' or camera == 'y' or quality > -1e-3",
    "not (camera == 'ego' and quality < 0.8)",
    "not not camera == 'ego'",
    "camera == 'x' or quality == 0.8 and width == 640",  # `and` binds closer
    "height == 480.0",
    "'a' < camera < 'z'",
)
FALSE = (
    "absent == 1",
    "absent != 1",
    "absent >= 0 or absent < 0",
    "absent not in [1]",
    "absent in [1]",
    "absent",
    "score == 1 or score != 1",
    "synthetic",
    "synthetic == 0",  # no number is a truth value
    "height == '480'",
    "tags == 'a'",
    "synthetic in [0, '']",
    "camera == 'Ego'",
    "(camera == 'x' or quality == 0.8) and width == 1",
)


@pytest.mark.parametrize("text", TRUE)
def test_conditions_that_hold(text: str) -> None:
    assert parse(text).matches(ROW) is True


@pytest.mark.parametrize("text", FALSE)
def test_conditions_that_do_not_hold(text: str) -> None:
    assert parse(text).matches(ROW) is False


def test_a_condition_names_its_columns() -> None:
    where = parse("quality >= 0.8 and (`shot type` == 'wide' or speed is missing) and camera in ['quality2']")
    assert where.columns == {"quality", "shot type", "speed", "camera"}
    assert where.optional == {"speed"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("quality >", r"found the end at character 10 of 'quality >': expected a column or a value"),
        ("quality = 1", r"found '= 1' at character 9.*write =="),
        ("quality >= 0.8 camera", r"found 'camera' at character 16.*expected `and`, `or` or the end"),
        ("camera == 'ego", r"found \"'ego\" at character 11.*the quote is not closed"),
        ("(quality > 1", r"the end at character 13.*expected `\)`"),
        ("quality > 1)", r"found '\)' at character 12"),
        ("camera in 'ego'", r"expected a list after `in`"),
        ("camera in []", r"found '\]' at character 12"),
        (
            "camera in [quality]",
            r"found 'quality' at character 12.*expected a number, a text, true or false in the list",
        ),
        ("camera in ['a' 'b']", r"expected `,` or `\]`"),
        ("1 == 1", r"neither side of the comparison is a column"),
        ("true", r"expected a comparison after it"),
        ("quality < null", r"`<` with null, expected == or !="),
        ("quality is 3", r"expected `missing` after `is`"),
        ("quality > 1e999", r"found '1e999' at character 11.*the number is too large"),
        ("", r"the end at character 1"),
        ("   ", r"the end at character 4"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, message: str) -> None:
    with pytest.raises(PydanticCustomError, match=message) as caught:
        parse(text)
    assert "in [..]" in (caught.value.context or {})["hint"]


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch /tmp/x')",
        "camera.__class__ == 'x'",
        "camera[0] == 'e'",
        "open('x')",
        "lambda: 1",
        "[x for x in camera]",
        "f'{camera}' == 'ego'",
        "camera == f'{1}'",
        "(camera := 'x') == 'x'",
        "camera if quality else height",
        "{'a': 1} == camera",
        "quality + 1 > 1",
        "quality ** 9 ** 9 > 1",
        "quality > 1; height",
        "quality > 1\nimport os",
        "camera == 'a' # comment",
        "quality > 0x10",
        "quality > 1_000",
        "quality > 1j",
        "*camera",
        "camera == b'ego'",
        "camera == 'ego' & quality",
        "quality >\x00 1",
        "(" * 5000 + "quality" + ")" * 5000,
        "not " * (MAX_DEPTH + 1) + "synthetic",
        "(" * (MAX_DEPTH + 1) + "synthetic" + ")" * (MAX_DEPTH + 1),
        "quality > " + "9" * 1500,
        "synthetic or " * 1000 + "synthetic",
    ],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(PydanticCustomError):
        parse(text)


def test_the_largest_conditions_are_read() -> None:
    chain = " or ".join(["synthetic"] * ((MAX_LENGTH - 30) // 13) + ["quality == 0.8"])
    assert parse(chain).matches(ROW)
    assert parse("(" * (MAX_DEPTH - 1) + "quality == 0.8" + ")" * (MAX_DEPTH - 1)).matches(ROW)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("camera >= 0.8", r"a text, 'ego', on the left and a number, '0.8', on the right of `>=`.*column 'camera'"),
        ("0.5 < camera", r"column 'camera'"),
        ("synthetic > 0", r"true or false, 'False', on the left"),
        ("tags < 'b'", r"a list, \"\['a'\]\", on the left"),
        ("not camera", r"column 'camera' is a text, 'ego', in a sample, and stands alone"),
        ("height and camera == 'ego'", r"column 'height' is a number"),
    ],
)
def test_values_that_cannot_be_compared_are_errors(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse(text).matches(ROW)


def test_columns_that_no_sample_has_name_the_nearest() -> None:
    where = parse("qualty >= 0.8")
    with pytest.raises(DataError, match=r"stage\.where: no sample has the column 'qualty'.*did you mean 'quality'\?"):
        where.check_columns(ROW, "stage.where")
    with pytest.raises(DataError, match="the columns are none"):
        where.check_columns((), "stage.where")
    parse("qualty is missing or quality > 1").check_columns(ROW, "stage.where")
