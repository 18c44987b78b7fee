"""However a job ends, its lock says how, on every supported version of Hydra."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Project, read_lock, read_plain

pytestmark = pytest.mark.hydra

APP = '''
import os
import resource
import signal
import sys
import time

import hydra
from hydra.core.hydra_config import HydraConfig


class Odd(Exception):
    def __str__(self):
        raise ZeroDivisionError


def limit(kind, value):
    resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))


def kill(number):
    os.kill(os.getpid(), number)
    time.sleep(60)


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    folder = HydraConfig.get().runtime.output_dir
{body}


if __name__ == "__main__":
{start}
'''


def write_app(project: Project, body: str, start: str = "main()") -> None:
    """The app with a body for its task, and a way to start it."""
    source = APP.format(body=_indented(body), start=_indented(start))
    project.write("app.py", source)


def _indented(code: str) -> str:
    return "\n".join(f"    {line}" for line in code.splitlines())


def shown(project: Project, run: str = "@latest") -> Any:
    """The run that ``show --json`` tells of."""
    return project.flexlock("show", run, "--json").json["run"]


CATCHES = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); "
ENDS: dict[str, tuple[str, int, str, tuple[str, str] | None]] = {
    "return": ("return {'n': 1}", 0, "completed", None),
    "none": ("pass", 0, "completed", None),
    "exception as a value": ("return ValueError('bad lr')", 0, "completed", None),
    "exception": ("raise ValueError('bad lr')", 1, "failed", ("ValueError", "bad lr")),
    "exception without text": (
        "raise Odd()", 1, "failed", ("Odd", "<Odd: ZeroDivisionError while it was shown>")
    ),
    "exit": ("sys.exit()", 0, "completed", None),
    "exit 0": ("raise SystemExit(0)", 0, "completed", None),
    "exit 3": ("sys.exit(3)", 3, "failed", ("SystemExit", "3")),
    "exit with words": ("sys.exit('no disk')", 1, "failed", ("SystemExit", "no disk")),
    "Ctrl-C": ("kill(signal.SIGINT)", -2, "interrupted", None),
    "SIGTERM": ("kill(signal.SIGTERM)", -15, "interrupted", None),
    "SIGTERM, handled": (CATCHES + "kill(signal.SIGTERM)", 7, "failed", ("SystemExit", "7")),
    "SIGHUP": ("kill(signal.SIGHUP)", -1, "interrupted", None),
    "SIGKILL": ("kill(signal.SIGKILL)", -9, "interrupted", None),
    "os._exit": ("os._exit(4)", 4, "interrupted", None),
    "out of memory at once": (
        "limit(resource.RLIMIT_AS, 2 << 30); bytearray(8 << 30)", 1, "failed", ("MemoryError", "")
    ),
    "out of memory bit by bit": (
        "limit(resource.RLIMIT_AS, 1 << 30)\nkept = []\nwhile True: kept.append(bytes(1 << 20))",
        1, "failed", ("MemoryError", ""),
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_end(project: Project, end: str) -> None:
    """The exit code is the app's own; show tells the end, and all but a kill is in the lock."""
    body, code, status, error = ENDS[end]
    write_app(project, body)
    done = project.app(check=False)
    run = shown(project)
    assert (done.code, run["status"]) == (code, status), done.err
    found = run.get("error")
    assert (found and (found["type"], found["message"])) == error
    written = project.lock()
    assert written["data"]["table"]["size"] == 8
    assert ("ended" in written["run"]) == (end not in ("SIGKILL", "os._exit"))
    assert ("outputs" in written) == (status != "interrupted")
    assert list(project.newest().parent.glob(".run.lock.*")) == []


def test_a_caught_interrupt_ends_the_run(project: Project) -> None:
    """An app that catches Ctrl-C and starts another job leaves two ended runs, not a mixture."""
    write_app(
        project,
        "if cfg.lr == 1: kill(signal.SIGINT)",
        "from pathlib import Path\n"
        "sys.argv[1:] = ['lr=1', 'hydra.run.dir=outputs/a']\n"
        "try:\n    main()\nexcept KeyboardInterrupt:\n"
        "    Path('between').write_text(Path('outputs/a/run.lock').read_text())\n"
        "    from flexlock_hydra.hooks.config import tracking\n"
        "    assert tracking.current() is None\n"
        "sys.argv[1:] = ['lr=2', 'hydra.run.dir=outputs/b']\nmain()",
    )
    project.app()
    assert read_lock(project.path("between"))["run"]["status"] == "interrupted"
    first, second = (read_lock(project.path(f"outputs/{x}/run.lock")) for x in "ab")
    assert (first["run"]["status"], second["run"]["status"]) == ("interrupted", "completed")
    assert list(first["data"]) == list(second["data"]) == ["table"]


def test_hydra_gets_its_own_back(project: Project) -> None:
    """After the job no handler and no class of ours is left in the process."""
    write_app(
        project,
        "assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL",
        "main()\nprint(type(HydraConfig.instance()) is HydraConfig, "
        "*{int(signal.getsignal(n)) for n in (signal.SIGTERM, signal.SIGHUP)})",
    )
    assert project.app().out.split() == ["True", str(int(signal.SIG_DFL))]


def test_a_handler_that_the_task_sets_stays(project: Project) -> None:
    """A handler that the app sets during the job is not taken away at its end."""
    write_app(
        project,
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "main()\nprint(signal.getsignal(signal.SIGTERM) is signal.SIG_IGN)",
    )
    assert project.app().out.split() == ["True"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_sweep_cut_off_in_the_middle(project: Project, number: signal.Signals) -> None:
    """The job before is completed, the one in progress interrupted, and none after it."""
    write_app(project, f"if cfg.lr == 2: kill({int(number)})")
    done = project.app("-m", "lr=1,2,3,4", "hydra.sweep.dir=multirun/s", check=False)
    assert done.code == -number
    assert [path.parent.name for path in project.locks()] == ["0", "1"]
    statuses = [shown(project, f"multirun/s/{n}")["status"] for n in (0, 1)]
    assert statuses == ["completed", "interrupted"]


# A disk that is full, a folder that cannot be written

FULL = "limit(resource.RLIMIT_FSIZE, 1000)"


def test_data_that_a_killed_job_named_late_is_there(project: Project) -> None:
    """What a task is told of by the resolver alone is in the lock before the task goes on."""
    project.write("data/late.csv", "1")
    write_app(
        project,
        "from omegaconf import OmegaConf\n"
        "OmegaConf.create({'x': '${snapshot:data/late.csv,late}'}).x\nos._exit(4)",
    )
    project.app(check=False)
    assert project.lock()["data"]["late"]["size"] == 1


def test_an_interrupted_job_looks_for_no_changes(project: Project) -> None:
    """SIGTERM gives little time: the data is not looked at once more."""
    write_app(project, "open(cfg.table, 'a').write('x')\nkill(signal.SIGTERM)")
    project.app(check=False)
    assert project.lock()["run"]["status"] == "interrupted"
    assert project.lock().get("warnings", []) == []


def test_a_hangup_that_is_ignored_stays_ignored(project: Project) -> None:
    """A job under nohup outlives its terminal."""
    write_app(
        project,
        "os.kill(os.getpid(), signal.SIGHUP)\nreturn 1",
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\nmain()",
    )
    project.app()
    assert project.lock()["run"]["result"] == 1


def test_a_lock_that_something_wrote_over(project: Project) -> None:
    """What the task or an earlier program left in the lock's place is kept, beside the lock."""
    project.write("outputs/a/run.lock", "first")
    write_app(project, "open(folder + '/run.lock', 'w').write('second')\nreturn 1")
    project.call(project.python, "app.py", "hydra.run.dir=outputs/a")
    folder = project.path("outputs/a")
    one, two = folder.glob("run.*.lock")
    assert (folder / "run.lock").read_text() == "second"
    assert "first" in (one.read_text(), two.read_text())
    own = read_lock(two if one.read_text() == "first" else one)
    assert own["run"]["result"] == 1
    assert any("an earlier run wrote here" in text for text in own["warnings"])


def test_a_folder_that_is_removed_after_the_job_stays_so(project: Project) -> None:
    """The exit of the process makes no folder anew, and says nothing."""
    write_app(project, "pass", "main()\nimport shutil\nshutil.rmtree('outputs')")
    done = project.app()
    assert (done.err, project.path("outputs").exists()) == ("", False)


def test_outputs_of_a_later_run_are_not_those_of_the_earlier(project: Project) -> None:
    """A run whose folder another has taken says at the exit what it said at its end."""
    write_app(
        project,
        "open(folder + '/out', 'w').write(str(cfg.lr))",
        "from pathlib import Path\n"
        "sys.argv[1:] = ['lr=1', 'hydra.run.dir=outputs/a']\nmain()\n"
        "Path('between').write_text(Path('outputs/a/run.lock').read_text())\n"
        "sys.argv[1:] = ['lr=2', 'hydra.run.dir=outputs/a']\nmain()",
    )
    project.app()
    (aside,) = project.path("outputs/a").glob("run.*.lock")
    assert aside.read_text() == project.path("between").read_text()


def test_a_run_after_that_of_its_parent_is_recorded(project: Project) -> None:
    """A process that was started when the job was over does not take part in it."""
    write_app(
        project,
        "return 1",
        "import subprocess\nmain()\n"
        "if 'CHILD' not in os.environ:\n"
        "    os.environ['CHILD'] = '1'\n"
        "    subprocess.run([sys.executable, *sys.argv], check=True)",
    )
    project.app("hydra.run.dir=outputs/a")
    assert len(list(project.path("outputs/a").glob("run*.lock"))) == 2


def test_full_disk_at_the_end(project: Project) -> None:
    """The job goes on, the lock of its start stays whole, and the loss is said."""
    write_app(project, f"{FULL}\nreturn 1", "main()\nprint('went on')")
    done = project.app("hydra.run.dir=outputs/a")
    assert "went on" in done.out
    assert "outputs/a/run.lock cannot be written: File too large" in done.out
    assert read_lock(project.path("outputs/a/run.lock"))["run"]["status"] == "running"
    assert shown(project)["status"] == "interrupted"
    assert os.listdir(project.path("outputs/a")).count("run.lock") == 1
    assert list(project.path("outputs/a").glob(".run.lock.*")) == []


def test_disk_full_for_a_while(project: Project) -> None:
    """What could not be written at the job's end is written at the exit of the process."""
    free = "resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))"
    write_app(project, f"{FULL}\nreturn 1", f"main()\n{free}")
    project.app()
    assert project.lock()["run"]["result"] == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root may mount")
def test_a_real_full_disk(project: Project) -> None:
    """The same on a small file system that the task fills."""
    folder = project.path("outputs/a")
    folder.mkdir(parents=True)
    mounted = project.call("mount", "-t", "tmpfs", "-o", "size=64k", "none", folder, check=False)
    if mounted.code:
        pytest.skip("this machine mounts no tmpfs")
    try:
        write_app(
            project,
            "with open(folder + '/big', 'wb', 0) as big:\n    try:\n"
            "        while True: big.write(b'x' * 512)\n    except OSError: pass\n"
            "return 'y' * 10_000",
        )
        done = project.app("hydra.run.dir=outputs/a")
        assert "run.lock cannot be written: No space left on device" in done.out
        assert read_lock(folder / "run.lock")["run"]["status"] == "running"
        assert list(folder.glob(".run.lock.*")) == []
    finally:
        project.call("umount", folder)


NOWHERE = [  # /proc/self/fdinfo takes no file, not even from root
    "hydra.run.dir=/proc/self/fdinfo", "hydra.output_subdir=null", "hydra/job_logging=stdout",
]


def test_unwritable_folder(project: Project) -> None:
    """Without strict the job runs and the log says that there is no lock."""
    write_app(project, "print('ran')")
    done = project.app(*NOWHERE)
    assert "ran" in done.out
    assert "fdinfo/run.lock cannot be written" in done.out + done.err


def test_strict_all_refuses_where_no_lock_can_be_written(project: Project) -> None:
    """``strict=all``: nothing runs, exit code 2, the reason and the way on."""
    write_app(project, "print('ran')")
    done = project.app(*NOWHERE, "hydra.callbacks.flexlock.strict=all", check=False)
    assert (done.code, "ran" in done.out) == (2, False)
    assert "flexlock-hydra: /proc/self/fdinfo/run.lock cannot be written" in done.err
    assert "choose another hydra.run.dir" in done.err and "Traceback" not in done.err


def test_strict_all_refuses_on_a_full_disk(project: Project) -> None:
    """The same where the lock has no room at the start; none appears when there is some."""
    free = "resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))"
    write_app(project, "print('ran')", f"{FULL}\ntry: main()\nfinally: {free}")
    done = project.app(
        "hydra.callbacks.flexlock.strict=all", "hydra.output_subdir=null",
        "hydra/job_logging=stdout", "hydra.run.dir=outputs/a", check=False,
    )
    assert (done.code, "ran" in done.out) == (2, False)
    assert "outputs/a/run.lock cannot be written: File too large" in done.err
    assert os.listdir(project.path("outputs/a")) == []


def test_strict_all_refuses_missing_data(project: Project) -> None:
    """A single job with data that cannot be recorded does not start, and leaves a failed run."""
    write_app(project, "print('ran')")
    project.path("data/table.csv").unlink()
    done = project.app("hydra.callbacks.flexlock.strict=all", check=False)
    assert (done.code, "ran" in done.out) == (2, False)
    assert "data table: " in done.err and "data/table.csv is missing" in done.err
    assert "strict=code" in done.err
    run = shown(project)
    assert run["status"] == "failed"
    assert "data/table.csv is missing" in run["error"]["message"]


def test_strict_code_does_not_ask_for_data(project: Project) -> None:
    """``strict=code`` is about the code alone."""
    write_app(project, "print('ran')")
    project.path("data/table.csv").unlink()
    assert "ran" in project.app("hydra.callbacks.flexlock.strict=code").out


# Read from elsewhere


def on_another_host(project: Project, **process: Any) -> Path:
    """A lock that another machine left running."""
    write_app(project, "os._exit(0)")
    project.app("hydra.run.dir=outputs/a")
    path = project.path("outputs/a/run.lock")
    plain = read_plain(path)
    plain["run"]["process"].update({"host": "node7", **process})
    path.write_text(yaml.safe_dump(plain, sort_keys=False))
    return path


def test_a_run_of_another_host_is_unknown(project: Project) -> None:
    """``show`` says what it cannot tell; the lock itself never says unknown."""
    path = on_another_host(project)
    assert shown(project)["status"] == "unknown"
    status = project.flexlock("show", "@latest").out.splitlines()[2].split(maxsplit=1)[1]
    assert status == "running (on node7; cannot be judged from here)"
    assert read_lock(path)["run"]["status"] == "running"


def test_a_run_of_a_container_is_unknown(project: Project) -> None:
    """Its pids mean something else here, though host and boot are the same."""
    on_another_host(project, host=socket.gethostname(), pid_namespace="1")
    assert shown(project)["status"] == "unknown"
