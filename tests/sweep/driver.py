"""A sweep in its own process, to be interrupted and killed: `tests.sweep.driver FOLDER ADDRESS SLOTS STEP_S`."""

import sys
from pathlib import Path

from posttrain.errors import PosttrainError
from posttrain.sweep.plan import AshaSpec, SweepPlan
from posttrain.sweep.runner import run_sweep
from posttrain.sweep.study import StudyBook
from posttrain.sweep.suggest import make_samplers
from tests.sweep.recorder import Recorder
from tests.sweep.toy_jobs import toy


class Printer(Recorder):
    def on_trial(self, trial_id, status, *, step, values, reason, parameters):
        print("trial", trial_id, status, step, flush=True)

    def on_note(self, text):
        print("note", text, flush=True)


def main(folder: Path, address: str, slots: int, step_s: float) -> int:
    book = StudyBook(
        folder / "study.journal",
        "toy",
        mode="min",
        suggest=lambda trial: {"x": trial.suggest_float("x", 0, 1)},
        make_sampler=make_samplers("tpe", seed=0, trials=4),
    )
    plan = SweepPlan(
        trials=4,
        scratch=folder / ".ray",
        asha=AshaSpec(grace_steps=100, max_steps=100),
        slots=slots,
        cpus_per_worker=0.5,
        address=None if address == "local" else address,
    )
    payload = {"folder": str(folder), "steps": 40, "step_s": step_s}
    try:
        run_sweep(
            plan,
            book,
            toy,
            prepare=payload,
            prepared=lambda outcome: None,
            payload=lambda id_, parameters: {**payload, "parameters": parameters},
            events=Printer(),
        )
    except PosttrainError as error:
        print("error", error, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
