"""Whether the plain libraries load an exported model in this environment, which posttrain itself may do all the same.

posttrain declares the operators that a torchvision built for another torch leaves undeclared; a program of the user's
own does not. So the imports of an export's README are tried in a process that knows nothing of posttrain.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version

from posttrain.cli.problem import Problem

_TIMEOUT_S = 300
# Library -> what an export's README imports of it, and what these load later.
IMPORTS = {
    "diffusers": "from diffusers import Cosmos2_5_PredictBasePipeline, CosmosTransformer3DModel, CosmosControlNetModel",
    "transformers": "from transformers import AutoModelForImageTextToText, AutoProcessor, Qwen2VLVideoProcessor",
    "peft": "from peft import PeftModel",
}
_PROBE = """
import json, sys
found = {}
for library, line in json.loads(sys.argv[1]).items():
    try:
        exec(line)
        found[library] = None
    except BaseException as error:
        while error.__cause__ is not None:
            error = error.__cause__
        found[library] = " ".join(f"{type(error).__name__}: {error}".split())
print(json.dumps(found))
"""


def loading_problems(*libraries: str) -> Iterator[Problem]:
    """What keeps the plain libraries from loading an export here; of all libraries where none is named."""
    failed = {library: error for library, error in probe(*libraries).items() if error}
    if failed:
        yield Problem(
            "exports_not_loading",
            f"plain {_listed(failed)} cannot load an exported model in this environment ({_first(failed)}); "
            "posttrain itself can",
            _remedy(_first(failed)),
        )


def probe(*libraries: str) -> dict[str, str | None]:
    """Library -> why its imports fail, None where they do not."""
    lines = {library: IMPORTS[library] for library in libraries or IMPORTS}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, json.dumps(lines)],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
        found: dict[str, str | None] = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        return dict.fromkeys(lines, f"the process ended: {error}")
    return found


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _first(failed: Mapping[str, str]) -> str:
    return next(iter(failed.values()))


def _remedy(error: str) -> str:
    if "torchvision" in error:
        return (
            f"torchvision {_version('torchvision')} was built for another torch than {_version('torch')}: install the "
            "build for this one (pytorch.org tells the index to install both from)"
        )
    return (
        "install posttrain again with `pip install --force-reinstall`, which brings the libraries that belong together"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(missing)"
