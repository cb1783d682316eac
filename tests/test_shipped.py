"""Every YAML that ships is loaded, the examples in the README and the commands it names included."""

import re
from pathlib import Path

import pytest
import yaml

from posttrain.cli import COMMANDS
from posttrain.config import SUPPORT, load_sweep
from posttrain.errors import ConfigError
from posttrain.models.reading import family_of

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_sweeps_load(path: Path) -> None:
    loaded = load_sweep(path, family_of=family_of)
    assert loaded.config.name == path.stem
    assert not loaded.warnings


@pytest.mark.parametrize("path", sorted((ROOT / "search_spaces").glob("*.yaml")), ids=lambda path: path.stem)
@pytest.mark.parametrize("named", [False, True])
def test_shipped_search_spaces_are_taken_where_a_file_names_none_or_them(
    path: Path, named: bool, tmp_path: Path
) -> None:
    family, _, strategy = path.stem.rpartition("-")
    sweep = {
        "name": "s",
        "model": {"checkpoint": "some/model", "family": family},
        "strategy": {"type": strategy},
        "data": {"sources": {"a": {"path": "a"}}},
        "training": {"steps": 100},  # the default learning rate of each pair lies in its space
    }
    chosen = {"search_space": path.name} if named else {}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({**sweep, **chosen}), encoding="utf-8")
    loaded = load_sweep(tmp_path / "sweep.yaml")
    assert loaded.search_space_file == path
    assert not loaded.warnings
    assert "training.learning_rate" in loaded.config.search_space


@pytest.mark.parametrize(("family", "strategy"), [cell for cell, said in SUPPORT.items() if not said.rule])
def test_every_supported_cell_ships_its_files(family: str, strategy: str) -> None:
    assert (ROOT / "search_spaces" / f"{family}-{strategy}.yaml").is_file()
    checkpoints = [
        loaded.config.model.checkpoint
        for path in (ROOT / "sweeps").glob("*.yaml")
        if (loaded := load_sweep(path, family_of=family_of)).config.strategy.type == strategy
        and loaded.config.model.family == family
    ]
    assert [name for name in checkpoints if name.startswith("tiny:")], "a tiny sweep"
    assert [name for name in checkpoints if not name.startswith("tiny:")], "one for published weights"


@pytest.mark.parametrize(
    "example", re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL), ids=lambda text: text[:20]
)
def test_the_sweep_files_in_the_readme_are_valid(example: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(example, encoding="utf-8")
    assert not load_sweep(tmp_path / "sweep.yaml", family_of=family_of).warnings
    with pytest.raises(ConfigError):  # and the test can tell
        load_sweep(tmp_path / "sweep.yaml", ["training.stepss=1"])


def test_the_readme_names_commands_that_exist() -> None:
    named = set(re.findall(r"^posttrain (\w+)", README, flags=re.MULTILINE))
    assert named <= {command.__name__ for command in COMMANDS}
    assert {"check", "overfit", "sweep", "status", "export"} <= named
