"""What all sections share: strict, frozen, unknown keys refused, and refusals that carry their remedy."""

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

REFUSAL = "refusal"

# Names become parts of dotted paths, metric names and folders.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$")]
RunName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
Share = Annotated[float, Field(ge=0, le=1)]
# `off` is read as false by YAML; a section that is off is None.
OFF_IS_NONE = BeforeValidator(lambda given: None if given is False else given)


# What a validator objects to: the path below the validated value, the message, the remedy.
Finding = tuple[tuple[str, ...], str, str]


class Section(BaseModel):
    """A section of the sweep file. Strict: a text is no number, and true is not 1."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def refusal(message: str, hint: str = "", at: tuple[str, ...] = ()) -> PydanticCustomError:
    """The error a validator raises: `at` is the path below the validated value that the message is about."""
    context: dict[str, Any] = {"message": message, "hint": hint, "at": at}
    return PydanticCustomError(REFUSAL, "{message}", context)


def refusals(found: list[Finding]) -> PydanticCustomError:
    """Several refusals at once, a validator can raise only one error."""
    return PydanticCustomError(REFUSAL, "{summary}", {"summary": "; ".join(f[1] for f in found), "all": found})


def credentials_in(path: str) -> bool:
    """Whether a URL carries a password or a signature, which resolved files, manifests and logs would repeat."""
    parts = urlsplit(path)
    return "://" in path and (("@" in parts.netloc and parts.scheme != "hf") or bool(parts.query))


def _without_credentials(path: str) -> str:
    if credentials_in(path):
        raise refusal(
            "the URL carries a password or a query, which files and logs of the run would repeat",
            "give credentials by the environment variables or the configuration file of that service",
        )
    return path


# Where data lie.
Location = Annotated[str, Field(min_length=1), AfterValidator(_without_credentials)]
