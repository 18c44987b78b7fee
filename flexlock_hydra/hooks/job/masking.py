"""Parts of a lock without secrets."""

from __future__ import annotations

from dataclasses import replace

from flexlock_hydra.capture.secrets.masker import Masker
from flexlock_hydra.record.model import CodeState, DataEntry, Job


def masked_code(code: CodeState, masker: Masker) -> CodeState:
    """A repository's state without secrets in its remote's URL or in what is said of it."""
    remote = code.remote and masker.text(code.remote)
    return replace(code, remote=remote, reasons=tuple(map(masker.text, code.reasons)))


def masked_entry(entry: DataEntry, masker: Masker) -> DataEntry:
    """An input without secrets, where it could not be recorded; else its path is needed."""
    if entry.error is None:
        return entry
    return replace(entry, path=masker.text(entry.path), error=masker.text(entry.error))


def masked_job(job: Job, masker: Masker) -> Job:
    """A job without secrets in what it was asked for."""
    overrides, command = job.overrides, job.command
    return replace(
        job,
        overrides=replace(
            overrides,
            task=tuple(map(masker.assignment, overrides.task)),
            hydra=tuple(map(masker.assignment, overrides.hydra)),
        ),
        choices=masker.mask(job.choices),
        config_sources=tuple(masker.mask(list(job.config_sources))),
        command=replace(command, argv=tuple(masker.arguments(command.argv))),
        volatile=job.volatile and tuple(map(masker.text, job.volatile)),
    )
