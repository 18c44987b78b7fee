"""How checks look to people: of a run, of a tag, of what runs stand on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flexlock_hydra.cli.views import render

if TYPE_CHECKING:
    from flexlock_hydra.archive.remotes.doctor import Finding
    from flexlock_hydra.archive.runs.check import Check

    ChecksOfRun = tuple[str, list[Check]]
    """A run's folder, as it is named here, and its checks; no name where it is the only one."""

_UNDER = 7  # Columns before what the doctor says of a thing


def as_rows(found: Iterable[ChecksOfRun]) -> Iterator[dict[str, Any]]:
    """Each check as plain data, with its run where there are several."""
    for run, checks in found:
        for check in checks:
            plain = {key: value for key, value in vars(check).items() if value or key != "note"}
            yield {**({"run": run} if run else {}), **plain}


def show_checks(found: Iterable[ChecksOfRun]) -> None:
    """A line for each check that failed, could not be made, or has something to say."""
    for run, checks in found:
        prefix = f"{run}: " if run else ""
        for check in checks:
            if not check.ok:
                render.line(render.printable(f"{prefix}{check.name}: {check.reason}"), fg="red")
            elif check.reason:
                text = f"not verified: {prefix}{check.name}: {check.reason}"
                render.line(render.printable(text), fg="yellow")
            elif check.note:
                render.line(render.printable(f"{prefix}{check.name}: {check.note}"))


def counted(found: Sequence[ChecksOfRun], on_remote: bool) -> str:
    """How much was verified, where all of it is fine."""
    if on_remote:
        return found[0][1][-1].name
    checks = [check for _, checks in found for check in checks if not check.reason]
    runs = f" of {render.plural(len(found), 'run')}" if found[0][0] else ""
    return f"{render.plural(len(checks), 'check')}{runs}"


def show_finding(finding: Finding) -> None:
    """A thing that the doctor looked at: fine or wrong, why, and what to type next."""
    word, colour = ("fine", "green") if finding.ok else ("wrong", "red")
    reason = " ".join(finding.reason.split())
    told = f"{finding.name}: {reason}" if reason else finding.name
    text = f"{word.ljust(5)}  {render.printable(told)}"
    render.line(text, under=_UNDER, bold=(0, len(word)), fg=colour)
    if not finding.ok and finding.hint:
        render.line(f"{' ' * _UNDER}{render.printable(finding.hint)}", under=_UNDER)
