"""Git's hooks, programs, configuration and environment, as users have them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.support.edits import edited, new_executable, odd_names
from tests.support.trees import snapshot

pytestmark = pytest.mark.usefixtures("own_home")


HOOKS = ["post-index-change", "pre-commit", "prepare-commit-msg", "commit-msg", "post-commit",
         "reference-transaction", "post-checkout", "fsmonitor-watchman"]


@pytest.mark.parametrize("where", ["hooks", "core.hooksPath"])
def test_no_hook_is_run(where: str, rich: Project, tmp_path: Path) -> None:
    """The repository's hooks are not started, wherever they lie."""
    marker = tmp_path / "called"
    folder = rich.path(".git/hooks") if where == "hooks" else tmp_path / "own-hooks"
    folder.mkdir(exist_ok=True)
    edited(rich)
    if where != "hooks":
        rich.git("config", where, str(folder))
    for hook in HOOKS:
        (folder / hook).write_text(f"#!/bin/sh\necho {hook} >> {marker}\nexit 1\n")
        (folder / hook).chmod(0o755)

    assert snapshot(rich.root).dirty == ("lib/a.py",)
    assert not marker.exists()


CONFIG = {
    "status.showUntrackedFiles": "no",
    "status.relativePaths": "true",
    "status.branch": "false",
    "status.short": "true",
    "status.showStash": "true",
    "status.submoduleSummary": "true",
    "status.aheadBehind": "false",
    "core.eol": "crlf",
    "core.safecrlf": "true",
    "core.quotePath": "true",
    "core.untrackedCache": "true",
    "core.splitIndex": "true",
    "core.preloadIndex": "false",
    "core.checkStat": "minimal",
    "core.logAllRefUpdates": "always",
    "core.commentChar": "f",
    "core.pager": "false",
    "core.editor": "false",
    "core.abbrev": "4",
    "index.version": "4",
    "index.threads": "1",
    "feature.manyFiles": "true",
    "diff.external": "false",
    "diff.noprefix": "true",
    "diff.renames": "copies",
    "diff.ignoreSubmodules": "all",
    "diff.orderFile": ".gitignore",
    "color.ui": "always",
    "column.ui": "always",
    "commit.gpgSign": "true",
    "tag.gpgSign": "true",
    "commit.template": "nowhere",
    "user.useConfigOnly": "true",
    "log.date": "relative",
    "log.showSignature": "true",
    "log.decorate": "full",
    "log.showRoot": "false",
    "format.pretty": "oneline",
    "i18n.commitEncoding": "latin1",
    "i18n.logOutputEncoding": "latin1",
    "push.default": "nothing",
    "safe.bareRepository": "explicit",
    "advice.addEmbeddedRepo": "true",
    "submodule.recurse": "true",
}


@pytest.mark.parametrize("key", CONFIG)
def test_configuration_of_the_user_changes_nothing(key: str, rich: Project) -> None:
    """One commit and one list of dirty paths, whatever git's configuration says."""
    odd_names(rich)
    edited(rich)
    new_executable(rich)
    expected = snapshot(rich.root)
    rich.git("config", key, CONFIG[key])
    if key.startswith(("core.splitIndex", "core.untracked", "index.", "feature.")):
        rich.git("update-index", "--refresh", check=False)

    assert snapshot(rich.root) == expected


def test_line_ends_that_git_warns_of_do_not_stop_it(rich: Project) -> None:
    """With autocrlf and safecrlf, where ``git add`` would refuse, there is a snapshot."""
    rich.git("config", "core.autocrlf", "true")
    rich.git("config", "core.safecrlf", "true")
    rich.write("new.py", b"x = 1\n")

    assert snapshot(rich.root).dirty == ("new.py",)


def test_no_program_of_the_configuration_is_run(rich: Project, tmp_path: Path) -> None:
    """A file system monitor, a differ, a pager, a signer of the user's are not started."""
    marker = tmp_path / "called"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho $0 $* >> {marker}\n")
    program.chmod(0o755)
    edited(rich)
    for key in ("core.fsmonitor", "diff.external", "core.pager", "core.editor", "gpg.program",
                "core.askPass", "credential.helper", "core.alternateRefsCommand"):
        rich.git("config", key, str(program))
    rich.git("config", "commit.gpgSign", "true")

    assert snapshot(rich.root).dirty == ("lib/a.py",)
    assert not marker.exists()


def test_a_signed_head_gives_its_date(rich: Project) -> None:
    """With log.showSignature, what git says of HEAD's signature is not taken for a date."""
    head = rich.git("cat-file", "commit", "HEAD")
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----"
    signed = head.replace("\n\n", f"\n{signature}\n\n", 1) + "\n"
    rich.write("../signed", signed)
    oid = rich.git("hash-object", "-w", "-t", "commit", "../signed")
    rich.git("update-ref", "HEAD", oid)
    rich.git("config", "log.showSignature", "true")
    edited(rich)
    date = rich.git("-c", "log.showSignature=false", "show", "-s", "--format=%cd", "--date=raw")

    commit = rich.git("cat-file", "commit", snapshot(rich.root).commit)

    assert f"committer flexlock-hydra <flexlock-hydra@localhost> {date}\n" in commit


ELSEWHERE = {
    "GIT_DIR": "/nonexistent",
    "GIT_WORK_TREE": "/",
    "GIT_INDEX_FILE": "/nonexistent/index",
    "GIT_OBJECT_DIRECTORY": "/nonexistent",
    "GIT_COMMON_DIR": "/nonexistent",
    "GIT_NAMESPACE": "other",
    "GIT_PREFIX": "lib/",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_AUTHOR_DATE": "2001-01-01T00:00:00Z",
    "GIT_AUTHOR_NAME": "Mallory",
    "GIT_EXTERNAL_DIFF": "false",
    "GIT_TRACE": "1",
    "GIT_DEFAULT_HASH": "sha256",
    "GIT_CONFIG_PARAMETERS": "'status.showUntrackedFiles=no'",
    "LC_ALL": "de_DE.UTF-8",
    "LANGUAGE": "de",
}


@pytest.mark.parametrize("names", [[name] for name in ELSEWHERE] + [list(ELSEWHERE)],
                         ids=lambda names: names[0] if len(names) == 1 else "all")
def test_the_environment_of_a_hook_does_not_mislead(names: list[str], rich: Project) -> None:
    """GIT_DIR and the like in the caller's environment change nothing."""
    edited(rich)
    expected = snapshot(rich.root).commit
    program = (
        "import pathlib\n"
        "from flexlock_hydra.capture.code import snapshot\n"
        "root = pathlib.Path.cwd()\n"
        "print(snapshot.capture_code(snapshot.find_repo(root), root).commit)\n"
    )
    variables = [f"{name}={ELSEWHERE[name]}" for name in names]
    done = rich.call("env", *variables, sys.executable, "-c", program)

    assert done.out.strip() == expected
