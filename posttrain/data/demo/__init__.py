"""Built-in data sets, rendered on demand into real files and read back like anybody's.

`resolve("shapes")` gives the folder of a set in the cache, `resolve("shapes/fixed-high")` one source of it, and only
what is asked for is rendered. Each folder is built aside and renamed, so two processes may build it at once and a kill
leaves nothing half done.
"""

import ast
import difflib
import functools
import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from posttrain import cache
from posttrain.data.demo.sets import DEMOS
from posttrain.errors import DataError, EnvironmentFault
from posttrain.paths import cache_dir, copy_folder

# A build folder of this age was left by a process that was killed.
_ABANDONED_AFTER_S = 3600.0


def resolve(name: str) -> Path:
    """The folder of the demo set or sub-folder `name`, rendered first if the cache lacks it.

    Raises:
        DataError: there is no such set or folder.
        EnvironmentFault: the cache cannot be written.
    """
    demo, _, folder = name.strip("/").partition("/")
    _check(demo, folder)
    target = cache_dir() / "demo" / f"{demo}-{_renderer_key()}"
    cache.touch(target)
    for part in [folder] if folder else DEMOS[demo]:
        if not (target / part).is_dir():
            _build(demo, part, target)
    return target / folder


def write(name: str, out_dir: Path) -> Path:
    """Writes the demo set (or sub-folder) `name` as files under `out_dir`, which must be empty or new.

    Raises:
        DataError: there is no such set, or `out_dir` holds something.
        EnvironmentFault: `out_dir` cannot be written.
    """
    source = resolve(name)
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise DataError(f"{out_dir} is not an empty folder; name a new one for the demo set {name!r}")
    copy_folder(source, out_dir)
    return out_dir


def _check(demo: str, folder: str) -> None:
    known = [entry for name, parts in DEMOS.items() for entry in (name, *(f"{name}/{part}" for part in parts if part))]
    asked = f"{demo}/{folder}" if folder else demo
    if asked not in known:
        near = difflib.get_close_matches(asked, known, n=1)
        hint = f"; did you mean demo:{near[0]}?" if near else ""
        raise DataError(f"there is no demo set {asked!r}{hint}; there is {', '.join(known)}")


@functools.cache
def _renderer_key() -> str:
    """Names the renderer by its code, so that a change of it can never read an older set.

    Comments, docstrings, line breaks and this module are no part of it: editing them renders nothing again.
    """
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        if source.name != "__init__.py":
            digest.update(code_of(source.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()[:12]


def code_of(source: str) -> str:
    """What Python runs of a module, as text."""
    tree = ast.parse(source)
    _drop_docstrings(tree)
    return ast.dump(tree)


def _drop_docstrings(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> None:
    if ast.get_docstring(node, clean=False) is not None:
        del node.body[0]
    for statement in node.body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef):
            _drop_docstrings(statement)


def _build(demo: str, part: str, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep_abandoned(target.parent)
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            DEMOS[demo][part](aside)
            aside.chmod(0o755)  # mkdtemp's folder is private, a shared cache is not
            (target / part).parent.mkdir(exist_ok=True)
            _publish(aside, target / part)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise EnvironmentFault(
            f"cannot write the demo set {demo!r} to {target}: {error}; free some space there, or point POSTTRAIN_CACHE "
            "at another folder"
        ) from error


def _publish(aside: Path, target: Path) -> None:
    try:
        os.rename(aside, target)  # noqa: PTH104 - Path.rename says nothing about a target that is a full folder
    except OSError:
        if not target.is_dir():
            raise
        # another process was faster; its files are the same as ours


def _sweep_abandoned(parent: Path) -> None:
    for folder in parent.glob(".*-*.*"):
        if time.time() - folder.stat().st_mtime > _ABANDONED_AFTER_S:
            shutil.rmtree(folder, ignore_errors=True)
