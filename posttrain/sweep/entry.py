"""The job function by name: importable without torch, so that the driver stays small; the worker loads the rest."""

import sys
from typing import Any

from posttrain.sweep.protocol import Job, Link


def run_job(job: Job, link: Link) -> dict[str, Any]:
    """See `posttrain.sweep.jobs.run_job`."""
    if "posttrain.sweep.jobs" not in sys.modules:
        link.note({"doing": "importing the training libraries"})
    from posttrain.sweep import jobs

    return jobs.run_job(job, link)
