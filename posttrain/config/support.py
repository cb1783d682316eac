"""Which strategy goes with which family, and what to say where it does not: the one table that all of them read.

`check`, `plan`, the README's table and every refusal come from `SUPPORT`.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# How a trial is trained, gated and measured: a video diffusion model, answers by example, answers by reward.
Kind = Literal["diffusion", "sft", "rl"]


@dataclass(frozen=True)
class Cell:
    """One pair of the table: supported where no rule stands against it."""

    note: str
    """What the pair is for, or what to use instead."""
    rule: str = ""
    """The name of the rule that refuses it."""


_LORA_RULE = "LoRA is for diffusion models"
_RL_RULE = "RL is for vision-language models"

# (family, strategy) -> supported, or the rule that refuses it.
SUPPORT: dict[tuple[str, str], Cell] = {
    ("cosmos-predict", "full"): Cell("much data, a domain far from the base"),
    ("cosmos-predict", "lora"): Cell("limited data, fast iteration, the base's abilities kept"),
    ("cosmos-predict", "rl"): Cell("use `type: lora` or `type: full`", _RL_RULE),
    ("cosmos-transfer", "full"): Cell("the ControlNet alone, or both models"),
    ("cosmos-transfer", "lora"): Cell("adapters on the ControlNet"),
    ("cosmos-transfer", "rl"): Cell("use `type: lora` or `type: full`", _RL_RULE),
    ("vlm", "full"): Cell("supervised answers (SFT)"),
    ("vlm", "lora"): Cell("use `type: full` or `type: rl`", _LORA_RULE),
    ("vlm", "rl"): Cell("rewards on the model's own answers (GRPO), for scarce, high-quality data and reasoning"),
}
FAMILIES = tuple(dict.fromkeys(family for family, _ in SUPPORT))
STRATEGIES = tuple(dict.fromkeys(strategy for _, strategy in SUPPORT))


def refused(family: str | None, strategy: str) -> str | None:
    """The rule against this pair, with what to use instead; None when it can be trained, or the family is not known."""
    if family is None and strategy in STRATEGIES:
        return None
    cell = SUPPORT.get((str(family), strategy))
    if cell is None:
        return f"there is no {strategy!r} for the family {family!r}"
    return f"rule `{cell.rule}`: {cell.note}" if cell.rule else None


def kind_of(family: str | None, strategy: str) -> Kind:
    """How a supported pair is trained; an unknown family is taken for the one that its strategy is for."""
    if strategy == "rl":
        return "rl"
    return "sft" if family == "vlm" else "diffusion"


def nearest(name: str, names: list[str] | tuple[str, ...]) -> str | None:
    """The known name that a misspelt one most likely stands for."""
    by_folded = {known.lower().replace("-", "_"): known for known in names}
    found = difflib.get_close_matches(name.lower().replace("-", "_"), list(by_folded), n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def nearest_path(path: str, paths: Sequence[str]) -> str | None:
    """The known dotted path that a wrong one most likely stands for; sharing a section alone makes none near."""
    section, _, key = path.rpartition(".")
    by_section: dict[str, list[str]] = {}
    for known in paths:
        by_section.setdefault(known.rpartition(".")[0], []).append(known.rpartition(".")[2])
    meant = section if section in by_section else nearest(section, tuple(by_section))
    near = nearest(key, tuple(by_section.get(str(meant), ())))
    if near:
        return f"{meant}.{near}"
    return next((known for known in paths if known.rpartition(".")[2] == key), None)


def nearest_or_all(name: str, known: Sequence[str], what: str) -> str:
    """What may have been meant by a name that is not there: the nearest of the known ones, or all of these `what`."""
    near = nearest(name, tuple(known))
    return f"did you mean {near!r}?" if near else f"the {what} are {', '.join(known) or 'none'}"
