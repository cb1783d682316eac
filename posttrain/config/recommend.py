"""Which strategy suits: the advice of `posttrain plan`, with its reasons from the file's own data.

Full for much data and significant adaptation; LoRA for limited data, simple objectives, keeping the base's abilities
and fast iteration; RL for scarce, high-quality data and reasoning.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from posttrain.config.augment import REVERSE_WARNING
from posttrain.config.strategy import LoraConfig, RlConfig
from posttrain.config.support import SUPPORT, kind_of
from posttrain.config.trial import SweepConfig

# Samples after filters below which data counts as limited, and from which on as much. Published recipes for Full on a
# 2B video model use thousands of clips, those for LoRA tens to hundreds; more than 80 K rows changed little in SFT.
LIMITED, MUCH = 1_000, 10_000
SCARCE = 5_000  # rows
HIGH_QUALITY = 0.8
MANY_EPOCHS = 50


@dataclass(frozen=True)
class Facts:
    """What the advice is drawn from.

    Attributes:
        samples: training samples after everything that was dropped.
        quality: their mean quality, 0 to 1; None where no source says.
        reasoning: the share of rows that have choices or ask for reasoning in tags.
        parameters: parameters of the networks that a trial trains or adapts; None where they are not known yet.
    """

    samples: int
    quality: float | None
    reasoning: float
    parameters: int | None


def advice(config: SweepConfig, facts: Facts) -> list[str]:
    """Sentences, the choice of the strategy first."""
    kind = kind_of(config.model.family, config.strategy.type)
    chosen = _for_diffusion(config, facts) if kind == "diffusion" else _for_vlm(config, facts)
    return [*chosen, *_seen_often(config, facts), *_unfiltered(config), *_backwards(config)]


def support_table() -> str:
    """The support matrix in Markdown, as the README shows it."""
    strategies = dict.fromkeys(strategy for _, strategy in SUPPORT)
    lines = [f"| family | {' | '.join(strategies)} |", "|---" * (len(strategies) + 1) + "|"]
    for family in dict.fromkeys(family for family, _ in SUPPORT):
        cells = [SUPPORT[family, strategy] for strategy in strategies]
        shown = [f"no: {cell.rule}" if cell.rule else f"yes: {cell.note}" for cell in cells]
        lines.append(f"| {family} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _for_diffusion(config: SweepConfig, facts: Facts) -> Iterator[str]:
    is_lora = isinstance(config.strategy, LoraConfig)
    size = f" on {facts.parameters / 1e9:.1f}B parameters" if facts.parameters and facts.parameters > 1e8 else ""
    if facts.samples < LIMITED:
        reason = f"{facts.samples} clips are limited data (below {LIMITED})"
        yield f"LoRA suits: {reason}; it keeps what the base can do, and its trials are cheap{_or_not(is_lora)}"
    elif facts.samples >= MUCH:
        reason = f"{facts.samples} clips are much data (from {MUCH} on)"
        yield f"Full suits{size}: {reason}, enough for a significant adaptation{_or_not(not is_lora)}"
    else:
        reason = f"{facts.samples} clips lie between limited ({LIMITED}) and much ({MUCH})"
        yield f"start with LoRA: {reason}; take Full where LoRA's best rank still gains{_or_not(is_lora)}"
    if not is_lora and facts.quality is not None and facts.quality < HIGH_QUALITY:
        yield (
            f"the mean quality of the data is {facts.quality:.2f}: Full learns its faults too; add a last stage with "
            f"`min_quality: {HIGH_QUALITY:g}`, or take LoRA"
        )


def _for_vlm(config: SweepConfig, facts: Facts) -> Iterator[str]:
    is_rl = isinstance(config.strategy, RlConfig)
    good = facts.quality is None or facts.quality >= HIGH_QUALITY
    if facts.samples < SCARCE and facts.reasoning > 0.5 and good:
        quality = "" if facts.quality is None else f" of quality {facts.quality:.2f}"
        yield (
            f"RL suits: {facts.samples} rows{quality} are scarce (below {SCARCE}), and {facts.reasoning:.0%} of them "
            "have choices or ask for reasoning, so that answers can be checked; the base must be right sometimes, "
            f"which the gate measures{_or_not(is_rl)}"
        )
        return
    reasons = [
        f"{facts.samples} rows are not scarce (from {SCARCE} on)" if facts.samples >= SCARCE else "",
        f"only {facts.reasoning:.0%} of them have choices or ask for reasoning" if facts.reasoning <= 0.5 else "",
        "" if good else f"their mean quality is {facts.quality:.2f}, and RL amplifies wrong answers",
    ]
    yield f"Full (SFT) suits: {'; '.join(filter(None, reasons))}{_or_not(not is_rl)}"


def _or_not(is_chosen: bool) -> str:
    return " (the file's choice)" if is_chosen else " (the file has chosen otherwise)"


def _seen_often(config: SweepConfig, facts: Facts) -> Iterator[str]:
    if not facts.samples:
        return
    epochs = config.training.steps * config.training.batch_size / facts.samples
    if epochs > MANY_EPOCHS:
        yield f"a trial sees each sample {epochs:.0f} times: watch held-out metrics for their peak, or train shorter"


def _unfiltered(config: SweepConfig) -> Iterator[str]:
    if not config.data.filters:
        yield (
            "without data.filters only what cannot be read is dropped: `posttrain data` shows what `filters: standard` "
            "would drop, and why"
        )


def _backwards(config: SweepConfig) -> Iterator[str]:
    if any(step.type == "reverse" for step in config.data.augmentations):
        yield f"data.augmentations.reverse {REVERSE_WARNING}; delete it unless time has no direction in these clips"
