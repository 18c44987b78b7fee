"""What of a run's outputs is no part of its result: times, host names, logs.

A list of patterns, in the order in which they are tried:

- ``*.log``: files, by path or by the end of it that starts after a slash; ``*`` stands for
  slashes too.
- ``metrics.json:train_time``: a key inside of files, by its dotted path or its last name;
  ``result`` in place of the file is what the task returned.
- ``!*.log``: an earlier pattern, one of the defaults say, does not count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase, translate
from typing import Any

from flexlock_hydra.errors import FlexlockError

_Fits = Callable[[str], Any]

RESULT = "result"
"""Stands in a pattern for what the task returned."""

HYDRAS_OWN = ".hydra/**"
"""The folder in which Hydra writes its own config of the job."""

FILES = (
    HYDRAS_OWN, "*.log", "*.log.[0-9]*", "nohup.out", "slurm-*.out", "wandb/**", "mlruns/**",
    "mlflow.db", ".aim/**", ".ipynb_checkpoints/**", "__pycache__/**",
)
KEYS = tuple("""
    time *_time *_times *time_s *time_[mun]s *time_sec* time_elapsed time_total* time_this_*
    time_since_* time_per_* wall_clock* walltime *_walltime runtime *_runtime
    duration *_duration duration_s duration_[mun]s duration_sec* elapsed elapsed_* *_elapsed
    seconds *_seconds *_secs *_per_sec *_per_second samples_sec it_s fps *_fps
    latency *_latency latency_[mun]s throughput *_throughput
    timestamp *_timestamp date datetime *_datetime
    created created_at started_at finished_at ended_at updated_at saved_at
    host hostname *_hostname node_ip pid ppid process_id worker_pid run_id
""".split())
"""Last names of keys, in lower case with ``_`` between words."""

DEFAULTS = (*FILES, *(f"*:{key}" for key in KEYS))


@dataclass(frozen=True)
class Volatile:
    """The patterns that count: the defaults with a run's own list taken in.

    Raises:
        FlexlockError: a pattern is none.
    """

    own: tuple[str, ...] = ()
    patterns: tuple[str, ...] = field(init=False)
    _files: dict[str, str | None] = field(default_factory=dict, repr=False, compare=False)
    _keys: dict[str, tuple[tuple[str, _Fits], ...]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "patterns", tuple(_taken_in(self.own)))

    def file(self, path: str) -> str | None:
        """The pattern by which an output file as a whole is left out."""
        if path not in self._files:
            self._files[path] = next(
                (each for each in self.patterns if ":" not in each and fits(path, each)), None
            )
        return self._files[path]

    def key(self, path: str, key: str) -> str | None:
        """The pattern by which a key inside of a file, or of the result, is left out.

        Args:
            path: the file's, or ``result``.
            key: its dotted path; ``[]`` after it stands for any item of a list.
        """
        names = _names_of_key(key)
        return next((each for each, is_it in self._of(path) if any(map(is_it, names))), None)

    def _of(self, path: str) -> tuple[tuple[str, _Fits], ...]:
        """The patterns for keys of one file."""
        if path not in self._keys:
            split = [(each, *each.partition(":")[::2]) for each in self.patterns if ":" in each]
            self._keys[path] = tuple(
                (each, re.compile(translate(key)).match)
                for each, file, key in split
                if fits(path, file)
            )
        return self._keys[path]


def check_patterns(patterns: Iterable[str]) -> None:
    """Refuse what is no pattern, and what takes back a pattern that there is not.

    Raises:
        FlexlockError: one is.
    """
    known = list(DEFAULTS)
    for each in patterns:
        if each.startswith("!") and each[1:] not in known:
            raise FlexlockError(
                f"volatile takes back {each[1:]!r}, which is neither a default nor named before"
            )
        if not each.strip("!") or each.startswith(":") or each.endswith(":"):
            raise FlexlockError(f"volatile has {each!r}, not FILE, FILE:KEY, result:KEY or !...")
        known.append(each)


def fits(path: str, pattern: str) -> bool:
    """Whether a pattern matches a path, or the end of it that starts after a slash."""
    parts = path.split("/")
    return any(fnmatchcase("/".join(parts[i:]), pattern) for i in range(len(parts)))


def _taken_in(own: Iterable[str]) -> Iterator[str]:
    patterns = dict.fromkeys(DEFAULTS)
    for each in own:
        if each.startswith("!"):
            patterns.pop(each[1:], None)
        else:
            patterns[each] = None
    yield from patterns


def _names_of_key(key: str) -> set[str]:
    """What a pattern may call a key: its path or its last name, in words too."""
    whole = key.replace("[]", "")
    last = whole.rpartition(".")[2]
    return {whole, last, *map(_words, (whole, last))}


def _words(key: str) -> str:
    """``trainTime``, ``train-time``, ``train/time`` as ``train_time``."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key)
    return re.sub(r"[^\w.]+", "_", apart).strip("_").lower()
