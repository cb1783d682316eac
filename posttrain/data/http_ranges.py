"""Files behind http:// and https://, read by byte ranges with the standard library.

fsspec's own implementation wants aiohttp, which nothing else here needs. A server that answers a range with the whole
file is refused: it would send a shard for every clip.
"""

import http.client
import time
import urllib.error
import urllib.request
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.spec import AbstractBufferedFile

_TIMEOUT_S = 60.0
# Before the second try and the third.
_PAUSES_S = (0.5, 2.0)


class NoRanges(OSError):  # noqa: N818 - a fact about a server
    """A file that cannot be read by byte ranges."""


class HttpRanges(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A read-only file system of URLs; folders cannot be listed."""

    protocol = ("http", "https")

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Size and what tells one version of the file from another."""
        if path not in self.dircache:  # asked for at every opening of a file
            headers, _first = _get(path, 0, 1)
            total = (headers.get("Content-Range") or "").rpartition("/")[2]
            if not total.isdigit():
                raise NoRanges(f"{path}: the server does not say how large it is")
            mark = headers.get("ETag") or headers.get("Last-Modified")
            self.dircache[path] = [{"name": path, "size": int(total), "type": "file", "mark": mark}]
        found: dict[str, Any] = self.dircache[path][0]
        return found

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """The file itself; a web server lists no folders."""
        return [self.info(path)] if detail else [path]

    def _open(self, path: str, mode: str = "rb", **more: Any) -> "_HttpFile":
        return _HttpFile(self, path, mode, **{key: more[key] for key in ("block_size", "cache_type") if key in more})


class _HttpFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    def _fetch_range(self, start: int, end: int) -> bytes:
        return _get(self.path, start, end)[1]


def _get(url: str, start: int, end: int) -> tuple[Any, bytes]:
    """Headers and bytes of a range; what may pass (a lost connection, a busy server) is tried again."""
    for pause_s in (*_PAUSES_S, None):
        try:
            return _get_once(url, start, end)
        except (OSError, http.client.HTTPException) as error:
            if pause_s is None or not _may_pass(error):
                raise
            time.sleep(pause_s)
    raise AssertionError("the last try returns or raises")


def _get_once(url: str, start: int, end: int) -> tuple[Any, bytes]:
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-{end - 1}"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            if answer.status != 206:
                raise NoRanges(
                    f"{url}: the server does not answer byte ranges, so no clip could be read without the whole file"
                )
            return answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (404, 410):
            raise FileNotFoundError(2, "No such file", url) from None
        if error.code in (401, 403):
            raise PermissionError(13, "Permission denied", url) from None
        if error.code == 416:  # a file of 0 bytes has no range
            raise NoRanges(f"{url}: it is empty") from None
        raise


def _may_pass(error: Exception) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        return error.code in (429, 500, 502, 503, 504)
    return not isinstance(error, FileNotFoundError | PermissionError | NoRanges)
