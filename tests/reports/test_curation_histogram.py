"""Histograms: every sample is in a bar, thresholds stand where the scores say, and the drawing stays inside its box."""

import numpy as np
import pytest

from posttrain.reports.curation import histogram
from posttrain.reports.curation.histogram import Mark, draw

RNG = np.random.default_rng(0)
SCORES = {
    "even": RNG.uniform(0, 1, 500),
    "decades": np.exp(RNG.normal(3, 2, 500)),
    "decades and zeros": np.where(RNG.uniform(size=500) < 0.2, 0, np.exp(RNG.normal(-5, 2, 500))),
    "whole": RNG.integers(0, 9, 500),
    "constant": np.full(20, 1.5),
    "all zero": np.zeros(20),
    "one": np.array([3.0]),
    "below zero": RNG.normal(0, 5, 500),
    "huge": RNG.uniform(1e9, 2e9, 50),
}


@pytest.mark.parametrize("name", SCORES)
def test_every_sample_is_in_a_bar_inside_the_box(name: str) -> None:
    scores = SCORES[name]
    plot = draw({"kept": scores[::2], "dropped": scores[1::2]}, [])
    counts = {group: sum(bar.count for bar in plot.bars if bar.group == group) for group in ("kept", "dropped")}
    assert counts == {"kept": len(scores[::2]), "dropped": len(scores[1::2])}
    for bar in plot.bars:
        assert histogram.LEFT <= bar.x <= bar.x + bar.width <= histogram.WIDTH - histogram.RIGHT + 1
        assert 0 <= bar.y <= bar.y + bar.height <= histogram.HEIGHT - histogram.BOTTOM + 1e-6
    assert plot.x_ticks
    assert all(histogram.LEFT <= tick.at <= histogram.WIDTH - histogram.RIGHT for tick in plot.x_ticks)


@pytest.mark.parametrize("side", ["min", "max"])
@pytest.mark.parametrize("name", ["even", "decades", "decades and zeros", "whole", "below zero", "huge"])
def test_a_threshold_stands_between_what_it_drops_and_what_it_keeps(name: str, side: str) -> None:
    scores = np.sort(SCORES[name])
    threshold = float(np.ceil(scores[len(scores) // 3])) if name == "whole" else float(scores[len(scores) // 3])
    beyond = scores < threshold if side == "min" else scores > threshold
    plot = draw(
        {"kept": scores[~beyond], "dropped": scores[beyond]},
        [Mark(threshold, "min" if side == "min" else "max", "x", True)],
    )
    (line,) = plot.lines
    assert not line.beyond
    for bar in plot.bars:
        outside = bar.x + bar.width / 2 < line.x if side == "min" else bar.x + bar.width / 2 > line.x
        # a sample whose score is the threshold itself is kept, and begins the bar behind it
        if bar.group == "dropped" or side == "min":
            assert outside == (bar.group == "dropped")


def test_a_threshold_far_from_all_samples_stands_at_the_edge_and_squeezes_nothing() -> None:
    plot = draw(
        {"kept": SCORES["even"]}, [Mark(50.0, "max", "0 dropped above 50", False), Mark(-0.1, "min", "y", True)]
    )
    far, near = plot.lines
    assert (far.beyond, far.label, far.in_force) == (True, "0 dropped above 50 →", False)
    assert far.x == histogram.WIDTH - histogram.RIGHT
    assert not near.beyond
    assert max(bar.x for bar in plot.bars) > histogram.WIDTH / 2


def test_thresholds_below_a_logarithmic_axis_stand_at_its_left() -> None:
    plot = draw({"kept": SCORES["decades"]}, [Mark(0.0, "min", "zero", True), Mark(-3.0, "min", "less", True)])
    assert plot.logarithmic
    assert [(line.x, line.beyond) for line in plot.lines] == [(histogram.LEFT, True)] * 2
