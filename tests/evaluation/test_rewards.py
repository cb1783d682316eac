"""Rewards by name and weight, and one clear error for a user's own that goes wrong."""

import pickle
from pathlib import Path

import pytest

from posttrain.config import RlConfig
from posttrain.data import Row
from posttrain.errors import RewardError
from posttrain.evaluation.rewards import Rewards, Said

ROW = Row(
    id="digits/7",
    source="digits",
    turns=(("system", "Be short."), ("user", "<image>\nWhich digit is it?")),
    answer="seven",
    images=(Path("7.png"),),
    video=None,
    choices=("one", "seven"),
    metadata={"hand": "left", "completion": "of the data"},
    media_hashes=("0",),
)
GOOD = "<think></think><answer>seven</answer>"


def load(rewards: dict[str, object], folder: Path = Path(), max_tokens: int = 10) -> Rewards:
    document = {"type": "rl", "rewards": rewards, "allow_code": True, "max_completion_tokens": max_tokens}
    return Rewards.load(RlConfig.model_validate(document), folder)


def own(folder: Path, code: str, name: str = "mine") -> Rewards:
    (folder / "rewards.py").write_text(code)
    return load({name: {"file": "rewards.py", "weight": 0.5}}, folder)


def test_weighted_sum_of_named_components() -> None:
    rewards = load({"accuracy": 1.0, "format": 0.2, "length": {"weight": -0.5, "max_tokens": 8}})
    values = rewards.values(Said(ROW, GOOD, 6))
    assert values == {"accuracy": 1.0, "format": 1.0, "length": 0.25}
    assert rewards.total(values) == pytest.approx(1.075)
    assert rewards.reach == pytest.approx(1.7)
    assert rewards.values(Said(ROW, "one", 2)) == {"accuracy": 0.0, "format": 0.0, "length": 0.75}


def test_length_falls_to_zero_where_answers_are_cut() -> None:
    rewards = load({"length": 1.0}, max_tokens=4)
    assert [rewards.values(Said(ROW, "", tokens))["length"] for tokens in (1, 2, 4, 9)] == [0.75, 0.5, 0.0, 0.0]


def test_a_reward_of_ones_own_sees_the_row(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\n"
        "def mine(question, choices, answer, completion, **row):\n"
        "    assert question == 'Which digit is it?' and choices == ('one', 'seven') and answer == 'seven'\n"
        "    assert (row['id'], row['source'], row['hand'], row['num_tokens']) == ('digits/7', 'digits', 'left', 6)\n"
        "    assert row['images'] == (Path('7.png'),) and row['video'] is None\n"
        "    return len(completion)\n"
    )
    rewards = own(tmp_path, code)
    values = rewards.values(Said(ROW, GOOD, 6))
    assert values == {"mine": float(len(GOOD))}
    assert rewards.total(values) == len(GOOD) / 2


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise KeyError('colour')", "raised KeyError: 'colour'"),
        ("pass", "returned nothing"),
        ("return float('nan')", "returned nan"),
        ("return float('inf')", "returned inf"),
        ("return 'good'", "returned 'good' (str)"),
        ("return [1.0]", "returned [1.0] (list)"),
    ],
)
def test_one_that_goes_wrong_is_one_clear_error(tmp_path: Path, body: str, told: str) -> None:
    rewards = own(tmp_path, f"def mine(question, choices, answer, completion, **row):\n    {body}\n")
    with pytest.raises(RewardError) as caught:
        rewards.values(Said(ROW, GOOD, 6))
    message = caught.value.message
    for part in ("strategy.rewards.mine", str(tmp_path / "rewards.py"), "row digits/7", told, "seven", "finite number"):
        assert part in message
    assert pickle.loads(pickle.dumps(caught.value)).message == message


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(RewardError, match=r"there is no file .*elsewhere.py; paths start at the sweep file"):
        load({"mine": {"file": "elsewhere.py"}}, tmp_path)
    with pytest.raises(RewardError, match=r"rewards.py cannot be run \(NameError: .*nonsense"):
        own(tmp_path, "nonsense\n")
    with pytest.raises(RewardError, match=r"has no function mine; it has mina; write `def mine\(question"):
        own(tmp_path, "def mina(question, choices, answer, completion, **row):\n    return 0\n")
    with pytest.raises(RewardError, match=r"mine cannot be called .*; write `def mine\(question"):
        own(tmp_path, "def mine(prompt, completion):\n    return 0\n")


def test_identity_follows_the_content_of_the_files(tmp_path: Path) -> None:
    code = "def mine(question, choices, answer, completion, **row):\n    return {}\n"
    first = own(tmp_path, code.format(0)).identity
    assert own(tmp_path, code.format(0)).identity == first
    assert own(tmp_path, code.format(1)).identity != first
    assert load({"accuracy": 1.0}).identity == []
