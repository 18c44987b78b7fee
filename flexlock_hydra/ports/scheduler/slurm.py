"""Ask Slurm whether a job still runs, wherever; silent where there is no Slurm."""

from __future__ import annotations

import re
import shutil
import subprocess

_TIMEOUT = 5  # Seconds for each question: a controller that is down must not hold up a reader

# States of a job that has not ended: it runs, or will again.
_LIVE = frozenset(
    "PENDING CONFIGURING RUNNING COMPLETING SUSPENDED STOPPED RESIZING SIGNALING STAGE_OUT "
    "REQUEUED REQUEUE_HOLD REQUEUE_FED SPECIAL_EXIT".split()
)


class Slurm:
    """Slurm, by its command line."""

    def is_queued(self, job_id: str) -> bool | None:
        """Whether a job is in the queue; None where Slurm is not at hand or does not say.

        squeue knows jobs that wait, run, or ended minutes ago; sacct those of long ago.
        """
        # What a lock says is anybody's: nothing but an id becomes a word of a command.
        if not re.fullmatch(r"\d+(_\d+)?", job_id):
            return None
        queue = _ask("squeue", "-h", "-j", job_id, "-o", "%T")
        if queue is None:
            return None
        if queue.returncode == 0:
            return _is_live(queue.stdout)
        accounts = _ask("sacct", "-n", "-X", "-j", job_id, "-o", "State%30")
        if accounts is not None and accounts.returncode == 0 and accounts.stdout.strip():
            return _is_live(accounts.stdout)
        # A controller that is down also ends with an error: that alone says nothing of the job.
        return False if "Invalid job id" in queue.stderr else None


def _is_live(states: str) -> bool:
    """Whether any line has a state that is no end; sacct writes ``CANCELLED by 1000``."""
    return any(line.split()[0].rstrip("+") in _LIVE for line in states.splitlines() if line.strip())


def _ask(*words: str) -> subprocess.CompletedProcess[str] | None:
    """An answer of a Slurm command; None where it is not installed or does not come."""
    place = shutil.which(words[0])
    if place is None:
        return None
    try:
        # By its place: to look for it, Python would reset which warnings a job was shown already.
        return subprocess.run(
            words,
            executable=place,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
