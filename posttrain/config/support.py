"""Which strategy goes with which family, and what to say where it does not."""

import difflib

# (family, strategy) -> what is refused is refused for this reason; None is supported.
SUPPORT: dict[tuple[str, str], str | None] = {
    ("cosmos-predict", "lora"): None,
    ("cosmos-predict", "full"): "full post-training is not in this version; use `type: lora`",
    ("cosmos-predict", "rl"): "RL is for vision-language models, not for diffusion models; use `type: lora`",
    ("cosmos-transfer", "lora"): "the family cosmos-transfer is not in this version; use a cosmos-predict checkpoint",
    ("cosmos-transfer", "full"): "the family cosmos-transfer is not in this version; use a cosmos-predict checkpoint",
    ("cosmos-transfer", "rl"): "RL is for vision-language models, not for diffusion models; use `type: lora`",
    ("vlm", "lora"): "LoRA is for diffusion models; vision-language models take `full` or `rl`, not in this version",
    ("vlm", "full"): "the family vlm is not in this version; use a cosmos-predict checkpoint",
    ("vlm", "rl"): "the family vlm is not in this version; use a cosmos-predict checkpoint",
}
DEFAULT_FAMILY = "cosmos-predict"
FAMILIES = tuple(dict.fromkeys(family for family, _ in SUPPORT))
STRATEGIES = tuple(dict.fromkeys(strategy for _, strategy in SUPPORT))


def refused(family: str | None, strategy: str) -> str | None:
    """Why this pair cannot be trained, with what to use instead; None when it can. Unknown names are refused too."""
    known = (family or DEFAULT_FAMILY, strategy)
    return SUPPORT[known] if known in SUPPORT else f"there is no {strategy!r} for the family {known[0]!r}"


def nearest(name: str, names: list[str] | tuple[str, ...]) -> str | None:
    """The known name that a misspelt one most likely stands for."""
    by_folded = {known.lower().replace("-", "_"): known for known in names}
    found = difflib.get_close_matches(name.lower().replace("-", "_"), list(by_folded), n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None
