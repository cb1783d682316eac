"""One trial in one process: the data order, the Trainer under it, checkpoints, records.

Importing this package repairs torchvision first: transformers reads it while it is imported itself.
"""

from posttrain.models.torchvision_shim import ensure_torchvision

ensure_torchvision()
