"""What a file may leave out: values that suit how it trains and what it trains.

The defaults of the config classes suit a published diffusion model. `DEFAULTS` has what other kinds of training want,
`LEARNING_RATES` the learning rate of each supported pair, `TINY` what the built-in checkpoints want besides. All of it
goes into the document before it is validated, so that the resolved file shows each value with its origin.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from posttrain.config.support import Kind

Path = tuple[str, ...]

TINY_PREFIX = "tiny:"

# Kind -> defaults that differ from those of the classes, which suit diffusion models.
DEFAULTS: dict[Kind, dict[str, Any]] = {
    "diffusion": {},
    "sft": {
        "search.objective.metric": "held_out/accuracy",
        "overfit.steps": 100,
        "overfit.samples": 8,
        "overfit.batch_size": 8,
        "training.weight_decay": 0.0,
    },
    "rl": {
        "search.objective.metric": "held_out/reward",
        "overfit.steps": 40,
        "overfit.samples": 8,
        "overfit.batch_size": 4,
        "training.weight_decay": 0.0,
        "training.warmup": 0.0,
        "training.schedule": "constant",
    },
}

# (family, strategy) -> the learning rate of published models (that of the shipped sweeps, inside of the shipped search
# space), and of the built-in checkpoints, which learn hundreds of times faster.
LEARNING_RATES: dict[tuple[str, str], tuple[float, float]] = {
    ("cosmos-predict", "lora"): (1.0e-4, 1.0e-2),
    ("cosmos-predict", "full"): (5.0e-5, 3.0e-3),
    ("cosmos-transfer", "lora"): (1.0e-4, 2.0e-2),
    ("cosmos-transfer", "full"): (5.0e-5, 3.0e-3),
    ("vlm", "full"): (5.0e-6, 3.0e-3),
    ("vlm", "rl"): (1.0e-6, 1.0e-3),
}

# (family, strategy) -> what the built-in checkpoints want besides; the gate's steps are those of their shipped sweeps.
TINY: dict[tuple[str, str], dict[str, Any]] = {
    ("cosmos-predict", "lora"): {"overfit.steps": 80},
    ("cosmos-predict", "full"): {"overfit.steps": 80},
    ("cosmos-transfer", "lora"): {"overfit.steps": 120},
    ("cosmos-transfer", "full"): {"overfit.steps": 80},
    ("vlm", "full"): {},
    ("vlm", "rl"): {"strategy.max_completion_tokens": 16},
}


def missing_defaults(
    document: Mapping[str, Any], kind: Kind, family: str | None, strategy: str
) -> Iterator[tuple[Path, Any, str]]:
    """Path, value and origin of the defaults for what the document does not say; a section that is off stays off."""
    usual = "vlm" if kind in ("sft", "rl") else "cosmos-predict"
    pair = (family or usual, strategy)
    tiny = is_tiny(document)
    rate = LEARNING_RATES[pair][1 if tiny else 0]
    of_pair = {"training.learning_rate": rate}
    of_tiny = {"training.precision": "fp32", **TINY[pair]} if tiny else {}
    named = [
        (DEFAULTS[kind], f"default for {kind}"),
        (of_pair, f"default for {strategy} on {TINY_PREFIX if tiny else pair[0]}"),
        (of_tiny, f"default for {TINY_PREFIX}"),
    ]
    # the last that speaks of a path counts
    found = {path: (value, origin) for values, origin in named for path, value in values.items()}
    for dotted, (value, origin) in found.items():
        path = tuple(dotted.split("."))
        if _is_missing(document, path):
            yield path, value, origin


def is_tiny(document: Mapping[str, Any]) -> bool:
    """Whether the document trains a built-in checkpoint."""
    model = document.get("model")
    checkpoint = model.get("checkpoint") if isinstance(model, Mapping) else None
    return isinstance(checkpoint, str) and checkpoint.startswith(TINY_PREFIX)


def _is_missing(document: Mapping[str, Any], path: Path) -> bool:
    *sections, key = path
    node: Any = document
    for section in sections:
        node = node.get(section, {}) if isinstance(node, Mapping) else None
    return isinstance(node, Mapping) and key not in node
