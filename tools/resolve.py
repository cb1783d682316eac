"""Checks with pip's own resolver that versions.lock resolves to wheels for the Pythons that the tests do not run on.

    make resolve

pip fetches every wheel before `--dry-run` ends, three gigabytes of them with torch's CUDA packages. What it resolves
with is their metadata alone, which it can read by byte ranges (`fast-deps`). So the one step that fetches the rest is
left out; it is a private method of pip's, which is why pip itself stands in the lock.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.12", "3.13")
_PIP = """
import sys
from pip._internal.operations.prepare import RequirementPreparer
assert hasattr(RequirementPreparer, "prepare_linked_requirements_more"), "take the pip of versions.lock"
RequirementPreparer.prepare_linked_requirements_more = lambda *_, **__: None
from pip._internal.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def resolve(python: str, requirements: list[str]) -> subprocess.CompletedProcess[str]:
    """What pip says of these requirements for a Python that need not be here."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "requirements.txt")
        listed.write_text("\n".join(requirements), encoding="utf-8")
        command = [
            *(sys.executable, "-c", _PIP, "install", "--dry-run", "--ignore-installed", "--use-feature=fast-deps"),
            *("--only-binary=:all:", "--python-version", python, "--target", folder, "--progress-bar=off"),
            *("--requirement", str(listed), "--constraint", str(ROOT / "versions.lock")),
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False)


def asked_for() -> list[str]:
    """Our own requirements, those of development included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["dev"]]


def unlocked(report: str) -> list[str]:
    """What would be installed and stands in no line of the lock, but for the CUDA packages of torch."""
    locked = re.findall(r"^([a-z0-9-]+)==", (ROOT / "versions.lock").read_text(encoding="utf-8"), re.MULTILINE)
    (line,) = re.findall(r"^Would install (.*)$", report, re.MULTILINE)
    names = [re.sub(r"[-_.]+", "-", each.rpartition("-")[0]).lower() for each in line.split()]
    return [name for name in names if name not in locked and not name.startswith(("nvidia-", "cuda-", "triton"))]


def main() -> int:
    """Prints a line for each Python; 1 where one does not resolve."""
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda python: resolve(python, asked_for()), PYTHONS))
    failed = False
    for python, answer in zip(PYTHONS, answers, strict=True):
        missing = [] if answer.returncode else unlocked(answer.stdout)
        failed |= bool(answer.returncode or missing)
        said = f"has no line for {', '.join(missing)}; run `make lock`" if missing else "resolves to wheels"
        print(f"Python {python}: versions.lock {'does not resolve:' if answer.returncode else said}")
        print(answer.stdout + answer.stderr if answer.returncode else "", end="")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
