"""`posttrain doctor`: what is installed, what the machine has, what the cache holds, and what is wrong with any of it.

Every problem comes with its remedy. `--prune` removes from the cache what is asked for, never what a running process
uses.
"""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posttrain.cache.account import parse_size, size_text
from posttrain.errors import ConfigError, EnvironmentFault

if TYPE_CHECKING:
    from posttrain.cache import Account, Entry, Removed
    from posttrain.cli.problem import Problem

_DAY_S = 86400.0


def doctor(
    size: Annotated[
        str | None, typer.Argument(help="With --prune: the size that the cache may keep, for example 50GB.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Remove from the cache what was used longest ago, down to SIZE or its limit."),
    ] = False,
    older: Annotated[
        float | None, typer.Option("--older", help="Remove what was last used more than this many days ago.", min=0)
    ] = None,
) -> None:
    """Show versions, hardware and the cache, and every problem with its remedy; with --prune free some space."""
    from posttrain import cache
    from posttrain.cli.diagnosis import diagnose
    from posttrain.tracking.environment import environment

    if size is not None and not prune:
        raise ConfigError.single("doctor", f"{size!r} says how much to keep", hint=f"write `--prune {size}`")
    keep = None if size is None else parse_size(size, "--prune")
    found = environment()
    problems = diagnose(found)
    removed, account = None, None
    if not {problem.code for problem in problems} & {"cache_unwritable", "limit_wrong"}:
        if prune or older is not None:
            removed = cache.prune(keep, older_s=None if older is None else older * _DAY_S)
        account = cache.survey()
    document = _document(found, account, removed, problems)
    if as_json:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _show(document)
    if not document["ok"]:
        raise typer.Exit(EnvironmentFault.exit_code)


def _document(
    found: dict[str, Any], account: "Account | None", removed: "Removed | None", problems: "list[Problem]"
) -> dict[str, Any]:
    from posttrain.cli.diagnosis import free_on_disk, hub_cache
    from posttrain.cli.versions import other_versions
    from posttrain.paths import cache_dir

    return {
        "ok": not any(problem.is_fatal for problem in problems),
        "problems": [asdict(problem) for problem in problems],
        **{name: found[name] for name in ("python", "platform", "packages", "hardware", "variables")},
        "not_tested": [asdict(each) for each in other_versions()],
        "hub_cache": str(hub_cache()),
        "cache": {
            "path": str(cache_dir()),
            "free_bytes": free_on_disk(cache_dir()),
            **(_account(account) if account else {}),
        },
        "removed": None if removed is None else _removed(removed),
    }


def _account(account: "Account") -> dict[str, Any]:
    kinds = {kind: _kind(kind, account) for kind in sorted({entry.kind for entry in account.entries})}
    return {
        "limit_bytes": account.limit,
        "bytes": account.num_bytes,
        "kinds": kinds,
        "in_use_bytes": sum(entry.num_bytes for entry in account.entries if account.in_use(entry)),
        "processes": [lease.holder for lease in account.leases],
        "abandoned": {
            "files": len(account.abandoned),
            "bytes": sum(left.num_bytes for left in account.abandoned),
        },
    }


def _kind(kind: str, account: "Account") -> dict[str, Any]:
    entries = [entry for entry in account.entries if entry.kind == kind]
    return {
        "entries": len(entries),
        "bytes": sum(entry.num_bytes for entry in entries),
        "days_since_used": max(0.0, account.at - max(entry.used for entry in entries)) / _DAY_S,
        "days_since_oldest": max(0.0, account.at - min(entry.used for entry in entries)) / _DAY_S,
    }


def _removed(removed: "Removed") -> dict[str, Any]:
    return {
        "bytes": removed.num_bytes,
        "entries": _by_kind(removed.entries),
        "abandoned": removed.num_abandoned,
        "kept_in_use": _by_kind(removed.in_use),
    }


def _by_kind(entries: "list[Entry]") -> dict[str, int]:
    return {kind: sum(entry.kind == kind for entry in entries) for kind in sorted({entry.kind for entry in entries})}


def _show(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    for line in _headlines(document):
        console.print(line, markup=False)
    kinds = document["cache"].get("kinds", {})
    if kinds:
        table = Table("in the cache", "entries", "size", "last used", "oldest use", box=None, pad_edge=False)
        for kind, values in kinds.items():
            when = (f"{values[name]:.1f} days ago" for name in ("days_since_used", "days_since_oldest"))
            table.add_row(kind, str(values["entries"]), size_text(values["bytes"]), *when)
        console.print(table)
    for line in _changes(document):
        console.print(line, markup=False)
    for problem in document["problems"]:
        kind = "problem" if problem["is_fatal"] else "warning"
        console.print(f"{kind}: {problem['message']}; {problem['remedy']}", markup=False)
    if not document["problems"]:
        console.print("[green]OK[/]: nothing is wrong")


def _headlines(document: dict[str, Any]) -> list[str]:
    hardware, cache = document["hardware"], document["cache"]
    gpus = ", ".join(f"{gpu['name']} ({size_text(gpu['memory_bytes'] or 0)})" for gpu in hardware["gpus"])
    versions = ", ".join(f"{name} {version or 'missing'}" for name, version in document["packages"].items())
    held = f"{size_text(cache['bytes'])} of at most {size_text(cache['limit_bytes'])}, " if "bytes" in cache else ""
    free = "" if cache["free_bytes"] is None else f"{size_text(cache['free_bytes'])} free on its disk"
    return [
        f"python {document['python']} on {document['platform']}",
        f"packages: {versions}",
        f"versions: {_tested(document['not_tested'])}",
        f"hardware: {hardware['cpus_usable']} CPU cores, {size_text(hardware['memory_bytes'])} of memory, "
        f"{gpus or 'no GPU'}",
        f"hub cache: {document['hub_cache']}",
        f"cache: {cache['path']}, {held}{free}",
    ]


def _tested(others: list[dict[str, Any]]) -> str:
    """How the installed versions compare with the tested ones."""
    if not others:
        return "all as tested"
    listed = ", ".join(f"{each['name']} {each['installed']} (tested {each['tested']})" for each in others)
    return f"not the tested ones: {listed}"


def _changes(document: dict[str, Any]) -> list[str]:
    cache, removed = document["cache"], document["removed"]
    lines = []
    if cache.get("processes"):
        lines.append(f"in use: {size_text(cache['in_use_bytes'])}, by {', '.join(cache['processes'])}")
    if cache.get("abandoned", {}).get("files"):
        left = cache["abandoned"]
        lines.append(
            f"abandoned by killed processes: {left['files']} ({size_text(left['bytes'])}); --prune removes them"
        )
    if removed is not None:
        parts = [f"{number} of {kind}" for kind, number in removed["entries"].items()]
        parts += [f"{removed['abandoned']} abandoned"] if removed["abandoned"] else []
        lines.append(f"removed {size_text(removed['bytes'])}: {', '.join(parts) or 'nothing'}")
        if removed["kept_in_use"]:
            kept = ", ".join(f"{number} of {kind}" for kind, number in removed["kept_in_use"].items())
            lines.append(f"kept, because running processes use them: {kept}")
    return lines
