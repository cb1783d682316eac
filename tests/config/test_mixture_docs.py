"""The worked example of docs/mixtures.md is a sweep that loads."""

import re
from pathlib import Path

from posttrain.config import load_sweep
from posttrain.config.where import parse

from .conftest import Write

DOCS = Path(__file__).parents[2] / "docs" / "mixtures.md"
HEAD = """\
name: documented
model: {checkpoint: tiny:predict2.5}
strategy: {type: lora}
training: {steps: 40, batch_size: 8, learning_rate: 1e-4}
"""


def test_the_worked_example_loads_and_means_what_the_page_says(write: Write) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    config = load_sweep(write(text=HEAD + example)).config
    assert len(config.search_space) == 5
    broad, focused = config.data.stages or ()
    assert (broad.by, broad.weights) == ("camera", {"ego": 0.6, "fixed": 0.4})
    where = parse(focused.where or "")
    left = [
        name
        for name, source in config.data.sources.items()
        if where.matches(source.model_dump(include={"quality", "camera", "synthetic"}))
    ]
    assert left == ["ego"]
