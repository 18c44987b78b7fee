"""Run git, the same way whatever the caller's environment holds."""

from __future__ import annotations

import logging
import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from flexlock_hydra.errors import GitError

log = logging.getLogger(__name__)

MINIMUM_VERSION = (2, 30)

# What a user's or a system's configuration must not change: output that is parsed,
# programs that a command would start, files beside the ones that were asked for.
_CONFIG = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.safecrlf": "false",
    "core.quotePath": "false",
    "core.splitIndex": "false",
    "i18n.commitEncoding": "UTF-8",
    "i18n.logOutputEncoding": "UTF-8",
    "status.relativePaths": "false",
    "advice.detachedHead": "false",
    "submodule.recurse": "false",
    "tag.gpgSign": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
}
_CONFIG_ARGS = [word for key, value in _CONFIG.items() for word in ("-c", f"{key}={value}")]

# GIT_DIR, GIT_INDEX_FILE and the like are set inside hooks and would point git
# elsewhere; these few choose transport and trust, and are the user's to set.
_KEPT = {
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_ASKPASS",
    "GIT_SSL_NO_VERIFY",
    "GIT_SSL_CAINFO",
    "GIT_EXEC_PATH",
    "GIT_PROXY_COMMAND",
    "GIT_ALLOW_PROTOCOL",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
}


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for git: no inherited repository, no prompt, no translation."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name in _KEPT
    }
    fixed = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    return kept | fixed | dict(extra or {})


def git(
    cwd: Path,
    *args: str,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
) -> bytes:
    """Run ``git ARGS`` in ``cwd`` and return its standard output.

    Raises:
        GitError: git is not installed, or ended with anything but 0; the message
            is git's own.
    """
    done = run(cwd, *args, stdin=stdin, env=env)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip() or f"exit code {done.returncode}"
        again = " ".join(shlex.quote(redact_url(arg)) for arg in args)
        raise GitError(
            f"git {args[0]} in {cwd}: {redact_url(said)}",
            hint=f"What git says is above; the same by hand: git -C {cwd} {again}",
        )
    return done.stdout


def run(
    cwd: Path,
    *args: str,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run ``git ARGS`` in ``cwd`` whatever its exit code; GitError when there is no git."""
    log.debug("git -C %s %s", cwd, " ".join(args))
    try:
        return subprocess.run(
            ["git", *_CONFIG_ARGS, *args],
            cwd=cwd,
            env=clean_environment(env),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            check=False,
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


def require_version() -> None:
    """Refuse a git older than what push and pull need.

    Raises:
        GitError: no git, or older than :data:`MINIMUM_VERSION`.
    """
    said = git(Path.cwd(), "version").decode().split()
    version = tuple(int(part) for part in said[2].split(".")[:2] if part.isdigit())
    if version < MINIMUM_VERSION:
        raise GitError(
            f"git {said[2]} is older than needed ({_dotted(MINIMUM_VERSION)})",
            hint="Install a newer git: https://git-scm.com",
        )


def redact_url(url: str) -> str:
    """A URL without credentials: no user name either in http, where it may be a token."""

    def user_only(match: re.Match[str]) -> str:
        scheme, user = match[1], match[2].partition(":")[0]
        return f"{scheme}://" if scheme.startswith("http") else f"{scheme}://{user}@"

    return re.sub(r"\b([\w.+-]+)://([^/@\s]*(?:@[^/@\s]*)*)@", user_only, url)


def text(output: bytes) -> str:
    """One line of git's output; names that are not UTF-8 survive as surrogates."""
    return os.fsdecode(output).rstrip("\r\n")


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
