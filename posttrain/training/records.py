"""A trial's own files, as it writes them: `metrics.jsonl`, TensorBoard scalars and the strips of frames."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from posttrain.evaluation.ranks import shared
from posttrain.evaluation.suites import Answered, Evaluation
from posttrain.paths import TrialPaths
from posttrain.tracking.metrics import MetricsLog, read
from posttrain.tracking.strip import strip
from posttrain.tracking.tensorboard import TrialBoard
from posttrain.training.observer import EvaluationRecord, StepRecord

_MIN_FRAME_PX = 96  # smaller frames are enlarged: TensorBoard shows a picture as it is


class TrialRecords:
    """Writes records to the trial's folder; on ranks other than 0 it only remembers the evaluations."""

    def __init__(self, log: MetricsLog | None, board: TrialBoard | None, history: list[EvaluationRecord]) -> None:
        self._log = log
        self._board = board
        self._history = history

    @classmethod
    @contextmanager
    def open(cls, paths: TrialPaths | None, resume_step: int | None) -> Iterator["TrialRecords"]:
        """Opens the files; what was written after the checkpoint that a trial resumes from is dropped, not doubled.

        Ranks other than 0 pass None, and get rank 0's history: all must decide alike when it is told again.
        """
        if paths is None:
            yield cls(None, None, shared([]))
            return
        first_step = 0 if resume_step is None else resume_step + 1
        with MetricsLog(paths.metrics_jsonl) as log, TrialBoard(paths.root, first_step) as board:
            log.truncate(first_step - 1)
            yield cls(log, board, shared(_evaluations(paths)))

    def history(self) -> list[EvaluationRecord]:
        """Every evaluation of the trial, those of earlier lives included."""
        return list(self._history)

    def step(self, record: StepRecord) -> None:
        """Writes a training record."""
        self._write("train", record.step, record.values)

    def evaluation(self, step: int, evaluation: Evaluation) -> None:
        """Writes an evaluation, and for each suite what people look at: strips of frames, questions with answers."""
        record = EvaluationRecord(step, evaluation.values)
        self._history.append(record)
        self._write("eval", step, record.values)
        if self._board is None:
            return
        for suite, pairs in evaluation.frames.items():
            rows = [row for pair in pairs for row in pair]
            if rows:  # true frames above sampled ones
                scale = max(1, _MIN_FRAME_PX // rows[0].shape[2])
                self._board.image(f"{suite}/true_above_sampled", strip(rows, scale), step)
        for suite, answers in evaluation.answers.items():
            if answers:
                self._board.text(f"{suite}/answers", _table(answers), step)

    def _write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        if self._log is not None and self._board is not None:
            self._log.append(step, kind, values)
            self._board.scalars({name: value for name, value in values.items() if math.isfinite(value)}, step)


def _table(answers: Sequence[Answered]) -> str:
    """Questions with the true answer and the model's, as Markdown."""
    lines = ["| | question | true answer | the model's |", "|---|---|---|---|"]
    lines += [
        f"| {'right' if each.right else 'wrong'} | {_cell(each.question)} | {_cell(each.true)} | {_cell(each.given)} |"
        for each in answers
    ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Text of a model as a cell: nothing in it may be taken for Markdown or for a tag."""
    return "`" + " ".join(text.replace("`", "'").replace("|", "\\|").split()) + "`"


def _evaluations(paths: TrialPaths) -> list[EvaluationRecord]:
    records = (record for record in read(paths.metrics_jsonl) if record["kind"] == "eval")
    return [
        EvaluationRecord(record["step"], {name: value for name, value in record.items() if "/" in name})
        for record in records
    ]
