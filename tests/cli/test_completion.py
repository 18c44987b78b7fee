"""Shell completion: what Tab offers, in real shells, however hostile the names are."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import click
import pytest

from flexlock_hydra.cli.group import cli
from flexlock_hydra.record import lockfile
from tests.conftest import Project
from tests.support.lineages import lock_of, put, run_id

BIN = Path(sys.executable).parent
TAG = f"flexlock/train/{run_id(1)}"
_BASH = """
eval "$(flexlock-hydra completion bash)"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_flexlock_hydra_completion flexlock-hydra
printf '%s\\n' "${COMPREPLY[@]}"
"""
_ZSH = """
autoload -U compinit; compinit -u -D
compdef() { :; }
eval "$(flexlock-hydra completion zsh)"
compadd() { :; }
_describe() { printf '%s\\n' "${(@P)3}"; }
words=("$@") CURRENT=$#
_flexlock_hydra_completion
"""


@pytest.fixture
def runs(project: Project) -> Project:
    """A project with two runs and a tag of the older one."""
    for number, day in ((1, 22), (2, 23)):
        put(project.root, number)
        lock = lock_of(number)
        run = replace(lock.run, started=f"2026-11-{day}T10:15:00+00:00")
        lockfile.write(replace(lock, run=run), project.path(f"outputs/{number}/run.lock"))
    project.git("tag", TAG)
    return project


def in_shell(project: Project, *words: str) -> list[str]:
    """Run a shell that has the command on its PATH; its lines."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return project.call(*words, PATH=path).out.splitlines()


def bash(project: Project, *words: str) -> list[str]:
    """What bash is told to offer for the last of the words."""
    return in_shell(project, "bash", "--norc", "-c", _BASH, "bash", "flexlock-hydra", *words)


def test_runs_and_tags(runs: Project) -> None:
    """A RUN completes to @latest, the ids (the newest first), the folders and the tags."""
    assert bash(runs, "show", "") == [
        "@latest", run_id(2), run_id(1), "outputs/2", "outputs/1", TAG,
    ]
    assert bash(runs, "diff", "@latest", "outputs/") == ["outputs/2", "outputs/1"]
    assert bash(runs, "rerun", run_id(1)[:-1]) == [run_id(2), run_id(1)]
    assert bash(runs, "push", "flex") == [TAG]


@pytest.mark.parametrize("command", ["pull", "rm"])
def test_a_tag_alone(runs: Project, command: str) -> None:
    """Where a tag is meant alone, tags are offered alone."""
    assert bash(runs, command, "") == [TAG]


def test_seen_from_another_folder(runs: Project) -> None:
    """Folders are named from where one is, or from where -C leads."""
    inside = Project(runs.path("outputs"), runs.env)
    assert bash(inside, "show", "1") == ["1"]
    assert bash(inside, "-C", "..", "show", "out") == ["outputs/2", "outputs/1"]
    assert bash(Project(runs.root.parent, runs.env), "-C", "project", "show", "@") == ["@latest"]


def test_commands_options_and_shells(runs: Project) -> None:
    """Commands, options and their values complete as well."""
    assert bash(runs, "pu") == ["push", "pull"]
    assert bash(runs, "push", "--lay") == ["--layout"]
    assert bash(runs, "completion", "") == ["bash", "zsh", "fish"]


@pytest.mark.parametrize("words", [["show", "@", "la"], ["diff", "@", "latest", "@", "la"]])
def test_bash_splits_words_at_the_at(runs: Project, words: list[str]) -> None:
    """@latest completes, and counts as one word, although bash tells its @ apart."""
    assert bash(runs, *words) == ["@latest"]


def test_where_there_is_nothing(tmp_path: Path, env: dict[str, str]) -> None:
    """Outside of a repository, without runs and without git, nothing is printed on an error."""
    done = Project(tmp_path, env).call(
        BIN / "flexlock-hydra", check=False, PATH=str(tmp_path),
        COMP_WORDS="flexlock-hydra show f", COMP_CWORD="2",
        _FLEXLOCK_HYDRA_COMPLETE="bash_complete",
    )
    assert (done.out, done.err) == ("dir,f\n", "")


def test_help_says_job_and_start(runs: Project) -> None:
    """Shells that show a text beside a name get the job and when it started."""
    done = runs.call(
        BIN / "flexlock-hydra", COMP_WORDS="flexlock-hydra show ", COMP_CWORD="2",
        _FLEXLOCK_HYDRA_COMPLETE="zsh_complete",
    )
    assert f"plain\n{run_id(2)}\ntrain 2026-11-23 10:15\n" in done.out


def hostile(project: Project) -> Project:
    """Runs and tags whose names would do something in a shell."""
    lock = lock_of(3, job="x\nplain\n$(touch owned)\x1b[2J")
    names = ("$(touch owned)", "`touch owned`", ";touch owned;", "*", "a b", "-rf", "'", "\n")
    for name in (*names, "good"):
        folder = project.path(f"outputs/{name}")
        folder.mkdir(parents=True)
        lockfile.write(lock, folder / "run.lock")
    project.git("tag", f"flexlock/$(touch$IFS'owned')/{run_id(3)}", check=False)
    return project


@pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])
def test_hostile_names_are_not_offered(project: Project, kind: str) -> None:
    """A name with characters that a shell would act on, or a line break, is passed over."""
    done = hostile(project).call(
        BIN / "flexlock-hydra", COMP_WORDS="flexlock-hydra show " if kind != "fish" else
        "flexlock-hydra show", COMP_CWORD="2" if kind != "fish" else "",
        _FLEXLOCK_HYDRA_COMPLETE=f"{kind}_complete",
    )
    assert "outputs/good" in done.out
    assert not {*"$`;*'\x1b"} & set(done.out)
    assert "plain\n$" not in done.out and "outputs/a" not in done.out
    assert not project.path("owned").exists()


def test_tab_in_an_interactive_bash(runs: Project) -> None:
    """Tab and Enter, typed into a real bash, show the run; no name of a run is executed."""
    hostile(runs)
    typed = (
        'eval "$(flexlock-hydra completion bash)"\n',
        "flexlock-hydra show outputs/g\t\n",
        "flexlock-hydra show @la\t\n",
        "flexlock-hydra show outputs/\t\t\n",
    )
    leader, follower = os.openpty()
    shell = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"], cwd=runs.root,
        env={**runs.env, "TERM": "dumb", "INPUTRC": os.devnull,
             "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
    )
    os.close(follower)
    try:
        said = ""
        for line in typed:
            os.write(leader, line.encode())
            said += _until_quiet(leader)
    finally:
        shell.kill()
        shell.wait()
        os.close(leader)
    assert "show outputs/good \r\n" in said
    assert "show @latest \r\n" in said
    assert f"{run_id(3)}\r\n" in said
    assert not runs.path("owned").exists()


def _until_quiet(fd: int) -> str:
    """What a terminal prints until it has said nothing for a while."""
    said, end = "", time.monotonic() + 20
    while time.monotonic() < end and select.select([fd], [], [], 1.0)[0]:
        said += os.read(fd, 65536).decode("utf-8", "replace")
    return said


@pytest.mark.needs("zsh")
def test_zsh(runs: Project) -> None:
    """zsh's script offers the same, each with job and start."""
    lines = in_shell(runs, "zsh", "-f", "-c", _ZSH, "zsh", "flexlock-hydra", "show", "20")
    assert lines == [
        f"{run_id(2)}:train 2026-11-23 10:15", f"{run_id(1)}:train 2026-11-22 10:15",
    ]


@pytest.mark.needs("fish")
def test_fish(runs: Project) -> None:
    """fish's own completion, asked by its builtin, offers the same."""
    script = "flexlock-hydra completion fish | source; complete -C 'flexlock-hydra show 2'"
    lines = in_shell(runs, "fish", "--no-config", "-c", script)
    assert sorted(lines) == [
        f"{run_id(1)}\ttrain 2026-11-22 10:15", f"{run_id(2)}\ttrain 2026-11-23 10:15",
    ]


def test_completion_is_quick(project: Project) -> None:
    """However many runs there are, Tab answers in a moment: the newest folders come first."""
    lock = lockfile.dumps(lock_of(1))
    for number in range(3000):
        folder = project.path(f"multirun/{number // 100:02d}/{number % 100:02d}")
        folder.mkdir(parents=True)
        content = lock.replace(run_id(1).encode(), run_id(number).encode())
        (folder / "run.lock").write_bytes(content)
    taken = []
    for _ in range(3):
        start = time.process_time()
        begun = os.times()
        done = project.call(
            BIN / "flexlock-hydra", COMP_WORDS="flexlock-hydra show multi", COMP_CWORD="2",
            _FLEXLOCK_HYDRA_COMPLETE="bash_complete",
        )
        now = os.times()
        taken.append(
            time.process_time() - start
            + now.children_user - begun.children_user
            + now.children_system - begun.children_system
        )
        assert "multirun/29/99" in done.out
    assert min(taken) < 0.5


def test_every_run_and_tag_argument_completes() -> None:
    """Each argument of a command that is a run or a tag has the type that completes."""
    context = click.Context(cli)
    kinds = {"run": "run", "runs": "run", "a": "run", "b": "run", "tag": "tag"}
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        for parameter in command.params:
            if isinstance(parameter, click.Argument) and parameter.name in kinds:
                assert parameter.type.name == kinds[parameter.name], (name, parameter.name)
