"""What the card of a base model says of its licence."""

from pathlib import Path
from typing import Any

_KEYS = ("license", "license_name", "license_link")


def license_of(folder: Path) -> dict[str, str]:
    """`license` and its siblings from the header of README.md in a checkpoint folder; {} where it says nothing."""
    readme = folder / "README.md"
    header = _header(readme.read_text(encoding="utf-8", errors="replace")) if readme.is_file() else {}
    found = {key: str(header[key]) for key in _KEYS if isinstance(header.get(key), str)}
    return found if "license" in found else {}


def _header(text: str) -> dict[str, Any]:
    """The YAML between the first two lines of dashes."""
    import yaml

    parts = text.split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return {}
    try:
        document = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return {}
    return document if isinstance(document, dict) else {}
