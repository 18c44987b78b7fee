"""Every file, ref and tag name, once."""

from __future__ import annotations

import os
import re
from datetime import datetime, timezone

LOCK = "run.lock"
SWEEP_LOCK = "sweep.lock"
MANIFEST = "manifest.json"
RUNS = "runs"
"""Where a data remote keeps what it knows of tags."""
PUSHED = "pushed.json"
DELETING = f"{RUNS}/deleting"
"""Below it, who deletes objects from a data remote now."""

SHADOW_REFS = "refs/flexlock/shadow"
TAG_PREFIX = "flexlock"

ARCHIVE_DIR = ".flexlock"
METAFILES = f"{ARCHIVE_DIR}/data"
FSROOT = f"{ARCHIVE_DIR}/fsroot"
REPOS = f"{ARCHIVE_DIR}/repos"
OTHER_VERSIONS = f"{ARCHIVE_DIR}/runs"
KEPT = f"{ARCHIVE_DIR}/kept"
"""In an output directory, what the job changed of its inputs as it was before."""

RERUN_VARIABLE = "FLEXLOCK_RERUN"
"""Names the file that tells a job which run it repeats."""
LAUNCH_AGAIN = "flexlock_hydra.hooks.zen_launch"
"""The module that runs a script which calls hydra-zen's launch itself."""
MAIN_AGAIN = "flexlock_hydra.hooks.main_again"
"""The module that runs a script which starts several Hydra apps."""
VERDICTS = "refs/flexlock/verdicts"
"""Notes on tags: what came of it when they were reproduced."""

NOT_PUSHED = "not pushed: "
"""How the warning begins that a run could not push itself."""

RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
_RUN_LOCK, _SWEEP_LOCK = (
    re.compile(rf"{kind}\.({RUN_ID.pattern}\.)?lock") for kind in ("run", "sweep")
)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_TAG = re.compile(rf"{TAG_PREFIX}/([^/]+)/({RUN_ID.pattern})")


def superseded_lock(run_id: str) -> str:
    """The name of a lock that a later run in the same folder moved aside."""
    return f"run.{run_id}.lock"


def is_lock(name: str) -> bool:
    """Whether a file name is that of a lock, current or superseded."""
    return _RUN_LOCK.fullmatch(name) is not None


def superseded_sweep_lock(sweep_id: str) -> str:
    """The name of a sweep's lock that a later sweep in the same folder moved aside."""
    return f"sweep.{sweep_id}.lock"


def is_sweep_lock(name: str) -> bool:
    """Whether a file name is that of a sweep's lock, current or superseded."""
    return _SWEEP_LOCK.fullmatch(name) is not None


def is_own_file(name: str) -> bool:
    """Whether a file of an output directory is a lock, or one being written."""
    return (
        is_lock(name) or is_sweep_lock(name) or name.startswith((f".{LOCK}.", f".{SWEEP_LOCK}."))
    )


def is_url(path: str) -> bool:
    """Whether a text is a URL; the one letter of a Windows drive is no scheme."""
    return _URL.match(path) is not None


def shadow_ref(commit: str) -> str:
    """The ref that keeps a snapshot commit alive."""
    return f"{SHADOW_REFS}/{commit}"


def tag_name(job: str, run_id: str) -> str:
    """The tag of a run: ``flexlock/<job name>/<run id>``, safe as a git ref."""
    slug = re.sub(r"[^\w.-]+|\.\.+", "-", job, flags=re.ASCII).strip("-.") or "job"
    # A ref is a file, whose name has a limit; git takes none that ends like its own lock files.
    slug = slug[:100].rstrip("-.")
    while slug.endswith(".lock"):
        slug = slug.removesuffix(".lock").rstrip("-.") or "job"
    return f"{TAG_PREFIX}/{slug}/{run_id}"


def parse_tag(text: str) -> tuple[str, str] | None:
    """``(job, run id)`` of a tag name, with or without ``refs/tags/``; else None."""
    match = _TAG.fullmatch(text.removeprefix("refs/tags/"))
    return (match[1], match[2]) if match else None


def manifest_path(tag: str) -> str:
    """Where a tag's manifest lies under a data remote's URL."""
    return f"{RUNS}/{tag}/{MANIFEST}"


def pushed_path(tag: str) -> str:
    """Where a data remote says who pushed a tag, and when."""
    return f"{RUNS}/{tag}/{PUSHED}"


def pushing_path(tag: str, token: str) -> str:
    """Where a data remote says that a push of a tag is going on."""
    return f"{RUNS}/{tag}/pushing-{token}.json"


def is_pushing(path: str) -> bool:
    """Whether a file of a data remote says that a push is going on."""
    return path.rpartition("/")[2].startswith("pushing-")


def fsroot_path(absolute: str) -> str:
    """Where data from outside the repository comes back, under the project's root."""
    drive = re.match(r"([A-Za-z]):[\\/]", absolute)
    rest = absolute[3:].replace("\\", "/") if drive else absolute.lstrip("/")
    return "/".join(part for part in (FSROOT, drive[1] if drive else "", rest) if part)


def other_version_path(run_id: str, path: str) -> str:
    """Where a predecessor's data comes back when its own path holds something else."""
    return f"{OTHER_VERSIONS}/{run_id}/{path}"


def kept_path(run_id: str, recorded: str) -> str:
    """Where an output directory holds the bytes of an input that the job changed."""
    return f"{KEPT}/{run_id}/{fsroot_path(recorded) if is_absolute(recorded) else recorded}"


def is_absolute(recorded: str) -> bool:
    """Whether a recorded path leads out of the project, on whatever system it was recorded."""
    return recorded.startswith("/") or re.match(r"[A-Za-z]:[\\/]", recorded) is not None


def utc_now() -> datetime:
    """Now, with the zone."""
    return datetime.now(timezone.utc)


def new_run_id() -> str:
    """``<UTC second>-<8 random hex digits>``: sorts by time."""
    return f"{utc_now():%Y%m%dT%H%M%SZ}-{os.urandom(4).hex()}"
