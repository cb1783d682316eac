"""The warnings of `check` and `plan`: doubtful settings, dropped clips and rows, whatever is unusual in the data."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from posttrain.cli.inspection import Inspection
    from posttrain.config import LoadedSweep
    from posttrain.errors import Issue


def warnings_of(loaded: "LoadedSweep", inspection: "Inspection") -> "list[Issue]":
    """The warnings about a sweep file and its data, those of the file first."""
    from posttrain.cli.inspection import placed
    from posttrain.data import caps_in_reach

    dataset = inspection.dataset
    told = [*dataset.warnings, *caps_in_reach(loaded.config, dataset.train)]
    return [*loaded.warnings, *_dropped(loaded, inspection), *(placed(loaded, warning, "data") for warning in told)]


def _dropped(loaded: "LoadedSweep", inspection: "Inspection") -> "list[Issue]":
    from posttrain.cli.answer_warnings import unparsed_formulas
    from posttrain.data import ClipSpec, clip_remedy, count_kinds

    spec = inspection.spec
    what = "clips" if isinstance(spec, ClipSpec) else "rows"
    warnings = []
    for name, scan in inspection.dataset.scans.items():
        where = f"data.sources.{name}" if name in inspection.dataset.train else "evaluation.suites"
        for kind, number in count_kinds(scan.dropped).items():
            example = next(entry for entry in scan.dropped if entry.kind == kind)
            message = f"{number} of {scan.found} {what} dropped: {kind} (first: {example.place}: {example.reason})"
            warnings.append(loaded.issue(where, message, clip_remedy(kind, spec) if isinstance(spec, ClipSpec) else ""))
        notes = {**scan.notes, **{f"{kind}, ignored": number for kind, number in scan.ignored.items()}}
        warnings += [loaded.issue(where, f"{number} x {note}") for note, number in notes.items()]
        if unparsed := None if isinstance(spec, ClipSpec) else unparsed_formulas(scan.kept):
            warnings.append(loaded.issue(where, unparsed))
    return warnings
