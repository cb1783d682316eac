"""How fast `posttrain data` is: 10,000 small clips read for the first time, and read again unchanged.

    python benchmarks/curation.py [--clips 10000] [--folder DIR]

The clips are made on the spot, each of a scene of its own (textured bodies that move over a textured ground), a share
of them with faults, with a caption beside each. Everything is measured as a user meets it: fresh processes, the whole
command with manifest and page. The first run is also measured with one worker (a share of the clips) against all.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import av
import numpy as np

SIZE, FRAMES, FPS = 64, 12, 8
SWEEP = """\
name: bench
model: {{checkpoint: "tiny:predict2.5"}}
strategy: {{type: lora}}
data:
  sources: {{clips: {{path: {path}}}}}
  filters: standard
training: {{steps: 8, batch_size: 4, learning_rate: 1e-4}}
search_space: {{training.learning_rate: {{loguniform: [1e-5, 1e-3]}}}}
"""
COLOURS = ("red", "green", "blue", "yellow", "white", "violet")
PLACES = ("yard", "hall", "street", "kitchen", "field", "harbour")


def main() -> None:
    """Makes the clips, runs the command, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="where the clips are made or, made earlier, found")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.folder or Path(scratch)
        made_s = make_clips(folder / "clips", asked.clips)
        few = make_clips(folder / "few", max(100, asked.clips // 10)) and folder / "few"
        one = run(few, Path(scratch) / "one", cores=1)
        many = run(few, Path(scratch) / "many", cores=None)
        first = run(folder / "clips", Path(scratch) / "all", cores=None)
        again = [run(folder / "clips", Path(scratch) / "all", cores=None) for _ in range(3)]
        page = Path(scratch) / "all" / "runs" / "bench" / "data" / "curation.html"
        few_clips = max(100, asked.clips // 10)
        print(
            f"{asked.clips} clips of {FRAMES} frames, {SIZE}x{SIZE}, on {os.cpu_count()} cores (made in {made_s:.0f} s)"
        )
        print(f"| first run, 1 worker ({few_clips} clips) | {one:.1f} s, {few_clips / one:.0f} clips/s |")
        print(f"| first run, all cores ({few_clips} clips) | {many:.1f} s, {one / many:.2f} times as fast |")
        print(f"| first run | {first:.1f} s, {asked.clips / first:.0f} clips/s |")
        print(f"| second run, unchanged | {statistics.median(again):.1f} s (median of 3) |")
        print(f"| page | {page.stat().st_size / 1e6:.1f} MB |")


def run(clips: Path, scratch: Path, cores: int | None) -> float:
    """Seconds that `posttrain data` takes in a fresh process, on `cores` cores (None: all)."""
    scratch.mkdir(parents=True, exist_ok=True)
    sweep = scratch / "bench.yaml"
    sweep.write_text(SWEEP.format(path=json.dumps(str(clips.absolute()))))
    program = [sys.executable, "-c", "from posttrain.cli import main; main()", "data", str(sweep)]
    environment = {**os.environ, "POSTTRAIN_CACHE": str(scratch / "cache")}
    pinned = [] if cores is None else ["taskset", "-c", ",".join(map(str, range(cores)))]
    began = time.monotonic()
    subprocess.run(
        [*pinned, *program, "--runs", str(scratch / "runs")], env=environment, check=True, stdout=subprocess.DEVNULL
    )
    return time.monotonic() - began


def make_clips(root: Path, count: int) -> float:
    """Writes `count` clips with captions unless they are there; returns the seconds that it took."""
    began = time.monotonic()
    (root / "videos").mkdir(parents=True, exist_ok=True)
    (root / "captions").mkdir(exist_ok=True)
    missing = [index for index in range(count) if not (root / "captions" / f"{index:06d}.json").exists()]
    with ProcessPoolExecutor() as pool:
        list(pool.map(write_clip, [root] * len(missing), missing, chunksize=50))
    return time.monotonic() - began


def write_clip(root: Path, index: int) -> None:
    """One clip, told apart from all others by its seed; every 50th is dark, every 70th stands still."""
    rng = np.random.default_rng(index)
    frames_THWC = scene(rng, still=index % 70 == 0)
    if index % 50 == 0:
        frames_THWC = frames_THWC // 16
    with av.open(str(root / "videos" / f"{index:06d}.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "yuv420p"
        for picture_HWC in frames_THWC:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture_HWC, format="rgb24")))
        container.mux(stream.encode())
    caption = f"A {COLOURS[index % 6]} body moves over the {PLACES[index // 6 % 6]}, take {index}."
    told = {"caption": caption, "quality": round(float(rng.uniform()), 2), "camera": f"c{index % 5}"}
    (root / "captions" / f"{index:06d}.json").write_text(json.dumps(told))


def scene(rng: np.random.Generator, *, still: bool) -> np.ndarray:
    """Smooth random ground and a square body of random texture that moves, uint8 (T, H, W, 3)."""
    ground_HWC = np.kron(rng.uniform(0, 255, (8, 8, 3)), np.ones((SIZE // 8, SIZE // 8, 1)))
    body_HWC = np.kron(rng.uniform(0, 255, (4, 4, 3)), np.ones((4, 4, 1)))
    begin, speed = rng.uniform(8, 40, 2), np.zeros(2) if still else rng.uniform(-2.5, 2.5, 2)
    frames_THWC = np.repeat(ground_HWC[None], FRAMES, axis=0)
    for index in range(FRAMES):
        y, x = np.clip(begin + speed * index, 0, SIZE - 16).astype(int)
        frames_THWC[index, y : y + 16, x : x + 16] = body_HWC
    return frames_THWC.astype(np.uint8)


if __name__ == "__main__":
    main()
