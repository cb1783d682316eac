"""What `check` says about true answers that completions cannot be compared with as they should."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from posttrain.data import Row

_MAX_PARSED = 500  # different answers; each costs sympy some hundredths of a second


def unparsed_formulas(rows: "Sequence[Row]") -> str | None:
    """A sentence on the rows whose answer reads like a formula that cannot be parsed; None if there is none."""
    from posttrain.evaluation.formulas import looks_like_formula
    from posttrain.evaluation.matching import kind

    formulas: dict[str, Row] = {}
    for row in rows:
        if not row.choices and looks_like_formula(row.answer):
            formulas.setdefault(row.answer, row)
    asked = list(formulas.items())[:_MAX_PARSED]
    wrong = [(answer, row) for answer, row in asked if kind(answer) == "formula as text"]
    if not wrong:
        return None
    answer, row = wrong[0]
    looked_at = f" of the first {_MAX_PARSED}" if len(formulas) > _MAX_PARSED else ""
    return (
        f"{len(wrong)} x answer{looked_at} that reads like a formula and cannot be parsed (first: {row.id}: "
        f"{answer[:60]}); only what is written alike counts as right: correct it"
    )
