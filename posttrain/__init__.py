"""posttrain: a sweep platform for the post-training of foundation models."""

__version__ = "0.1.0"
