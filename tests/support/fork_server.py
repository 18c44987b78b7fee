"""The process that tests/support/forks.py forks commands from; a program of its own.

``fork_server.py KIND FD``: for each message at the socket FD a child is forked, which comes
with three file descriptors (where it is told the child's id and exit code, standard output,
standard error) and a file that says the words, folder and environment. It ends with the socket.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.machinery
import json
import os
import pkgutil
import runpy
import selectors
import socket
import subprocess
import sys
import tempfile
import time
import types
from typing import Any

_SCOUT = """
import atexit, json, sys
import hydra
@atexit.register
def tell():
    print(json.dumps(list(sys.modules)))
@hydra.main(version_base=None)
def main(cfg):
    pass
main()
"""


def load_app() -> None:
    """Import what a recorded job imports, and parse what every job does."""
    for name in imports_of_job():
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    from hydra import compose, initialize

    with initialize(version_base=None):
        compose(overrides=["hydra/callbacks=flexlock"], return_hydra_config=True)


def look_for_plugins_again() -> None:
    """Let Hydra forget that it has looked for plugins."""
    from hydra.core.plugins import Plugins
    from hydra.core.singleton import Singleton

    Singleton._instances.pop(Plugins)


def imports_of_job() -> list[str]:
    """What a recorded job imports, asked of one."""
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "HOME": folder}
        subprocess.run(["git", "init", "-q"], cwd=folder, env=env, check=True)
        path = os.path.join(folder, "app.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(_SCOUT)
        words = [sys.executable, path, "hydra/callbacks=flexlock"]
        said = subprocess.run(words, cwd=folder, env=env, capture_output=True, check=True).stdout
    names: list[str] = json.loads(said.splitlines()[-1])
    return names


def load_command() -> None:
    """Import every command."""
    import flexlock_hydra.cli

    for each in pkgutil.walk_packages(flexlock_hydra.cli.__path__, "flexlock_hydra.cli."):
        importlib.import_module(each.name)


def serve(door: socket.socket) -> dict[str, Any] | None:
    """Fork for each call: what the child is to do, None when there are no more calls."""
    living: dict[int, tuple[int, socket.socket]] = {}
    selector = selectors.DefaultSelector()
    selector.register(door, selectors.EVENT_READ)
    is_open = True
    while is_open or living:
        for key, _ in selector.select():
            if key.fileobj is door:
                text, fds, _, _ = socket.recv_fds(door, 64, 4)
                if not text:
                    is_open = False
                    selector.unregister(door)
                    continue
                pid = os.fork()
                if pid == 0:
                    selector.close()
                    door.close()
                    for watch, other in living.items():
                        os.close(watch)
                        other[1].close()
                    return take_over(fds)
                told = socket.socket(fileno=fds[0])
                for number in fds[1:]:
                    os.close(number)
                watch = os.pidfd_open(pid)
                living[watch] = (pid, told)
                selector.register(watch, selectors.EVENT_READ)
            else:
                watch = key.fd
                pid, told = living.pop(watch)
                selector.unregister(watch)
                os.close(watch)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with contextlib.suppress(OSError):  # nobody waits any more
                    told.send(str(code).encode())
                told.close()
    return None


def take_over(fds: list[int]) -> dict[str, Any]:
    """Become the process that was asked for."""
    told, out, err, text = fds
    with open(text, "rb") as file:
        file.seek(0)
        call: dict[str, Any] = json.loads(file.read().decode())
    if call["new_session"]:
        os.setsid()
    with socket.socket(fileno=told) as end:
        end.send(str(os.getpid()).encode())
    for number, standard in ((out, 1), (err, 2)):
        os.dup2(number, standard)
        os.close(number)
    os.environ.clear()
    os.environ.update(call["env"])
    time.tzset()
    os.chdir(call["cwd"])
    importlib.invalidate_caches()
    return call


def main() -> dict[str, Any] | None:
    """Load, serve."""
    sys.path.pop(0)
    {"app": load_app, "command": load_command}[sys.argv[1]]()
    door = socket.socket(fileno=int(sys.argv[2]))
    gc.collect()
    gc.freeze()
    return serve(door)


def run_script(words: list[str]) -> None:
    """As ``python WORDS``."""
    path = os.path.abspath(words[0])
    sys.argv[:] = words
    sys.path.insert(0, os.path.dirname(os.path.realpath(path)))
    if os.path.isdir(os.path.join(sys.path[0], "hydra_plugins")):
        look_for_plugins_again()
    module = types.ModuleType("__main__")
    loader = importlib.machinery.SourceFileLoader("__main__", path)
    vars(module).update(__file__=path, __loader__=loader, __cached__=None)
    sys.modules["__main__"] = module
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec")
    exec(code, vars(module))


def run_module(words: list[str]) -> None:
    """As ``python -m WORDS``."""
    sys.argv[:] = ["-m", *words[1:]]
    sys.path.insert(0, os.getcwd())
    sys.modules["__main__"] = types.ModuleType("__main__")
    runpy._run_module_as_main(words[0])  # type: ignore[attr-defined]


if __name__ == "__main__":
    if given := main():
        own = given["words"]
        sys.orig_argv[:] = own
        run_module(own[2:]) if own[1] == "-m" else run_script(own[1:])
