"""Sources behind URLs: only what is needed is fetched, and a fault of the network never looks like a bad clip."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from posttrain.config import SourceConfig, load_sweep
from posttrain.data import ClipSpec, SourceScan, decode, remote, scan
from posttrain.data.places import locate
from posttrain.errors import ConfigError, DataError, EnvironmentFault
from tests.shard_files import HUB_ID, Served, serve, tar_of, write_parquet, write_tar

MakeVideo = Callable[..., Path]
MakeSource = Callable[..., Path]
ROOT = Path(__file__).parents[2]
PADDING = 2_000_000


def read(path: str, spec: ClipSpec) -> SourceScan:
    return scan("ego", SourceConfig(path=path), spec, Path("/nowhere"))


@pytest.fixture
def folder(tmp_path: Path, make_source: MakeSource) -> Path:
    return make_source(tmp_path / "folder", {stem: f"caption of {stem}" for stem in "abcd"})


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "web").mkdir()
    with serve(tmp_path / "web") as server:
        yield server


@pytest.fixture
def web(served: Served, tmp_path: Path, folder: Path) -> Path:
    tar_of(tmp_path / "web" / "000.tar", folder, "ab")
    tar_of(tmp_path / "web" / "001.tar", folder, "cd")
    return tmp_path / "web"


def test_shards_behind_a_url_are_the_clips_of_a_folder(web: Path, served: Served, folder: Path, spec: ClipSpec) -> None:
    result = read(f"{served.url}/{{000..001}}.tar", spec)
    plain = read(str(folder), spec)
    assert [(sample.id, sample.caption, sample.content_hash) for sample in result.kept] == [
        (f"ego/00{index // 2}/{sample.id[-1]}", sample.caption, sample.content_hash)
        for index, sample in enumerate(plain.kept)
    ]
    assert (result.dropped, result.ignored) == ([], {})
    before = len(served.ranges)
    assert decode(result.kept[0].video, spec).shape == (9, 32, 32, 3)
    assert len(served.ranges) == before, "the clip was held in memory since it was judged"


def test_of_a_large_shard_only_headers_and_clips_are_fetched(
    served: Served, tmp_path: Path, folder: Path, spec: ClipSpec, cache: Path
) -> None:
    members: dict[str, bytes] = {}
    for stem in "abcd":
        members[f"{stem}.mp4"] = (folder / "videos" / f"{stem}.mp4").read_bytes()
        members[f"{stem}.txt"] = b"a caption"
        members[f"{stem}.depth.npy"] = bytes(PADDING)
    shard = write_tar(tmp_path / "web" / "big.tar", members)
    url = f"{served.url}/big.tar"
    result = read(url, spec)
    assert len(result.kept) == 4
    clips = sum(len(data) for name, data in members.items() if name.endswith(".mp4"))
    # each of the 12 headers may cost a block of 64 KiB with what lies beside it
    assert served.num_bytes < clips + 13 * (1 << 16)
    assert served.num_bytes < shard.stat().st_size / 5
    first = served.num_bytes
    remote._held = type(remote._held)(0)  # as in a process that begins
    read(url, spec)
    assert served.num_bytes == first, "verdicts and index are cached: nothing is fetched again"
    sample = result.kept[2]
    decode(sample.video, spec)
    assert served.num_bytes - first == len(members["c.mp4"]), "one clip is one range"


def test_parquet_behind_a_url(served: Served, tmp_path: Path, folder: Path, spec: ClipSpec) -> None:
    videos = [(folder / "videos" / f"{stem}.mp4").read_bytes() for stem in "abcd"]
    columns = {"video": videos, "text": list("abcd"), "other": [os.urandom(PADDING)] * 4}
    file = write_parquet(tmp_path / "web" / "x.parquet", columns, row_group_size=1)
    result = read(f"{served.url}/x.parquet", spec)
    assert [sample.caption for sample in result.kept] == list("abcd")
    assert served.num_bytes < file.stat().st_size / 4, "the other column was never fetched"


def told(
    paths: Sequence[str], cache: Path, endpoint: str = "", rank: int = 0, of: int = 1, **more: str
) -> list[dict[str, Any]]:
    """What a process of its own finds in each source: the hub's library reads its settings when it is imported."""
    command = [sys.executable, "-m", "tests.data.read_source", str(rank), str(of), *paths]
    own = {
        "POSTTRAIN_CACHE": str(cache),
        "HF_ENDPOINT": endpoint,
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": "hf_secret",
        **more,
    }
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **own}, stdout=subprocess.PIPE, text=True, timeout=60, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_two_workers_read_disjoint_members(web: Path, served: Served, cache: Path, spec: ClipSpec) -> None:
    """Two processes that start with the scan's verdicts: each fetches the members of its own draws alone."""
    url = f"{served.url}/{{000..001}}.tar"
    everything = [[sample.id, sample.content_hash] for sample in read(url, spec).kept]
    assert len(everything) == 4
    fetched = []
    for rank in range(2):
        served.ranges.clear()
        (found,) = told([url], cache, rank=rank, of=2)
        assert [[name, content] for name, _, content, _ in found["kept"]] == everything
        fetched.append({found for found in served.ranges if found[1:] != (0, 1)})
    assert [len(ranges) for ranges in fetched] == [2, 2]
    assert fetched[0].isdisjoint(fetched[1])


def test_a_data_set_of_the_hub_with_shards(web: Path, served: Served, folder: Path, cache: Path) -> None:
    by_path = told([HUB_ID, f"hf://datasets/{HUB_ID}", f"hf://datasets/{HUB_ID}/*.tar"], cache, served.url)
    assert len(by_path) == 3
    for found in by_path:
        assert [entry[:2] for entry in found["kept"]] == [
            ["ego/000/a", "caption of a"],
            ["ego/000/b", "caption of b"],
            ["ego/001/c", "caption of c"],
            ["ego/001/d", "caption of d"],
        ]
        assert found["dropped"] == {}
    kept_on_disk = b"".join(file.read_bytes() for file in cache.rglob("*") if file.is_file())
    assert b"hf_secret" not in kept_on_disk
    clip = (folder / "videos" / "a.mp4").read_bytes()
    assert clip[100:200] not in kept_on_disk, "no clip is kept on the disk"


def test_a_data_set_of_the_hub_with_plain_videos(
    served: Served, tmp_path: Path, make_source: MakeSource, cache: Path
) -> None:
    make_source(tmp_path / "web" / "set", {"a": "one", "b": None, "c d é": "three"})
    (tmp_path / "web" / "set" / "metadata.csv").write_text("file_name,text\nvideos/b.mp4,two\n")
    (found,) = told([f"hf://datasets/{HUB_ID}/set"], cache, served.url)
    assert [entry[:2] for entry in found["kept"]] == [["ego/a", "one"], ["ego/b", "two"], ["ego/c d é", "three"]]
    assert (found["dropped"], found["ignored"]) == ({}, {})


def test_a_split_of_the_hub_and_what_the_hub_does_not_have(
    web: Path, served: Served, folder: Path, cache: Path
) -> None:
    for name in ("000.tar", "001.tar"):
        (web / name).unlink()
    tar_of(web / "data" / "train-00000-of-00001.tar", folder, "ab")
    tar_of(web / "data" / "test-00000-of-00001.tar", folder, "c")
    split, refused, missing = told([f"{HUB_ID}:test", HUB_ID, "me/other"], cache, served.url)
    assert [entry[0] for entry in split["kept"]] == ["ego/c"]
    assert refused["exit_code"] == missing["exit_code"] == 2
    assert "holds the splits test, train" in refused["error"]
    assert "the hub has no data set me/other" in missing["error"]


def test_a_hub_that_is_not_reached(cache: Path) -> None:
    for changes in ({}, {"HF_HUB_OFFLINE": "1"}):
        (unreached,) = told(["me/other"], cache, "http://127.0.0.1:9", **changes)
        assert unreached["exit_code"] == 4, unreached
        assert "the hub cannot be reached for me/other" in unreached["error"]
        assert "hf download --repo-type dataset me/other" in unreached["error"]


def test_a_host_that_is_down_is_a_fault_of_the_environment(spec: ClipSpec) -> None:
    with pytest.raises(
        EnvironmentFault, match=r"data\.sources\.ego\.path: http://127\.0\.0\.1:9/x\.tar cannot be read .*network"
    ):
        read("http://127.0.0.1:9/x.tar", spec)


def test_a_host_that_goes_down_between_listing_and_reading(
    web: Path, served: Served, spec: ClipSpec, tmp_path: Path
) -> None:
    result = read(f"{served.url}/000.tar", spec)
    video = Path(str(result.kept[0].video).replace(served.url.rpartition(":")[2], "9"))
    with pytest.raises(EnvironmentFault):
        decode(video, spec)


def test_a_busy_server_is_asked_again(web: Path, served: Served, spec: ClipSpec) -> None:
    (web / "000.tar").rename(web / "busy.tar")
    assert len(read(f"{served.url}/busy.tar", spec).kept) == 2
    assert len(served.refused) == 2


def test_what_a_server_refuses(web: Path, served: Served, spec: ClipSpec) -> None:
    (web / "no-ranges.tar").write_bytes((web / "000.tar").read_bytes())
    with pytest.raises(DataError, match=r"nothing\.tar is not there"):
        read(f"{served.url}/nothing.tar", spec)
    with pytest.raises(DataError, match="you may not read"):
        read(f"{served.url}/private.tar", spec)
    with pytest.raises(EnvironmentFault, match="does not answer byte ranges"):
        read(f"{served.url}/no-ranges.tar", spec)
    with pytest.raises(DataError, match="lists no files"):
        read(f"{served.url}/*.tar", spec)


@pytest.mark.parametrize("path", ["https://me:secret@host/x.tar", "https://host/x.tar?signature=secret"])
def test_credentials_in_a_url_are_refused_and_not_repeated(path: str, tmp_path: Path) -> None:
    """Before anything of the run is written; and where a suite names such a source."""
    sweep = {
        "name": "x",
        "model": {"checkpoint": "tiny:predict2.5"},
        "strategy": {"type": "lora"},
        "data": {"sources": {"ego": {"path": path}}},
        "training": {"steps": 8, "batch_size": 4, "learning_rate": 1e-4},
    }
    (tmp_path / "sweep.yaml").write_text(json.dumps(sweep))
    with pytest.raises(ConfigError, match=r"data\.sources\.ego\.path: the URL carries a password or a query") as caught:
        load_sweep(tmp_path / "sweep.yaml")
    assert "secret" not in str(caught.value)
    suites = json.dumps({"x": {"source": path}})
    with pytest.raises(ConfigError, match=r"evaluation\.suites\.x\.source: the URL carries") as suited:
        load_sweep(tmp_path / "sweep.yaml", ["data.sources.ego.path=a", f"evaluation.suites={suites}"])
    assert "secret" not in str(suited.value)
    with pytest.raises(DataError, match="carries a password or a query") as refused:
        locate(path, Path(), "evaluation.suites.x.source")
    assert "secret" not in str(refused.value)


def test_a_protocol_that_nothing_reads_and_one_whose_package_is_missing(spec: ClipSpec) -> None:
    with pytest.raises(DataError, match="nothing reads nosuch://"):
        read("nosuch://bucket/x.tar", spec)
    with pytest.raises(EnvironmentFault, match=r"s3://bucket/x\.tar: a package is missing .*s3fs"):
        read("s3://bucket/x.tar", spec)


def test_a_file_url_is_a_folder(folder: Path, spec: ClipSpec) -> None:
    assert len(read(f"file://{folder}", spec).kept) == 4
