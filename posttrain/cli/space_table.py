"""The search space as `check` and `plan` show it: each dimension with where it comes from."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from posttrain.config import LoadedSweep


def space_table(loaded: "LoadedSweep") -> "Table":
    """A row for each dimension."""
    from rich.markup import escape
    from rich.table import Table

    from posttrain.config.resolved import plain

    table = Table("searched", "", "from", box=None, pad_edge=False)
    for name, dimension in plain(loaded.config)["search_space"].items():
        kind, *rest = dimension.items()
        extra = "".join(f", {key} {value}" for key, value in rest)
        table.add_row(name, escape(f"{kind[0]} {kind[1]}{extra}"), escape(_origin(loaded, name)))
    return table


def _origin(loaded: "LoadedSweep", name: str) -> str:
    """Where a dimension was written; of a file that ships its name alone."""
    origin = loaded.origins.get(f"search_space.{name}", "")
    file = loaded.search_space_file
    return origin.replace(f"{file.parent}/", "") if file is not None and file.parent != Path() else origin
