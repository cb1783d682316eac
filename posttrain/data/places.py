"""Where a source's `path` leads: a folder or file beside the sweep file, a demo set, the hub, or any other URL."""

import re
from pathlib import Path

from posttrain.config.base import credentials_in
from posttrain.data import demo, remote
from posttrain.errors import DataError, EnvironmentFault

# owner/name, perhaps with @revision and :split.
_HUB_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?P<revision>@[\w./-]+)?(:(?P<split>[\w.-]+))?")


def locate(path: str, base_dir: Path, where: str) -> tuple[Path, str | None]:
    """The place of a source and the split that is named; relative paths start at `base_dir`.

    Raises:
        DataError: no such demo set or data set on the hub, or a URL with credentials in it.
        EnvironmentFault: a hub id, and the hub cannot be reached.
    """
    if path.startswith("demo:"):
        try:
            return demo.resolve(path.removeprefix("demo:")), None
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
    if credentials_in(path):
        raise DataError(
            f"{where}: the URL carries a password or a query, which manifests and logs would repeat; give credentials "
            "by the environment variables or the configuration file of that service"
        )
    if path.startswith("hf://") and path.count("/") == 3:  # hf://owner/name would be a model
        path = path.removeprefix("hf://")
    if remote.is_url(path):
        return Path(path), None
    local = base_dir / Path(path.removeprefix("file://")).expanduser()
    named = _HUB_ID.fullmatch(path)
    # what begins with a folder that is there is a mistyped folder, not a data set on the hub
    if named is None or local.exists() or (base_dir / path.partition("/")[0]).exists():
        return local, None
    return _on_hub(named, local, where)


def _on_hub(named: re.Match[str], local: Path, where: str) -> tuple[Path, str | None]:
    root = Path(f"hf://datasets/{named['id']}{named['revision'] or ''}")
    try:
        remote.info(root)
    except FileNotFoundError as error:
        raise DataError(f"{where}: there is no folder {local}, and the hub has no data set {named[0]}") from error
    except EnvironmentFault as error:
        raise EnvironmentFault(
            f"{where}: there is no folder {local}, and the hub was not reached for a data set of this name: {error}"
        ) from error
    return root, named["split"]
