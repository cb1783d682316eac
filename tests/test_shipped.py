"""Every YAML that ships is loaded, the examples in the README and the commands it names included."""

import re
from pathlib import Path

import pytest
import yaml

from posttrain.cli import COMMANDS
from posttrain.config import load_sweep
from posttrain.errors import ConfigError

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_sweeps_load(path: Path) -> None:
    loaded = load_sweep(path)
    assert loaded.config.name == path.stem
    assert not loaded.warnings


@pytest.mark.parametrize("path", sorted((ROOT / "search_spaces").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_search_spaces_fit_a_sweep(path: Path, tmp_path: Path) -> None:
    sweep = yaml.safe_load((ROOT / "sweeps" / "quickstart.yaml").read_text(encoding="utf-8"))
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({**sweep, "search_space": str(path)}), encoding="utf-8")
    assert load_sweep(tmp_path / "sweep.yaml").search_space_file == path


def test_the_sweep_file_in_the_readme_is_valid(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)
    (tmp_path / "sweep.yaml").write_text(example, encoding="utf-8")
    assert not load_sweep(tmp_path / "sweep.yaml").warnings
    with pytest.raises(ConfigError):  # and the test can tell
        load_sweep(tmp_path / "sweep.yaml", ["training.stepss=1"])


def test_the_readme_names_commands_that_exist() -> None:
    named = set(re.findall(r"^posttrain (\w+)", README, flags=re.MULTILINE))
    assert named <= {command.__name__ for command in COMMANDS}
    assert {"check", "overfit", "sweep", "status", "export"} <= named
