"""YAML: lines, traps of YAML 1.1, duplicate keys, tags, anchors, syntax errors."""

import math

import pytest

from posttrain.config import yaml_lines
from posttrain.errors import ConfigError


def value_of(text: str) -> object:
    document = yaml_lines.parse(text, "a.yaml")
    assert document.issues == []
    return document.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1.0e-4", 1e-4),
        ("5E3", 5000.0),
        (".5", 0.5),
        ("-1_000", -1000),
        ("010", 10),
        ("0x1F", 31),
        (".inf", math.inf),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("off", False),
        ("Yes", True),
        ("'off'", "off"),
        ("'8'", "8"),
        ("~", None),
        ("", None),
        ("tiny:predict2.5", "tiny:predict2.5"),
        ("1.2.3", "1.2.3"),
        ("e5", "e5"),
    ],
)
def test_scalars_mean_what_people_mean(text: str, value: object) -> None:
    found = value_of(text)
    assert found == value
    assert type(found) is type(value)


def test_keys_are_names_or_numbers() -> None:
    assert value_of("{on: 1, no: 2, 3: 4, '5': 6, null: 7}") == {"on": 1, "no": 2, 3: 4, "5": 6, "null": 7}


def test_every_path_knows_its_line() -> None:
    document = yaml_lines.parse("a:\n  b: 1\n  c:\n    - x\n    - {d: 2}\n", "a.yaml")
    assert document.lines[("a", "b")] == 2
    assert document.lines[("a", "c", "0")] == 4
    assert document.lines[("a", "c", "1", "d")] == 5


def test_a_key_that_stands_twice_is_an_issue_with_both_lines() -> None:
    (issue,) = yaml_lines.parse("a: 1\nb: 2\na: 3\n", "a.yaml").issues
    assert (issue.where, issue.line) == ("a", 3)
    assert "line 1" in issue.message


def test_a_tag_is_refused_and_never_run() -> None:
    (issue,) = yaml_lines.parse("a: !!python/object/apply:os.system ['true']", "a.yaml").issues
    assert "tag" in issue.message


def test_anchors_and_merges_are_read() -> None:
    text = "base: &base {x: 1, y: 2}\nhere:\n  <<: *base\n  y: 3\nagain: *base\n"
    assert value_of(text) == {"base": {"x": 1, "y": 2}, "here": {"x": 1, "y": 3}, "again": {"x": 1, "y": 2}}


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{c}: &{c} [{','.join([f'*{p}'] * 10)}]\n" for p, c in zip("abcdef", "bcdefg", strict=True)),
        "[" * 3000 + "]" * 3000,
    ],
    ids=["circle", "billion laughs", "deep"],
)
def test_a_file_that_would_not_end_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        yaml_lines.parse(text, "a.yaml")


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("a: 1\n\tb: 2\n", 2, "spaces"),
        ("a: [1, 2\nb: 3\n", 2, "look at"),
        ("a: b: c\n", 1, "quotes"),
        ("a: 1\n---\nb: 2\n", 2, "one document"),
    ],
)
def test_a_syntax_error_has_its_line_and_a_remedy(text: str, line: int, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        yaml_lines.parse(text, "a.yaml")
    (issue,) = caught.value.issues
    assert (issue.file, issue.line) == ("a.yaml", line)
    assert hint in issue.hint
