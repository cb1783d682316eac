"""What the gate says: checks with their thresholds, and for a failure its cause and the remedy."""

import time
from dataclasses import asdict, dataclass, field
from typing import Any

NO_FIT = 100.0  # the score of a configuration whose loss did not stay a number


@dataclass(frozen=True)
class Check:
    """One measured quantity; `threshold` bounds it from above unless `at_least`."""

    name: str
    passed: bool
    value: float | None
    threshold: float | None
    note: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """The most likely cause of a failure: a stable code, the cause in words, and what to change."""

    code: str
    message: str
    remedy: str


@dataclass(frozen=True)
class Verdict:
    """The outcome of the gate for one configuration."""

    passed: bool
    diagnosis: Diagnosis | None
    checks: list[Check] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0

    @property
    def reason(self) -> str:
        """One line for tables: what failed and what to do."""
        return "" if self.diagnosis is None else f"{self.diagnosis.message}; {self.diagnosis.remedy}"

    @property
    def score(self) -> float:
        """How near the configuration came, lower is better: what the sampler learns from a failure."""
        fits = [check.value for check in self.checks if check.name == "fit" and check.value is not None]
        return fits[0] if fits else NO_FIT

    @classmethod
    def of(cls, diagnosis: Diagnosis | None, checks: list[Check], steps: int, started: float) -> "Verdict":
        """What a gate found that began at `started` of `time.perf_counter`: it passes where nothing was diagnosed."""
        return cls(diagnosis is None, diagnosis, checks, steps, time.perf_counter() - started)

    def to_dict(self) -> dict[str, Any]:
        """The document of `overfit --json`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "Verdict":
        """Reads what `to_dict` wrote."""
        diagnosis = document["diagnosis"]
        return cls(
            passed=document["passed"],
            diagnosis=Diagnosis(**diagnosis) if diagnosis else None,
            checks=[Check(**check) for check in document["checks"]],
            steps=document["steps"],
            seconds=document["seconds"],
        )
