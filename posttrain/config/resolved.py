"""The resolved file: every value that a run uses, written out, with where it came from."""

from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel

from posttrain.config.suited import without_keys_of_other_kinds
from posttrain.config.support import kind_of
from posttrain.config.trial import TrialConfig, trial_config

if TYPE_CHECKING:
    from posttrain.config.loading import Loaded

_COMMENT_COLUMN = 44
_OFF = ("overfit", "evaluation.psnr")


def trial_yaml(config: TrialConfig) -> str:
    """A trial config as YAML that `load_trial` reads back equal."""
    return str(yaml.safe_dump(_shown(trial_config(config)), sort_keys=False, allow_unicode=True))


def dump_resolved(loaded: "Loaded[Any]") -> str:
    """The sweep as YAML: defaults, overrides and search space in it, each value's origin beside it."""
    lines: list[str] = []
    _write(_shown(loaded.config), "", 0, loaded.origins, lines)
    return "\n".join(lines) + "\n"


def _shown(config: TrialConfig) -> dict[str, Any]:
    return without_keys_of_other_kinds(plain(config), kind_of(config.model.family, config.strategy.type))


def plain(config: BaseModel) -> dict[str, Any]:
    """A section as plain data, keys in the order in which people write them."""
    document: dict[str, Any] = _lists(config.model_dump())
    for dimension in document.get("search_space", {}).values():
        when = dimension.pop("when")
        if when is not None:
            dimension["when"] = when  # after the kind
    return document


def _lists(value: Any) -> Any:
    """YAML knows no tuples."""
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


def leaves(document: Any, path: str = "") -> dict[str, Any]:
    """Dotted path -> value, of everything that is no section; entries of lists of sections go by their names."""
    if isinstance(document, dict) and document and not _is_inline(path):
        named = list(document.items())
    elif isinstance(document, list) and document and all(isinstance(item, dict) for item in document):
        named = [(item.get("name") or item.get("type") or i, item) for i, item in enumerate(document)]
    else:
        return {path: document}
    found: dict[str, Any] = {}
    for key, value in named:
        found |= leaves(value, f"{path}.{key}" if path else str(key))
    return found


def _is_inline(path: str) -> bool:
    """Mappings that are one value."""
    return path.startswith("search_space.") or path.endswith((".weights", ".conditioning_frames"))


def _write(document: dict[str, Any], path: str, depth: int, origins: dict[str, str], lines: list[str]) -> None:
    for key, value in document.items():
        here = f"{path}.{key}" if path else str(key)
        head = f"{'  ' * depth}{_scalar(key)}:"
        if isinstance(value, dict) and value and not _is_inline(here):
            lines.append(head)
            _write(value, here, depth + 1, origins, lines)
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            lines.append(head)
            for item in value:
                _write_item(item, f"{here}.{item.get('name') or item.get('type')}", depth + 1, origins, lines)
        else:
            text = "off" if value is None and here in _OFF else _scalar(value)
            lines.append(_commented(f"{head} {text}", origins.get(here, "default")))


def _write_item(item: dict[str, Any], path: str, depth: int, origins: dict[str, str], lines: list[str]) -> None:
    start = len(lines)
    _write(item, path, depth + 1, origins, lines)
    lines[start] = f"{'  ' * depth}- {lines[start].lstrip()}"


def _commented(text: str, origin: str) -> str:
    return f"{text.ljust(_COMMENT_COLUMN)}  # {origin}"


def _scalar(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**9, sort_keys=False)
    return str(text.removesuffix("\n").removesuffix("\n...").strip())
