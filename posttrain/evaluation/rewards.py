"""Rewards: how good an answer is, as a weighted sum of named components. Pure; knows no trainer and no model.

A reward of the user's own is a function in a Python file that the sweep file names and allows:

    def mine(question, choices, answer, completion, **row):
        return 1.0 if completion.count("because") == 1 else 0.0

question     the last question's text
choices      what the answer is chosen from, a tuple; () for a free answer
answer       the true answer, as the data has it
completion   what the model said, with the <think> before it that the prompt opened
row          id, source, images, video, num_tokens (of the completion), and the row's own other columns

It returns one finite number, from 0 to 1 if it is to be comparable with the others.
"""

import hashlib
import importlib.util
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any

from posttrain.config import RlConfig
from posttrain.config.support import nearest
from posttrain.data.rows import IMAGE, USER, VIDEO, Row
from posttrain.errors import RewardError
from posttrain.evaluation.matching import right, well_formed

_SIGNATURE = "def {name}(question, choices, answer, completion, **row)"
_SHOWN = 80  # characters of a returned value in a message


@dataclass(frozen=True)
class Said:
    """A completion of a row's question; `num_tokens` is its length, the token that ends it included."""

    row: Row
    text: str
    num_tokens: int


Function = Callable[[Said], Any]


@dataclass(frozen=True)
class Reward:
    """One component: its value before the weight, and where it comes from."""

    name: str
    weight: float
    function: Function
    file: Path | None = None

    def __call__(self, said: Said) -> float:
        """The value of one completion.

        Raises:
            RewardError: a function of the user's own raised, or returned no finite number.
        """
        try:
            value = self.function(said)
        except Exception as error:
            if self.file is None:
                raise  # a bug of ours
            raise self._wrong(said, f"raised {type(error).__name__}: {error}") from error
        if not isinstance(value, Real):
            returned = "nothing" if value is None else f"{value!r:.{_SHOWN}} ({type(value).__name__})"
            raise self._wrong(said, f"returned {returned}")
        if not math.isfinite(value):
            raise self._wrong(said, f"returned {float(value)}")
        return float(value)

    def _wrong(self, said: Said, what: str) -> RewardError:
        return RewardError(
            f"strategy.rewards.{self.name}: {self.name} of {self.file} {what} for row {said.row.id}, whose completion "
            f"is {said.text!r:.{_SHOWN}}; make it return a finite number for every completion, 0 where none is earned"
        )


class Rewards:
    """The components of one configuration, in the order of its file."""

    def __init__(self, components: tuple[Reward, ...]) -> None:
        self.components = components

    @classmethod
    def load(cls, config: RlConfig, base_dir: Path) -> "Rewards":
        """Reads the user's own files, relative to `base_dir`, the sweep file's folder.

        Raises:
            RewardError: a file is missing or cannot be run, or has no fitting function of the reward's name; or all
                weights are 0.
        """
        components = []
        for name, reward in config.rewards.items():
            if reward.file is not None:
                assert config.allow_code, "the configuration refuses files without it"
                file = base_dir / Path(reward.file).expanduser()
                components.append(Reward(name, reward.weight, _own(name, file), file))
            else:
                max_tokens = reward.max_tokens or config.max_completion_tokens
                components.append(Reward(name, reward.weight, _built_in(name, max_tokens)))
        if not any(component.weight for component in components):
            raise RewardError("strategy.rewards: every weight is 0, so no answer earns anything; give one a weight")
        return cls(tuple(components))

    def values(self, said: Said) -> dict[str, float]:
        """Every component's value by name, before its weight."""
        return {component.name: component(said) for component in self.components}

    def total(self, values: Mapping[str, float]) -> float:
        """The weighted sum of `values`."""
        return math.fsum(component.weight * values[component.name] for component in self.components)

    @property
    def reach(self) -> float:
        """What lies between the worst and the best total, if every component goes from 0 to 1."""
        return math.fsum(abs(component.weight) for component in self.components)

    @property
    def worst(self) -> float:
        """The total where every component is at its worst."""
        return math.fsum(min(component.weight, 0.0) for component in self.components)

    @property
    def identity(self) -> list[str]:
        """Hashes of the user's files: what a cached verdict depends on besides the configuration."""
        files = [component.file for component in self.components if component.file is not None]
        return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def accuracy(said: Said) -> float:
    """1 for the right answer, see `matching.right`."""
    return float(right(said.text, said.row.answer, said.row.choices))


def form(said: Said) -> float:
    """1 for <think>...</think><answer>...</answer>."""
    return float(well_formed(said.text))


def brevity(said: Said, max_tokens: int) -> float:
    """1 at no tokens, falling linearly to 0 at `max_tokens`."""
    return max(0.0, 1 - said.num_tokens / max_tokens)


def question_of(row: Row) -> str:
    """The text of the last question, without the places of its media."""
    text = next(text for role, text in reversed(row.turns) if role == USER)
    return text.replace(IMAGE, "").replace(VIDEO, "").strip()


def _built_in(name: str, max_tokens: int) -> Function:
    functions: dict[str, Function] = {
        "accuracy": accuracy,
        "format": form,
        "length": lambda said: brevity(said, max_tokens),
    }
    return functions[name]


def _own(name: str, file: Path) -> Function:
    module = _run(name, file)
    function = getattr(module, name, None)
    where = f"strategy.rewards.{name}.file: {file}"
    if not callable(function):
        names = [found for found, value in vars(module).items() if inspect.isfunction(value)]
        near = nearest(name, names)
        hint = f"; it has {near}" if near else ""
        raise RewardError(f"{where} has no function {name}{hint}; write `{_SIGNATURE.format(name=name)}`")
    _check_signature(function, name, where)
    return lambda said: function(**_arguments(said))


def _run(name: str, file: Path) -> ModuleType:
    if not file.is_file():
        raise RewardError(f"strategy.rewards.{name}.file: there is no file {file}; paths start at the sweep file")
    spec = importlib.util.spec_from_file_location(f"posttrain_reward_{name}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise RewardError(
            f"strategy.rewards.{name}.file: {file} cannot be run ({type(error).__name__}: {error}); run it with "
            "Python by itself to see where"
        ) from error
    return module


def _check_signature(function: Callable[..., Any], name: str, where: str) -> None:
    """What a call could not bind is told before anything is trained."""
    try:
        inspect.signature(function).bind(question="", choices=(), answer="", completion="", id="", num_tokens=1)
    except TypeError as error:
        wanted = _SIGNATURE.format(name=name)
        raise RewardError(f"{where}: {name} cannot be called ({error}); write `{wanted}`") from error


def _arguments(said: Said) -> dict[str, Any]:
    row = said.row
    own = {"id": row.id, "source": row.source, "images": row.images, "video": row.video, "num_tokens": said.num_tokens}
    asked = {"question": question_of(row), "choices": row.choices, "answer": row.answer, "completion": said.text}
    return {**row.metadata, **own, **asked}
