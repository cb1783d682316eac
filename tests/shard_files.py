"""Shards made on the spot, and a web server (and hub) that answers byte ranges and remembers them."""

import io
import json
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

import pyarrow
from pyarrow import parquet

HUB_ID = "me/clips"


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def tar_of(path: Path, source: Path, stems: Sequence[str]) -> Path:
    """A tar of clips of a folder, with their captions."""
    members: dict[str, bytes] = {}
    for stem in stems:
        members[f"{stem}.json"] = (source / "captions" / f"{stem}.json").read_bytes()
        members[f"{stem}.mp4"] = (source / "videos" / f"{stem}.mp4").read_bytes()
    return write_tar(path, members)


def write_parquet(path: Path, columns: Mapping[str, Sequence[Any]], row_group_size: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(dict(columns)), path, row_group_size=row_group_size)
    return path


@dataclass
class Served:
    """What a server was asked for: `ranges` are (path, first byte, byte after the last)."""

    url: str
    ranges: list[tuple[str, int, int]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def num_bytes(self) -> int:
        return sum(end - start for _, start, end in self.ranges)


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, root: Path, served: Served, *args: Any) -> None:
        self.root, self.served = root, served
        super().__init__(*args)

    def do_GET(self) -> None:
        place = self.path.partition("?")[0]
        if place.startswith("/api/"):
            self.answer_hub(place)
            return
        file = self.root / unquote(place.removeprefix(f"/datasets/{HUB_ID}/resolve/main")).lstrip("/")
        if self.path.startswith("/busy") and len(self.served.refused) < 2:
            self.served.refused.append(self.path)
            self.send_error(503)
            return
        if self.path.startswith("/private"):
            self.send_error(403)
            return
        if not file.is_file():
            self.send_error(404)
            return
        data = file.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked is None or self.path.startswith("/no-ranges"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            return
        start, end = int(asked[1]), min(int(asked[2]) + 1, len(data))
        self.served.ranges.append((file.name, start, end))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.send_header("Content-Length", str(end - start))
        self.send_header("ETag", f'"{zlib.crc32(data)}"')
        self.end_headers()
        self.wfile.write(data[start:end])

    def answer_hub(self, place: str) -> None:
        """What the hub says of the one data set it has, whose files are those below the server's root."""
        about = f"/api/datasets/{HUB_ID}"
        if place in (about, f"{about}/revision/main"):
            self.send_json({"id": HUB_ID, "sha": "0" * 40, "siblings": [], "tags": [], "private": False})
        elif place.startswith(f"{about}/tree/main"):
            folder = self.root / unquote(place.removeprefix(f"{about}/tree/main")).lstrip("/")
            self.send_json([self.entry(path) for path in sorted(folder.iterdir())])
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def entry(self, path: Path) -> dict[str, Any]:
        kind, size = ("directory", 0) if path.is_dir() else ("file", path.stat().st_size)
        return {"type": kind, "oid": "1" * 40, "size": size, "path": path.relative_to(self.root).as_posix()}

    def send_json(self, document: Any) -> None:
        data = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serve(root: Path) -> Iterator[Served]:
    """The files below `root` over HTTP on a free port of this machine."""
    served = Served("")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, root, served))
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
