"""Every error that a user is meant to read, and the exit code that it ends the program with.

    PosttrainError            2
    +-- ConfigError           2   a sweep file, a search space or an option is wrong; one Issue per mistake
    +-- DataError             2   a source is missing, empty, or none of its samples can be used
    +-- ModelError            2   a checkpoint is missing, or contradicts the file
    +-- RewardError           2   a reward of the user's own cannot be read, raises, or gives no number
    +-- NoAnswer              1   it ran, but the answer is no: the gate failed, no trial is usable
    +-- Interrupted           3   stopped in order; running it again resumes
    +-- EnvironmentFault      4   no disk, no cluster, not enough memory

A message says where, what was found, what was expected, and the remedy. What is no PosttrainError is a bug of
ours and keeps its traceback. All of them survive pickling: they cross process boundaries.
"""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar


class PosttrainError(Exception):
    """The root; `message` is complete and made for people."""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True)
class Issue:
    """One mistake (or one warning) in a file: `where` is the dotted path, `hint` the remedy."""

    where: str
    message: str
    file: str | None = None
    line: int | None = None
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.file and self.line else self.file
        text = ": ".join(part for part in (place, self.where, self.message) if part)
        return f"{_sentence(text)} {_sentence(self.hint[:1].upper() + self.hint[1:])}" if self.hint else text

    def to_dict(self) -> dict[str, Any]:
        """The shape of `check --json`."""
        return {
            "where": self.where,
            "file": self.file,
            "line": self.line,
            "message": self.message,
            "hint": self.hint,
        }


class ConfigError(PosttrainError, ValueError):
    """What the user wrote is wrong; all mistakes that could be found are in `issues`."""

    def __init__(self, issues: Sequence[Issue]) -> None:
        super().__init__("\n".join(str(issue) for issue in issues))
        self.issues = list(issues)

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[list[Issue]]]:
        return type(self), (self.issues,)

    @classmethod
    def single(
        cls, where: str, message: str, hint: str = "", file: str | None = None, line: int | None = None
    ) -> "ConfigError":
        """A ConfigError of one issue."""
        return cls([Issue(where=where, message=message, file=file, line=line, hint=hint)])


class DataError(PosttrainError):
    """A source of data is missing, empty, or none of its samples can be used."""


class ModelError(PosttrainError):
    """A checkpoint is missing or unreadable, or it contradicts the file."""


class RewardError(PosttrainError):
    """A reward of the user's own cannot be read, raises, or gives no number."""


class NoAnswer(PosttrainError):  # noqa: N818 - it names an outcome, not a fault
    """The program ran, but the answer is no."""

    exit_code = 1


class Interrupted(PosttrainError):  # noqa: N818 - it names an outcome, not a fault
    """Stopped in order by a signal; running the same command again resumes."""

    exit_code = 3


class EnvironmentFault(PosttrainError):  # noqa: N818 - a fault, as the design calls it
    """The machine refuses: no disk, no cluster, no network, not enough memory.

    Attributes:
        issues: where in the sweep file the places stand that could not be reached, if it names any.
    """

    exit_code = 4

    def __init__(self, message: str, issues: Sequence[Issue] = ()) -> None:
        super().__init__(message)
        self.issues = list(issues)

    def __reduce__(self) -> tuple[type["EnvironmentFault"], tuple[str, list[Issue]]]:
        return type(self), (self.message, self.issues)


_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space there, or name a folder on another disk; "
    "running the same command again resumes",
    errno.EDQUOT: "your disk quota is used up: free some space there, or name a folder on another disk",
    errno.EACCES: "you may not write there: change its permissions, or name another folder",
    errno.EPERM: "you may not write there: change its permissions, or name another folder",
    errno.EROFS: "that file system is read-only: name a folder that can be written",
}
# Libraries that write through Rust or C++ raise no OSError when the disk is full.
_FOREIGN_DISK_ERRORS = (
    "No space left on device",
    "os error 28",  # safetensors
    "PytorchStreamWriter failed writing",
    "inline_container.cc",  # torch.save, where closing the file fails
    "iostream error",
)


def disk_fault(error: OSError, place: str | Path) -> EnvironmentFault:
    """The EnvironmentFault that says what the system refused, where, and the remedy."""
    reason = error.strerror or str(error)
    remedy = _REMEDIES.get(error.errno or 0, "look at that place, or name another folder")
    return EnvironmentFault(f"{place}: cannot be written ({reason}); {remedy}")


@contextmanager
def environment_faults(place: str | Path) -> Iterator[None]:
    """Turns what the disk refuses inside the block into an EnvironmentFault that names `place`."""
    try:
        yield
    except OSError as error:
        raise disk_fault(error, error.filename or place) from error
    except PosttrainError:
        raise
    except Exception as error:
        if any(sign in str(error) for sign in _FOREIGN_DISK_ERRORS):
            raise disk_fault(OSError(errno.ENOSPC, "No space left on device"), place) from error
        raise


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
