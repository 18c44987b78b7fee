"""Run git, the same way whatever the caller's environment holds."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path

from flexlock_hydra.errors import GitError, GitSlowError

log = logging.getLogger(__name__)

MINIMUM_VERSION = (2, 30)

# What a user's or a system's configuration must not change: output that is parsed,
# programs that a command would start, files beside the ones that were asked for.
_CONFIG = (
    *(f"core.hooksPath={os.devnull}", "core.fsmonitor=false", "core.safecrlf=false"),
    *("core.quotePath=false", "core.splitIndex=false", "i18n.commitEncoding=UTF-8"),
    *("i18n.logOutputEncoding=UTF-8", "status.relativePaths=false", "advice.detachedHead=false"),
    *("submodule.recurse=false", "tag.gpgSign=false", "gc.auto=0", "maintenance.auto=false"),
    # Without git LFS, or what it keeps elsewhere, its files are checked out as they are in git.
    *("filter.lfs.required=false", "lfs.skipdownloaderrors=true"),
)
_CONFIG_ARGS = [word for setting in _CONFIG for word in ("-c", setting)]

# GIT_DIR, GIT_INDEX_FILE and the like are set inside hooks and would point git
# elsewhere; these few choose transport and trust, and are the user's to set.
_KEPT = frozenset(
    "GIT_SSH GIT_SSH_COMMAND GIT_ASKPASS GIT_SSL_NO_VERIFY GIT_SSL_CAINFO GIT_EXEC_PATH "
    "GIT_PROXY_COMMAND GIT_ALLOW_PROTOCOL GIT_CONFIG_GLOBAL GIT_CONFIG_SYSTEM "
    "GIT_CONFIG_NOSYSTEM".split()
)


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for git: no inherited repository, no prompt, no translation."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name in _KEPT
    }
    fixed = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    return kept | fixed | dict(extra or {})


@dataclass(frozen=True)
class Started:
    """A git command that runs beside its caller until it is finished."""

    cwd: Path
    args: tuple[str, ...]
    process: subprocess.Popen[bytes]

    @property
    def _command(self) -> str:
        """The command's name, which settings may stand before."""
        return next(
            word for word, before in zip(self.args, ("", *self.args)) if "-c" not in (word, before)
        )

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *error: object) -> None:
        """End it, should it still run."""
        self.process.kill()
        # Not read to their ends: a program that git started may still hold them.
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        self.process.wait()

    def finish(
        self, stdin: bytes | None = None, patience: float | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Wait for its end, whatever its exit code.

        Raises:
            GitSlowError: it took longer than ``patience``, seconds, and was ended.
        """
        try:
            out, err = self.process.communicate(stdin, patience)
        except subprocess.TimeoutExpired as error:
            text = f"git {self._command} in {self.cwd} took longer than {patience:.0f} s"
            raise GitSlowError(text) from error
        finally:
            if self.process.poll() is None:  # the wait was interrupted
                self.process.kill()
                self.process.wait()
        return subprocess.CompletedProcess(self.args, self.process.returncode, out, err)

    def output(
        self,
        stdin: bytes | None = None,
        fine: Container[int] = (0,),
        patience: float | None = None,
    ) -> bytes:
        """Wait for its end; its standard output.

        Raises:
            GitSlowError: it took longer than ``patience``, seconds.
            GitError: git ended with an exit code that is not ``fine``; the message is
                git's own.
        """
        done = self.finish(stdin, patience)
        if done.returncode not in fine:
            said = done.stderr.decode("utf-8", "replace").strip()
            again = " ".join(shlex.quote(redact_url(arg)) for arg in self.args)
            raise GitError(
                f"git {self._command} in {self.cwd}: "
                f"{redact_url(said or f'exit code {done.returncode}')}",
                hint=f"What git says is above; the same by hand: git -C {self.cwd} {again}",
            )
        return done.stdout


def git(
    cwd: Path,
    *args: str,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    fine: Container[int] = (0,),
) -> bytes:
    """Run ``git ARGS`` in ``cwd`` and return its standard output.

    Raises:
        GitError: git is not installed, or ended with an exit code that is not ``fine``;
            the message is git's own.
    """
    return start_git(cwd, *args, env=env, reads=stdin is not None).output(stdin, fine)


def run_git(
    cwd: Path, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run ``git ARGS`` in ``cwd`` whatever its exit code; GitError when there is no git."""
    return start_git(cwd, *args, env=env, reads=stdin is not None).finish(stdin)


def start_git(
    cwd: Path, *args: str, env: Mapping[str, str] | None = None, reads: bool = False
) -> Started:
    """Start ``git ARGS`` in ``cwd``; ``reads``: standard input is given at the end.

    Raises:
        GitError: git is not installed, or there is no such folder.
    """
    log.debug("git -C %s %s", cwd, " ".join(args))
    variables = clean_environment(env)
    try:
        process = subprocess.Popen(
            ["git", *_CONFIG_ARGS, *args],
            executable=_place_of_git(variables.get("PATH")),
            cwd=cwd,
            env=variables,
            stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except FileNotFoundError as error:
        if not Path(cwd).is_dir():
            raise GitError(f"no folder {cwd}") from error
        raise GitError(
            "git is not installed, or not on PATH",
            hint=f"Install git {_dotted(MINIMUM_VERSION)} or newer: https://git-scm.com",
        ) from error
    except OSError as error:
        raise GitError(f"git cannot be started in {cwd}: {error.strerror}") from error
    return Started(cwd, args, process)


def _place_of_git(path: str | None) -> str | None:
    """Where git is, by the variable PATH; None where its search is to be left to the system.

    Python looks through PATH under ``catch_warnings``. After that, each warning that it shows
    once is shown once more, in the middle of a user's sweep.
    """
    found = shutil.which("git", path=path)
    return found if found is not None and os.path.isabs(found) else None


def require_version() -> None:
    """Refuse a git older than what push and pull need.

    Raises:
        GitError: no git, or older than :data:`MINIMUM_VERSION`.
    """
    version = git(Path.cwd(), "version").decode().split()[2]
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < MINIMUM_VERSION:
        raise GitError(
            f"git {version} is older than needed ({_dotted(MINIMUM_VERSION)})",
            hint="Install a newer git: https://git-scm.com",
        )


def redact_url(url: str) -> str:
    """A URL without credentials: no user name either in http, where it may be a token."""

    def user_only(match: re.Match[str]) -> str:
        scheme, user = match[1], match[2].partition(":")[0]
        return f"{scheme}://" if scheme.startswith("http") else f"{scheme}://{user}@"

    return re.sub(r"\b([\w.+-]+)://([^/@\s]*(?:@[^/@\s]*)*)@", user_only, url)


def git_text(output: bytes) -> str:
    """One line of git's output; names that are not UTF-8 survive as surrogates."""
    return os.fsdecode(output).rstrip("\r\n")


def git_records(output: bytes) -> list[str]:
    """The records that git ends with a zero byte, names as in :func:`git_text`."""
    return os.fsdecode(output).split("\0")[:-1]


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
