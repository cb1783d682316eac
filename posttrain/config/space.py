"""The search space: one dimension per configuration path, of exactly one kind each.

    training.learning_rate:    {loguniform: [1.0e-5, 1.0e-3]}
    strategy.rank:             {choice: [8, 16, 32], when: {strategy.type: lora}}
    data.stages.broad.weights: {simplex: [ego, cctv], min: 0.1}

A kind is a class; the searcher asks `isinstance`. Nothing is drawn here. Which paths there are is told by `drawn`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from posttrain.config.base import Section, refusal
from posttrain.config.groups import texts_for_keys, texts_for_values
from posttrain.config.support import nearest, nearest_or_all

Value = Any
Pair = Annotated[tuple[float, float], Field(strict=False)]
IntPair = Annotated[tuple[int, int], Field(strict=False)]


class Dimension(Section):
    """What all kinds share: a dimension is only drawn where `when` holds."""

    kind: ClassVar[str]

    when: dict[str, Value] | None = None
    """Configuration path -> the value, or the list of values, under which the dimension is searched."""

    def active(self, values: Mapping[str, Value]) -> bool:
        """Whether `when` holds, given the value of every path it names."""
        return all(
            values[path] in wanted if isinstance(wanted, (list, tuple)) else values[path] == wanted
            for path, wanted in (self.when or {}).items()
        )


class Uniform(Dimension):
    """A number between low and high."""

    kind = "uniform"
    uniform: Pair

    @property
    def low(self) -> float:
        return self.uniform[0]

    @property
    def high(self) -> float:
        return self.uniform[1]

    @model_validator(mode="after")
    def _ordered(self) -> "Uniform":
        check_order(self.kind, self.low, self.high)
        return self


class LogUniform(Dimension):
    """A number between low and high, every factor of ten alike."""

    kind = "loguniform"
    loguniform: Pair

    @property
    def low(self) -> float:
        return self.loguniform[0]

    @property
    def high(self) -> float:
        return self.loguniform[1]

    @model_validator(mode="after")
    def _ordered(self) -> "LogUniform":
        check_order(self.kind, self.low, self.high)
        if self.low <= 0:
            raise refusal(
                f"found the low end {self.low:g}, expected more than 0", "use uniform to reach 0", (self.kind,)
            )
        return self


class RandInt(Dimension):
    """A whole number from low to high, both included."""

    kind = "randint"
    randint: IntPair

    @property
    def low(self) -> int:
        return self.randint[0]

    @property
    def high(self) -> int:
        return self.randint[1]

    @model_validator(mode="after")
    def _ordered(self) -> "RandInt":
        check_order(self.kind, self.low, self.high)
        return self


def middle(dimension: Uniform | LogUniform | RandInt) -> float:
    """The value halfway between both ends, by factors for a logarithmic range."""
    if isinstance(dimension, LogUniform):
        return math.sqrt(dimension.low * dimension.high)
    halfway = (dimension.low + dimension.high) / 2
    return round(halfway) if isinstance(dimension, RandInt) else halfway


class Choice(Dimension):
    """One of the listed values."""

    kind = "choice"
    choice: Annotated[tuple[Value, ...], Field(strict=False, min_length=1)]

    @property
    def choices(self) -> tuple[Value, ...]:
        return self.choice

    @model_validator(mode="after")
    def _distinct(self) -> "Choice":
        again = [value for i, value in enumerate(self.choice) if value in self.choice[:i]]
        if again:
            raise refusal(f"{again[0]!r} is listed twice", "list each value once", (self.kind,))
        return self


OneBoundEach = Annotated[dict[str, Annotated[float, Field(ge=0, le=1)]], BeforeValidator(texts_for_keys)]


class Simplex(Dimension):
    """Weights of the listed sources (or values of the stage's `by`), each between min and max, that sum to 1."""

    kind = "simplex"
    simplex: Annotated[tuple[str, ...], Field(strict=False, min_length=2), BeforeValidator(texts_for_values)]
    min: Annotated[float, Field(ge=0, lt=1)] | OneBoundEach = 0.0
    """Of each weight; or by name, 0 for names that are left out."""
    max: Annotated[float, Field(gt=0, le=1)] | OneBoundEach = 1.0
    """Of each weight; or by name, 1 for names that are left out."""

    @property
    def names(self) -> tuple[str, ...]:
        return self.simplex

    @property
    def lowest(self) -> dict[str, float]:
        """The bound that each weight may not be below."""
        return self._by_name(self.min, 0.0)

    @property
    def highest(self) -> dict[str, float]:
        """The bound that each weight may not be above."""
        return self._by_name(self.max, 1.0)

    def _by_name(self, bound: float | dict[str, float], otherwise: float) -> dict[str, float]:
        return {name: bound.get(name, otherwise) if isinstance(bound, dict) else bound for name in self.names}

    @model_validator(mode="after")
    def _possible(self) -> "Simplex":
        count = len(self.names)
        if len(set(self.names)) < count:
            raise refusal("a source is listed twice", "list each source once", (self.kind,))
        for key, bound in (("min", self.min), ("max", self.max)):
            for name in bound if isinstance(bound, dict) else ():
                if name not in self.names:
                    raise refusal("is no name of this simplex", nearest_or_all(name, self.names, "names"), (key, name))
        least = 0.0 if isinstance(self.min, dict) else self.min
        if least * count >= 1:
            at_most = f"below {1 / count:.3g} for {count} sources"
            raise refusal(f"found {least:g}, expected {at_most}", "there is nothing to search", ("min",))
        if not isinstance(self.max, dict) and (self.max * count <= 1 or self.max <= least):
            at_least = f"above {max(1 / count, least):.3g} for {count} sources"
            raise refusal(f"found {self.max:g}, expected {at_least}", "there is nothing to search", ("max",))
        return self._room_for_all()

    def _room_for_all(self) -> "Simplex":
        """The same for bounds by name: each pair must leave room, and all of them together."""
        lowest, highest = self.lowest, self.highest
        crossed = [name for name in self.names if lowest[name] > highest[name]]
        if crossed:
            found = f"the weight of {crossed[0]!r} would be at least {lowest[crossed[0]]:g}"
            raise refusal(f"{found} and at most {highest[crossed[0]]:g}", "lower its min", ("max",))
        if math.fsum(lowest.values()) >= 1:
            found = f"the least weights sum to {math.fsum(lowest.values()):.3g}, expected less than 1"
            raise refusal(found, "there is nothing to search", ("min",))
        if math.fsum(highest.values()) <= 1:
            found = f"the largest weights sum to {math.fsum(highest.values()):.3g}, expected more than 1"
            raise refusal(found, "there is nothing to search", ("max",))
        return self

    def reach(self, name: str) -> tuple[float, float]:
        """The least and the largest weight that can be drawn for a name, given the bounds of all."""
        others = [other for other in self.names if other != name]
        least = 1 - math.fsum(self.highest[other] for other in others)
        largest = 1 - math.fsum(self.lowest[other] for other in others)
        return max(self.lowest[name], least), min(self.highest[name], largest)

    def weights(self, drawn: Sequence[float]) -> dict[str, float]:
        """The weights for one positive draw per source: in proportion to it, but for those held at min or max.

        Log-uniform draws in [0.01, 1] cover the simplex best. The weights are clip(s * draw, min, max) with the one
        scale s at which they sum to 1, found by bisection: the sum only grows with s.
        """
        assert len(drawn) == len(self.names), "one draw per source"
        assert min(drawn) > 0, "draws are positive"
        bounds = list(zip(drawn, self.lowest.values(), self.highest.values(), strict=True))
        low, high = 0.0, 1.0 / min(drawn)  # at the high end every weight is at max, and the sum of these is above 1
        for _ in range(100):
            scale = (low + high) / 2
            total = math.fsum(_clip(scale * value, least, most) for value, least, most in bounds)
            low, high = (scale, high) if total < 1 else (low, scale)
        clipped = [_clip(high * value, least, most) for value, least, most in bounds]
        return dict(zip(self.names, clipped, strict=True))


def _clip(weight: float, least: float, most: float) -> float:
    return min(max(weight, least), most)


KINDS: dict[str, type[Dimension]] = {
    "uniform": Uniform,
    "loguniform": LogUniform,
    "randint": RandInt,
    "choice": Choice,
    "simplex": Simplex,
}
LATER_KINDS = ("quniform", "lograndint")


def check_order(kind: str, low: float, high: float) -> None:
    """Refuses an interval without an inside."""
    if low >= high:
        raise refusal(f"found [{low:g}, {high:g}], expected [low, high] with low below high", "swap the two", (kind,))


def _one_kind(given: Any) -> Any:
    """Says in one message what is wrong with a dimension that is of no kind, or of several."""
    if isinstance(given, Dimension):
        return given
    if not isinstance(given, dict):
        raise refusal(f"found {given!r}, expected a kind and its range", "for example {loguniform: [1.0e-5, 1.0e-3]}")
    kinds = [key for key in given if key in KINDS]
    if len(kinds) == 1:
        return given
    if kinds:
        raise refusal(f"found the kinds {' and '.join(kinds)}, expected exactly one", "delete all but one")
    keys = [str(key) for key in given if key not in ("when", "min", "max")]
    later = [key for key in keys if key in LATER_KINDS]
    near = next((known for key in keys if (known := nearest(key, tuple(KINDS)))), None)
    hint = f"did you mean {near!r}?" if near else "for example {loguniform: [1.0e-5, 1.0e-3]}"
    if later:
        hint = f"{later[0]} is not in this version: list the values under `choice`"
    raise refusal(f"found {', '.join(keys) or 'no kind'}, expected one kind of {', '.join(KINDS)}", hint)


def _kind_of(given: Any) -> str | None:
    keys = [given.kind] if isinstance(given, Dimension) else [key for key in given if key in KINDS]
    return keys[0] if keys else None


AnyDimension = Annotated[
    Annotated[Uniform, Tag("uniform")]
    | Annotated[LogUniform, Tag("loguniform")]
    | Annotated[RandInt, Tag("randint")]
    | Annotated[Choice, Tag("choice")]
    | Annotated[Simplex, Tag("simplex")],
    Discriminator(_kind_of),
]
SearchSpace = dict[str, Annotated[AnyDimension, BeforeValidator(_one_kind)]]
