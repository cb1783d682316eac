"""How fast `posttrain data` is: 10,000 small clips read for the first time, and read again unchanged.

    python benchmarks/curation.py [--clips 10000] [--folder DIR]

The clips are made on the spot, each of a scene of its own (textured bodies that move over a textured ground), a share
of them with faults, with a caption beside each. Everything is measured as a user meets it: fresh processes, the whole
command with manifest and page. The first run is also measured with one worker (a share of the clips) against all.
"""

import argparse
import json
import os
import resource
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
    few_clips = max(100, asked.clips // 4)
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.folder or Path(scratch)
        make_clips(folder / "clips", asked.clips)
        make_clips(folder / "few", few_clips)
        one = run(folder / "few", Path(scratch) / "one", cores=1)
        many = run(folder / "few", Path(scratch) / "many", cores=None)
        first = run(folder / "clips", Path(scratch) / "all", cores=None)
        again = sorted(run(folder / "clips", Path(scratch) / "all", cores=None) for _ in range(3))
        page = Path(scratch) / "all" / "runs" / "bench" / "data" / "curation.html"
        print(f"{FRAMES} frames of {SIZE}x{SIZE}, {os.cpu_count()} cores; page of {page.stat().st_size / 1e6:.1f} MB\n")
        print("| run | clips | seconds | CPU seconds | clips/s |\n|---|---|---|---|---|")
        for name, clips, (wall_s, cpu_s) in (
            ("first, one core", few_clips, one),
            ("first, all cores", few_clips, many),
            ("first, all cores", asked.clips, first),
            ("second, unchanged (median of 3)", asked.clips, again[1]),
        ):
            print(f"| {name} | {clips} | {wall_s:.1f} | {cpu_s:.1f} | {clips / wall_s:.0f} |")


def run(clips: Path, scratch: Path, cores: int | None) -> tuple[float, float]:
    """Seconds that `posttrain data` takes in a fresh process, on `cores` cores (None: all), and of CPU time."""
    scratch.mkdir(parents=True, exist_ok=True)
    sweep = scratch / "bench.yaml"
    sweep.write_text(SWEEP.format(path=json.dumps(str(clips.absolute()))))
    program = [sys.executable, "-c", "from posttrain.cli import main; main()", "data", str(sweep)]
    environment = {**os.environ, "POSTTRAIN_CACHE": str(scratch / "cache")}
    pinned = [] if cores is None else ["taskset", "-c", ",".join(map(str, range(cores)))]
    began, cpu_s = time.monotonic(), children_s()
    subprocess.run(
        [*pinned, *program, "--runs", str(scratch / "runs")], env=environment, check=True, stdout=subprocess.DEVNULL
    )
    return time.monotonic() - began, children_s() - cpu_s


def children_s() -> float:
    """CPU time of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def make_clips(root: Path, count: int) -> None:
    """Writes `count` clips with captions unless they are there."""
    (root / "videos").mkdir(parents=True, exist_ok=True)
    (root / "captions").mkdir(exist_ok=True)
    missing = [index for index in range(count) if not (root / "captions" / f"{index:06d}.json").exists()]
    with ProcessPoolExecutor() as pool:
        list(pool.map(write_clip, [root] * len(missing), missing, chunksize=50))


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
