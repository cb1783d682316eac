"""What `posttrain doctor` and other commands report about an installation."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """Something wrong and its remedy; a fatal one stops every sweep."""

    code: str
    message: str
    remedy: str
    is_fatal: bool = False
