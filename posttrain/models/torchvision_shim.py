"""Makes ``import torchvision`` work beside a CPU build of torch.

The torchvision wheel of the package index is built against CUDA. Beside a CPU torch its C++ library does not load,
and the import stops because the schemas of two operators are missing. The pure Python transforms, which diffusers
needs, work as soon as those schemas are defined. With a matching build this module does nothing.
"""

import importlib.util
import re
import sys
from typing import Any

import torch

_LIBRARIES: list[torch.library.Library] = []  # a Library withdraws its schemas when it is collected
_MISSING = re.compile(r"operator torchvision::(\w+) does not exist")


def ensure_torchvision() -> None:
    """Imports torchvision, defining the operator schemas that its missing C++ library leaves undeclared."""
    if importlib.util.find_spec("torchvision") is None:
        raise ModuleNotFoundError("torchvision is not installed; `pip install torchvision` beside this torch")
    for _ in range(8):  # one schema a round; two are missing in torchvision 0.28
        try:
            import torchvision  # noqa: F401
        except RuntimeError as error:
            missing = _MISSING.search(str(error))
            if missing is None:
                raise
            _declare(missing[1])
        else:
            return


def _declare(operator: str) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]  # torch's
    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _LIBRARIES.append(library)
