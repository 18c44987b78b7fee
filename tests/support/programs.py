"""The programs that tests start, and which of them a machine may lack.

Tests see these alone, on a PATH of their own: a test of what is done without a scheduler
must not find this machine's. ``programs.py`` (the ``make environments`` of a machine)
installs what is missing, where it may, and says what is left out where it may not.
"""

from __future__ import annotations

import ast
import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

MAY_LACK = {
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "gpg": "gnupg",
    "gpgconf": "gnupg",
    "zsh": "zsh",
    "fish": "fish",
    "dot": "graphviz",
    "openssl": "openssl",
    "git-lfs": "git-lfs",
}
"""Program -> its Debian package. A test that starts one is marked ``needs``."""
EVERYWHERE = (
    "git git-receive-pack git-upload-pack git-upload-archive sh bash env mount umount unshare "
    "nsenter setpriv grep sed gawk mawk awk perl tar xargs find which hostname ldconfig ldd gcc "
    "ld uname nproc su ps "
    # GNU coreutils
    "basename cat chmod chown cp cut date dd df dirname du echo expr false head id install ln "
    "ls md5sum mkdir mkfifo mktemp mv nice nohup od printf pwd readlink realpath rm rmdir seq "
    "sha256sum sleep sort stat stdbuf tail tee test timeout touch tr true truncate uniq wc "
    "whoami "
)
"""What git, shells and servers start, and what any Linux has."""
_PREFIX = "flexlock-programs-"


def use_own_path() -> None:
    """Let this process and those that it starts find these programs alone."""
    path = os.environ.get("PATH", os.defpath)
    if Path(path).name.startswith(_PREFIX):
        return  # a worker of the process that made it
    folder = tempfile.mkdtemp(prefix=_PREFIX)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in (*EVERYWHERE.split(), *MAY_LACK):
        if found := shutil.which(name, path=f"{path}{os.pathsep}/usr/sbin{os.pathsep}/sbin"):
            os.symlink(os.path.abspath(found), os.path.join(folder, name))
    os.environ["PATH"] = folder


def missing() -> list[str]:
    """Those of the programs which this machine lacks."""
    return [name for name in MAY_LACK if shutil.which(name) is None]


def tests_that_need(names: list[str]) -> Iterator[str]:
    """The tests that are marked as needing one of these programs; of some only a part."""
    for path in sorted(Path(__file__).parents[1].rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if set(names) & set(_needed(node)):
                yield node.name if isinstance(node, ast.FunctionDef) else f"parts of {path.stem}"


def _needed(statement: ast.stmt) -> Iterator[str]:
    """The words of each ``needs(...)`` in a statement of a module."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "needs":
                yield from (str(ast.literal_eval(word)) for word in node.args)


def install(packages: list[str]) -> None:
    """Install Debian packages, where this user may without being asked for a password."""
    apt = shutil.which("apt-get")
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if apt is None or (sudo and shutil.which("sudo") is None):
        return
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update", "-qq"], ["install", "-qq", "--no-install-recommends", *packages]):
        yes = ["-y"] if words[0] == "install" else []
        done = subprocess.run([*sudo, apt, *words, *yes], env=env, capture_output=True, check=False)
        if done.returncode:
            return


def main() -> None:
    """Install what is missing, or say in a line what is left out without it."""
    names = missing()
    if not names:
        return
    install(sorted({MAY_LACK[name] for name in names}))
    if names := missing():
        packages = " ".join(sorted({MAY_LACK[name] for name in names}))
        left_out = ", ".join(tests_that_need(names))
        print(f"without {', '.join(names)} (packages {packages}), left out are: {left_out}")


if __name__ == "__main__":
    main()
