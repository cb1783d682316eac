"""Where a source's `path` leads: a folder or file on the disk, a demo set, the hub, or any other URL."""

import re
from pathlib import Path

from posttrain.config.base import credentials_in
from posttrain.config.support import nearest
from posttrain.data import demo, hub, remote
from posttrain.errors import DataError

# owner/name, perhaps with @revision and :split.
HUB_ID = re.compile(
    r"(?P<id>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w./-]+))?(?::(?P<split>[\w.-]+))?"
)
# No data set or model on the hub is named like a file.
_FILE_NAME = re.compile(
    r".*\.(jsonl?|csv|tsv|txt|parquet|arrow|tar|tgz|gz|zip|ya?ml|safetensors|bin|pt|ckpt|mp4|mkv|mov|avi|webm|m4v|gif|png|"
    r"jpe?g|webp|bmp)",
    re.IGNORECASE,
)


def is_local(path: str, base_dir: Path) -> bool:
    """Whether a path that is no URL names a place on the disk, so that it is never looked for on the hub.

    It does if it begins with `/`, `./`, `../` or `~`, or with a folder that exists, or if it ends like a file.
    """
    named = HUB_ID.fullmatch(path)
    if named is None or (base_dir / path).exists():
        return True
    owner, _, name = named["id"].partition("/")
    return (base_dir / owner).exists() or _FILE_NAME.fullmatch(name) is not None


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
    local = _on_disk(path, base_dir)
    named = HUB_ID.fullmatch(path)
    if named is None or is_local(path, base_dir):
        return local, None
    hub.look_up(named["id"], named["revision"], f"{where}: there is no folder {local}{suggestion(local)}")
    revision = f"@{named['revision']}" if named["revision"] else ""
    return Path(f"hf://datasets/{named['id']}{revision}"), named["split"]


def missing(path: str, base_dir: Path) -> str | None:
    """What is wrong with a path that names a place on the disk where nothing is; None for any other one.

    It asks no host and builds nothing, so it can be asked of a file whose other sections are wrong.
    """
    if path.startswith("demo:") or remote.is_url(path) or not is_local(path, base_dir) or re.search(r"[*?\[{]", path):
        return None
    local = _on_disk(path, base_dir)
    return None if local.exists() else f"{local} is not there{suggestion(local)}"


def suggestion(path: Path) -> str:
    """The name that is nearest to a missing one, in the last of its folders that exists, as part of a message."""
    if remote.is_remote(path):
        return ""
    parent, wrong = path.parent, path.name
    while not parent.is_dir() and parent != parent.parent:
        parent, wrong = parent.parent, parent.name
    try:
        near = nearest(wrong, [entry.name for entry in sorted(parent.iterdir())])
    except OSError:  # a folder that may not be listed
        near = None
    return f" (did you mean {parent / near}?)" if near and near != wrong else ""


def _on_disk(path: str, base_dir: Path) -> Path:
    return base_dir / Path(path.removeprefix("file://")).expanduser()
