"""The job function by name: importable without torch, so that the driver stays small; the worker loads the rest."""

from typing import Any

from posttrain.sweep.protocol import Job, Link


def run_job(job: Job, link: Link) -> dict[str, Any]:
    """See `posttrain.sweep.jobs.run_job`."""
    from posttrain.sweep import jobs

    return jobs.run_job(job, link)
