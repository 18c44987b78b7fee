"""Compare what two runs put out: identical, close, or different, and in what."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from flexlock_hydra.archive.runs.places import original_folder
from flexlock_hydra.archive.runs.recorded_run import RecordedRun, original_root
from flexlock_hydra.archive.tag.collect import digest_outputs
from flexlock_hydra.capture.data.digest import FileDigest
from flexlock_hydra.capture.data.hash_index import HashIndex
from flexlock_hydra.errors import DataError
from flexlock_hydra.record.codec import Json
from flexlock_hydra.record.model import COMPLETED, Outputs, Run
from flexlock_hydra.record.volatile import HYDRAS_OWN, RESULT, Volatile
from flexlock_hydra.replay.compare.judge import Judge, Rules, UnreadableError
from flexlock_hydra.replay.compare.outcome import (
    CLOSE, DIFFERS, ERROR, IDENTICAL, RETURNED, STATUS, Comparison, Difference, LeftOut, Outcome
)
from flexlock_hydra.replay.compare.path_names import Moved
from flexlock_hydra.replay.compare.tolerance import Tolerance

HYDRAS_LOG = "Hydra's log"
BY_SIZE = "max_output_mb"
EARLIER = "an earlier run in the same folder"
NOT_RECORDED = "outputs not recorded"
ALL_FILES = "*"
_OBJECT = re.compile(r"<[^<>]* at 0x[0-9A-Fa-f]+>")

Files = Mapping[str, FileDigest]
Names = Iterable[tuple[str, str]]


def compare_runs(
    old: RecordedRun,
    new: RecordedRun,
    *,
    tolerance: Tolerance = Tolerance(),
    moved: Names = (),
    files: Files | None = None,
) -> Comparison:
    """The outputs, returned results and ends of two runs.

    Args:
        old: the recorded run, by whose list things are left out; what the list of the new
            one names beside it is left out too.
        moved: names of one folder or file in the two runs, beside those of the project's
            root and of the output directory. Texts that differ by them alone are equal.
        files: the output files of the old run, where they were looked at already.

    Raises:
        DataError: outputs are gone or unreadable, or not what was recorded.
    """
    own = dict.fromkeys((*(old.lock.job.volatile or ()), *(new.lock.job.volatile or ())))
    rules = Rules(tolerance, Volatile(tuple(own)), Moved((*moved_folders(old, new), *moved)))
    compared = old.lock.outputs is not None and new.lock.outputs is not None
    before = (output_files(old) if files is None else files) if old.lock.outputs else {}
    after = output_files(new) if compared else {}
    sorter = _Sorter.of(rules.volatile, before, after)
    sorter = sorter.without(old.lock.outputs.earlier or () if old.lock.outputs else ())
    places = {name: (old.folder / name, new.folder / now) for name, now in sorter.both.items()}
    outcomes = [
        *(_compare_file(name, before[name], after[now], places[name], rules)
          for name, now in sorter.both.items()),
        *_compare_results(old.lock.run, new.lock.run, rules),
        *_compare_ends(old.lock.run, new.lock.run, rules),
    ]
    return Comparison(
        tolerance=tolerance,
        identical=tuple(each.file for each in outcomes if _is_identical_file(each)),
        close=tuple(each for each in outcomes if each.verdict == CLOSE),
        differing=tuple(each for each in outcomes if each.verdict == DIFFERS),
        missing=sorter.missing,
        added=sorter.added,
        left_out=(
            *_never_hashed(old.lock.outputs, new.lock.outputs, rules.volatile),
            *sorter.left_out,
            *(left for each in outcomes for left in each.left_out),
        ),
        both_failed=_both_failed(old.lock.run, new.lock.run, outcomes),
        returned=any(_says_something(each.lock.run.result) for each in (old, new)),
    )


def output_files(run: RecordedRun, index: HashIndex | None = None) -> dict[str, FileDigest]:
    """Every output file that was recorded, as it is now; an md5 of ``""``: by size alone.

    ``index``: knows the hashes of files that did not change since they were read.

    Raises:
        DataError: the folder is gone or unreadable, or is not what was recorded.
    """
    recorded = run.lock.outputs
    if recorded is None:
        raise DataError(
            f"the outputs of {run.lock.run.id} were not recorded",
            hint="Run it with hydra.callbacks.flexlock.outputs=true and let it end.",
        )
    by_size = {name: FileDigest("", size) for name, size in (recorded.unhashed or {}).items()}
    return {**digest_outputs(run, recorded, index).files, **by_size}


def without_hydra(files: Files) -> dict[str, FileDigest]:
    """The files that are part of a result: Hydra's own records left out."""
    records = _hydras(files)
    return {name: file for name, file in files.items() if name not in records}


def moved_folders(old: RecordedRun, new: RecordedRun) -> Iterator[tuple[str, str]]:
    """Pairs of names of the root, and of the output directory, in one of two runs or both."""
    roots = [name for run in (old, new)
             for name in (original_root(run.lock), *_absolute_names(run.root))]
    folders = [name for run in (old, new) for name in _folder_names(run)]
    for names in (roots, folders):
        first, *others = dict.fromkeys(names)
        yield from ((first, other) for other in others)


def _folder_names(run: RecordedRun) -> list[str]:
    """What an output directory is called: by itself, from the root, from where the job began."""
    original = original_folder(run)
    above = (original_root(run.lock), run.lock.job.command.cwd)
    relative = [posixpath.relpath(original, folder) for folder in above]
    return [original, *_absolute_names(run.folder), *relative]


def _absolute_names(folder: Path) -> tuple[str, str]:
    """A folder's name as it is, and without links."""
    return os.path.abspath(folder), os.path.realpath(folder)


@dataclass(frozen=True)
class _Sorter:
    """The names of two sets of files: in both, in one, and those that do not count.

    ``both`` says what a file is called in the new set.
    """

    both: Mapping[str, str]
    missing: tuple[str, ...]
    added: tuple[str, ...]
    left_out: tuple[LeftOut, ...]

    @classmethod
    def of(cls, rules: Volatile, old: Files, new: Files) -> _Sorter:
        from flexlock_hydra.replay.compare.kinds.events import paired

        hydras = _hydras(old) | _hydras(new) if HYDRAS_OWN in rules.patterns else ()
        by = {
            name: HYDRAS_OWN if name in hydras else rules.file(name)
            for name in sorted({*old, *new})
        }
        counted = [name for name in by if by[name] is None]
        missing = [name for name in counted if name not in new]
        added = [name for name in counted if name not in old]
        renamed = paired(missing, added)
        both = {name: renamed.get(name, name) for name in counted if name in old}
        return cls(
            both={name: now for name, now in both.items() if now in new},
            missing=tuple(name for name in missing if name not in renamed),
            added=tuple(name for name in added if name not in renamed.values()),
            left_out=tuple(LeftOut(name, rule) for name, rule in by.items() if rule),
        )

    def without(self, earlier: Collection[str]) -> _Sorter:
        """The same, where what an earlier run left is not missed."""
        gone = tuple(LeftOut(name, EARLIER) for name in self.missing if name in earlier)
        missing = tuple(name for name in self.missing if name not in earlier)
        return replace(self, missing=missing, left_out=(*self.left_out, *gone))


def _compare_file(
    name: str, old: FileDigest, new: FileDigest, places: tuple[Path, Path], rules: Rules
) -> Outcome:
    """The outcome of one file, which is read where its hashes differ; DataError if it cannot be."""
    if not (old.md5 and new.md5):
        if old.size == new.size:
            return Outcome(name, IDENTICAL, left_out=(LeftOut(name, BY_SIZE),))
        size = Difference("", f"{old.size} bytes", f"{new.size} bytes")
        return Outcome(name, DIFFERS, (size,), 1, reason="compared by size")
    if old == new:
        return Outcome(name, IDENTICAL)
    from flexlock_hydra.replay.compare.file_kinds import compare_contents

    try:
        return compare_contents(name, *places, rules)
    except OSError as error:
        raise DataError(
            f"{error.filename or name} cannot be read: {error.strerror}",
            hint="Compare the two folders again once it can be.",
        ) from error


def _is_identical_file(outcome: Outcome) -> bool:
    """Whether a file is identical; one known by its size alone was not compared."""
    by_size = any(left.by == BY_SIZE for left in outcome.left_out)
    is_file = outcome.file not in (RETURNED, ERROR)
    return outcome.verdict == IDENTICAL and is_file and not by_size


def _compare_results(old: Run, new: Run, rules: Rules) -> Iterator[Outcome]:
    """The outcome of what two tasks returned, unless that is equal."""
    from flexlock_hydra.replay.compare.kinds.plain import compare_values

    judge, reason = Judge(RESULT, rules), ""
    try:
        compare_values(old.result, new.result, judge)
    except UnreadableError as why:
        judge, reason = Judge(RESULT, rules), str(why)
        if old.result != new.result:
            judge.differs("", old.result, new.result)
    if not judge.is_clean:
        yield judge.outcome(reason, file=RETURNED)


def _says_something(result: Json) -> bool:
    """Whether a result is one that can differ: an object is known by its type alone."""
    match result:
        case {"repr": str(text)} if len(result) == 1:
            return _OBJECT.fullmatch(text) is None
    return result is not None


def _compare_ends(old: Run, new: Run, rules: Rules) -> Iterator[Outcome]:
    """The outcome of how two runs ended: another status, or another error."""
    if old.status != new.status:
        yield Outcome(STATUS, DIFFERS, (Difference("", old.status, new.status),), 1)
    elif old.error and new.error:
        judge = Judge(ERROR, rules)
        judge.text("", old.error.type, new.error.type, "type")
        judge.text("", old.error.message, new.error.message, "message")
        if not judge.is_clean:
            yield judge.outcome()


def _both_failed(old: Run, new: Run, outcomes: Iterable[Outcome]) -> str | None:
    """How both runs ended, where neither completed and nothing is known to differ in that."""
    said = any(each.file in (STATUS, ERROR) and each.verdict == DIFFERS for each in outcomes)
    if said or COMPLETED in (old.status, new.status):
        return None
    return f"{new.error.type}: {new.error.message}" if new.error else new.status


def _never_hashed(old: Outputs | None, new: Outputs | None, rules: Volatile) -> Iterator[LeftOut]:
    """Outputs that the record does not hold."""
    recorded = [each for each in (old, new) if each is not None]
    if len(recorded) < 2:
        yield LeftOut(ALL_FILES, NOT_RECORDED)
    for only in dict.fromkeys(each.only for each in recorded if each.only is not None):
        yield LeftOut(ALL_FILES, f"outputs=[{','.join(only)}]")
    for name in dict.fromkeys(name for each in recorded for name in each.left_out):
        yield LeftOut(name, rules.file(name) or HYDRAS_LOG)


def _hydras(files: Files) -> set[str]:
    """The files in which Hydra wrote its own config of the job: all of a folder ``.hydra``."""
    folders = {
        posixpath.dirname(name)
        for name in files
        if posixpath.basename(name) == "hydra.yaml"
        and posixpath.join(posixpath.dirname(name), "overrides.yaml") in files
    }
    return {
        name
        for name in files
        if (folder := posixpath.dirname(name)) in folders
        and (folder or name in ("hydra.yaml", "overrides.yaml", "config.yaml"))
    }
