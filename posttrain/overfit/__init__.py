"""The gate: proves on a few samples that a configuration can learn at all, and says in words why one cannot.

Importing this package repairs torchvision first: transformers reads it while it is imported itself.
"""

from posttrain.models.torchvision_shim import ensure_torchvision

ensure_torchvision()
