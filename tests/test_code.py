"""The snapshot of a working tree: all of it, nothing else, and nothing touched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flexlock_hydra.capture import code
from flexlock_hydra.capture.scope import Scope
from flexlock_hydra.ports import gitask, gitlook
from flexlock_hydra.ports.gitrepo import GitRepo
from flexlock_hydra.record.model import CodeState
from tests.conftest import Project, fingerprint

Edit = Callable[[Project], object]


@pytest.fixture(autouse=True)
def own_home(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Git in this process sees the empty HOME of the test, as its other processes do."""
    for name in os.environ:
        if name.startswith(("GIT_", "XDG_")):
            monkeypatch.delenv(name)
    for name in ("HOME", "GIT_CONFIG_NOSYSTEM"):
        monkeypatch.setenv(name, env[name])


def snapshot(root: Path, scope: Scope = Scope(), cwd: Path | None = None) -> CodeState:
    """The code state of the repository that a folder is in."""
    repo = GitRepo.find(root)
    assert repo is not None
    return code.capture(repo, cwd or root, scope)


def listing(root: Path) -> dict[bytes, tuple[str, bytes]]:
    """Every file and link below a folder: name -> kind and content."""
    found: dict[bytes, tuple[str, bytes]] = {}
    top = os.fsencode(root)
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name != b".git"]
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in [*names, *links]:
            path = os.path.join(folder, name)
            if path == os.path.join(top, b".git"):
                continue
            found[os.path.relpath(path, top)] = leaf(path)
    return found


def leaf(path: bytes) -> tuple[str, bytes]:
    """What a file or link holds, and whether it is executable."""
    if os.path.islink(path):
        return "link", os.readlink(path)
    with open(path, "rb") as file:
        return "program" if os.access(path, os.X_OK) else "file", file.read()


def code_files(project: Project) -> dict[bytes, tuple[str, bytes]]:
    """The files of a working tree that git does not ignore, as git itself lists them."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=project.root,
        env=project.env,
        capture_output=True,
        check=True,
    )
    names = {name for name in done.stdout.split(b"\0") if name}
    return {name: entry for name, entry in listing(project.root).items() if name in names}


def restored(project: Project, commit: str, into: Path) -> dict[bytes, tuple[str, bytes]]:
    """What a fresh clone holds after checking out a snapshot."""
    project.git("init", "-q", str(into))
    project.git("fetch", "-q", str(project.root), f"refs/flexlock/shadow/{commit}", cwd=into)
    project.git("checkout", "-q", "FETCH_HEAD", cwd=into)
    return listing(into)


@pytest.fixture
def rich(project: Project) -> Project:
    """A repository with a few more kinds of files, and an ignored one."""
    project.write("lib/a.py", "a = 1\n")
    project.write("lib/b.py", "b = 1\n")
    project.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    project.write("name with space.txt", "x")
    project.path("link").symlink_to("lib/a.py")
    project.write("secret.env", "ignored")
    project.write(".gitignore", "outputs/\nmultirun/\ndata/\n*.env\n")
    project.commit("more")
    return project


# Byte for byte


def edited(project: Project) -> None:
    project.write("lib/a.py", "a = 2\n")


def edited_bytes(project: Project) -> None:
    project.write("lib/a.py", bytes(range(256)) + b"\r\n\r")


def deleted(project: Project) -> None:
    project.path("lib/a.py").unlink()


def all_deleted(project: Project) -> None:
    for name in project.git("ls-files").splitlines():
        if name != ".gitignore":
            project.path(name).unlink()


def untracked(project: Project) -> None:
    project.write("new/deep/c.py", "c = 1\n")


def untracked_empty(project: Project) -> None:
    project.write("new/__init__.py", "")


def renamed(project: Project) -> None:
    project.path("lib/a.py").rename(project.path("lib/z.py"))


def renamed_in_index(project: Project) -> None:
    project.git("mv", "lib/a.py", "z.py")


def staged(project: Project) -> None:
    project.write("lib/a.py", "a = 2\n")
    project.write("staged.py", "s = 1\n")
    project.git("add", "-A")


def staged_then_edited(project: Project) -> None:
    staged(project)
    project.write("lib/a.py", "a = 3\n")
    project.write("staged.py", "s = 2\n")


def staged_then_deleted(project: Project) -> None:
    staged(project)
    project.path("staged.py").unlink()


def staged_then_reverted(project: Project) -> None:
    project.write("lib/a.py", "a = 2\n")
    project.git("add", "-A")
    project.write("lib/a.py", "a = 1\n")


def deleted_in_index(project: Project) -> None:
    project.git("rm", "-q", "lib/a.py")


def deleted_in_index_but_there(project: Project) -> None:
    project.git("rm", "-q", "--cached", "lib/a.py")


def deleted_in_index_and_ignored(project: Project) -> None:
    project.git("rm", "-q", "--cached", "lib/a.py")
    project.write(".gitignore", project.path(".gitignore").read_text() + "a.py\n")


def intent_to_add(project: Project) -> None:
    project.write("later.py", "x = 1\n")
    project.git("add", "-N", "later.py")


def odd_names(project: Project) -> None:
    for name in ("ü.py", "日本語.py", "new\nline.py", 'quote".py', "back\\slash", "tab\t", " lead",
                 "-x", "#x", "e\u0301.py", ":(top)x", "*.py", "café/ü"):
        project.write(name, name)
    project.commit("odd")
    project.write("new\nline.py", "edited")
    project.write("ü.py", "edited")
    project.path('quote".py').unlink()
    project.write("other\nline", "untracked")


def name_not_utf8(project: Project) -> None:
    Path(os.fsdecode(os.fsencode(project.root) + b"/caf\xe9.py")).write_text("x = 1\n")


def made_executable(project: Project) -> None:
    project.path("lib/a.py").chmod(0o755)


def no_longer_executable(project: Project) -> None:
    project.path("run.sh").chmod(0o644)


def new_executable(project: Project) -> None:
    project.write("tool", "#!/bin/sh\n").chmod(0o755)


def new_links(project: Project) -> None:
    project.path("file-link").symlink_to("run.sh")
    project.path("folder-link").symlink_to("lib")
    project.path("broken-link").symlink_to("nowhere")
    project.path("link").unlink()
    project.path("link").symlink_to("lib/b.py")


def file_to_link(project: Project) -> None:
    project.path("lib/a.py").unlink()
    project.path("lib/a.py").symlink_to("b.py")


def link_to_file(project: Project) -> None:
    project.path("link").unlink()
    project.write("link", "now a file")


def file_to_folder(project: Project) -> None:
    project.path("run.sh").unlink()
    project.write("run.sh/inner.py", "x = 1\n")


def folder_to_file(project: Project) -> None:
    for name in ("lib/a.py", "lib/b.py"):
        project.path(name).unlink()
    project.path("lib").rmdir()
    project.write("lib", "now a file")


def conflict(project: Project) -> None:
    project.git("checkout", "-q", "-b", "other")
    project.write("lib/a.py", "a = 'other'\n")
    project.commit("other")
    project.git("checkout", "-q", "main")
    project.write("lib/a.py", "a = 'main'\n")
    project.commit("main")
    project.git("merge", "-q", "other", check=False)


def same_size_and_tick(project: Project) -> None:
    """git cannot tell by size and time; only by reading the file again."""
    project.write("lib/a.py", "a = 5\n")
    project.git("add", "lib/a.py")
    stat = project.path("lib/a.py").stat()
    project.write("lib/a.py", "a = 6\n")
    for name in ("lib/a.py", ".git/index"):
        os.utime(project.path(name), ns=(stat.st_atime_ns, stat.st_mtime_ns))


def attributes(project: Project) -> None:
    project.write(".gitattributes", "*.bin -text\n*.py text\n")
    project.write("x.bin", b"a\r\nb")
    project.write("lib/a.py", "a = 9\n")


EDITS: list[Edit] = [
    edited, edited_bytes, deleted, all_deleted, untracked, untracked_empty, renamed,
    renamed_in_index, staged, staged_then_edited, staged_then_deleted, staged_then_reverted,
    deleted_in_index, deleted_in_index_but_there, deleted_in_index_and_ignored, intent_to_add,
    odd_names, name_not_utf8, made_executable, no_longer_executable, new_executable, new_links,
    file_to_link, link_to_file, file_to_folder, folder_to_file, conflict, same_size_and_tick,
    attributes,
]


def name_of(edit: object) -> str:
    """A test's id: the name of its edit."""
    return str(getattr(edit, "__name__", edit))


@pytest.mark.parametrize("edit", EDITS, ids=name_of)
def test_a_checkout_of_the_snapshot_is_the_working_tree(
    edit: Edit, rich: Project, tmp_path: Path
) -> None:
    """A fresh clone of the recorded commit has the same bytes, links and exec bits."""
    edit(rich)
    state = snapshot(rich.root)
    back = restored(rich, state.commit, tmp_path / "clone")

    assert back == code_files(rich)
    assert (state.completeness, state.reasons) == ("exact", ())


@pytest.mark.parametrize("edit", EDITS, ids=name_of)
def test_nothing_of_the_user_is_touched(edit: Edit, rich: Project) -> None:
    """Index, HEAD, branches, config, files and their times are as before the snapshot."""
    edit(rich)
    before = fingerprint(rich.root)
    snapshot(rich.root)

    assert fingerprint(rich.root) == before


@pytest.mark.parametrize(("edit", "dirty"), [
    (edited, ("lib/a.py",)),
    (deleted, ("lib/a.py",)),
    (untracked, ("new/deep/c.py",)),
    (renamed, ("lib/a.py", "lib/z.py")),
    (staged_then_edited, ("lib/a.py", "staged.py")),
    (staged_then_reverted, ()),
    (made_executable, ("lib/a.py",)),
    (file_to_folder, ("run.sh", "run.sh/inner.py")),
    (deleted_in_index_and_ignored, (".gitignore", "lib/a.py")),
], ids=name_of)
def test_what_differs_from_head_is_named(
    edit: Edit, dirty: tuple[str, ...], rich: Project
) -> None:
    """``dirty`` names, sorted, every path in which the snapshot differs from HEAD."""
    edit(rich)

    assert snapshot(rich.root).dirty == dirty


def test_a_file_untracked_but_ignored_stays_out(rich: Project) -> None:
    """A file that was taken out of the index and is ignored is no code any more."""
    deleted_in_index_and_ignored(rich)
    commit = snapshot(rich.root).commit

    assert "lib/a.py" not in rich.git("ls-tree", "-r", "--name-only", commit).splitlines()


def test_a_change_within_one_tick_is_seen(rich: Project) -> None:
    """Bytes rewritten in the tick of ``git add``, same size, are in the snapshot."""
    same_size_and_tick(rich)

    assert rich.git("show", f"{snapshot(rich.root).commit}:lib/a.py") == "a = 6"


def test_a_stale_index_is_left_stale(rich: Project) -> None:
    """Files whose times changed and bytes did not: the snapshot is HEAD, the index as it was."""
    for path in rich.root.rglob("*.py"):
        os.utime(path, ns=(1, 1_600_000_000_000_000_000))
    before = fingerprint(rich.root)
    state = snapshot(rich.root)

    assert state.commit == state.head
    assert fingerprint(rich.root) == before


def hidden_from_git(project: Project, flag: str) -> None:
    project.write("lib/a.py", "a = 2\n")
    project.git("update-index", flag, "lib/a.py")


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_an_edit_that_git_was_told_to_overlook_is_not_lost_silently(
    flag: str, rich: Project
) -> None:
    """An edit under assume-unchanged or skip-worktree is in the snapshot, or named as not."""
    hidden_from_git(rich, flag)
    state = snapshot(rich.root)

    taken = rich.git("show", f"{state.commit}:lib/a.py") == "a = 2"
    named = state.completeness == "partial" and any("lib/a.py" in text for text in state.reasons)
    assert taken or named


def test_a_file_deleted_under_assume_unchanged_is_not_kept_silently(rich: Project) -> None:
    """A deletion that git was told to overlook is in the snapshot, or named as not."""
    rich.git("update-index", "--assume-unchanged", "lib/a.py")
    deleted(rich)
    state = snapshot(rich.root)

    gone = "lib/a.py" not in rich.git("ls-tree", "-r", "--name-only", state.commit).splitlines()
    assert gone or any("lib/a.py" in text for text in state.reasons)


def test_line_ends_that_git_would_change_are_not_lost_silently(
    rich: Project, tmp_path: Path
) -> None:
    """With core.autocrlf, CRLF in an edited file comes back, or is named as lost."""
    rich.git("config", "core.autocrlf", "true")
    rich.write("crlf.py", b"x = 1\r\n")
    state = snapshot(rich.root)

    same = restored(rich, state.commit, tmp_path / "clone") == code_files(rich)
    named = state.completeness == "partial" and any("crlf.py" in text for text in state.reasons)
    assert same or named


# The commit


def test_a_clean_tree_is_head(rich: Project) -> None:
    """Where nothing differs, the snapshot is HEAD itself and nothing is dirty."""
    state = snapshot(rich.root)

    assert state.commit == state.head == rich.git("rev-parse", "HEAD")
    assert state.tree == rich.git("rev-parse", "HEAD^{tree}")
    assert state.dirty == ()


def test_the_snapshot_stands_on_head(rich: Project) -> None:
    """A snapshot that differs from HEAD has HEAD as its only parent."""
    edited(rich)
    state = snapshot(rich.root)

    assert rich.git("show", "-s", "--format=%P", state.commit) == state.head
    assert rich.git("rev-parse", f"{state.commit}^{{tree}}") == state.tree


def test_a_ref_keeps_the_snapshot_alive(rich: Project) -> None:
    """The commit survives garbage collection by a ref below refs/flexlock/shadow."""
    edited(rich)
    commit = snapshot(rich.root).commit
    rich.git("gc", "-q", "--prune=now")

    assert rich.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/flexlock") == (
        f"refs/flexlock/shadow/{commit} {commit}"
    )
    assert rich.git("show", f"{commit}:lib/a.py") == "a = 2"


def test_equal_code_gives_the_same_commit_everywhere(rich: Project, tmp_path: Path) -> None:
    """Two clones with the same edits, at other times by other users: one commit id."""
    edited(rich)
    untracked(rich)
    first = snapshot(rich.root).commit
    other = Project(tmp_path / "elsewhere" / "clone", rich.env)
    rich.git("clone", "-q", str(rich.root), str(other.root))
    for key, value in (("user.name", "Grace"), ("user.email", "g@example.org")):
        other.git("config", key, value)
    untracked(other)
    edited(other)
    os.utime(other.path("lib/a.py"), ns=(1, 1))

    assert snapshot(other.root).commit == first


def test_the_commit_says_nothing_of_the_user(rich: Project) -> None:
    """Author, committer and message are fixed; the date is HEAD's."""
    edited(rich)
    rich.git("config", "user.name", "Ada")
    state = snapshot(rich.root)
    head_date = rich.git("show", "-s", "--format=%cd", "--date=raw", "HEAD")
    who = f"flexlock-hydra <flexlock-hydra@localhost> {head_date}"

    assert rich.git("cat-file", "commit", state.commit) == (
        f"tree {state.tree}\nparent {state.head}\nauthor {who}\ncommitter {who}\n\n"
        f"flexlock snapshot of {state.head}"
    )


def test_the_commit_id_is_this_one(empty: Project) -> None:
    """A snapshot of one known file before any commit has this id, for ever."""
    only = Project(empty.root.with_name("one"), empty.env)
    only.write("a.py", "a = 1\n")
    only.git("init", "-q", "-b", "main")
    state = snapshot(only.root)

    assert state.tree == "2762d081c48aeff9d40179f330b18c6c81a2f5e9"
    assert state.commit == "95884b1eaa551a8f489308dee0fc47c68adf8984"


@pytest.mark.parametrize("date", [
    "@0 +0000", "@86400 -0330", "@99999999 +0000", "@1700000000 -0330", "@4102444800 +1400"
])
def test_any_date_of_head_is_taken(date: str, rich: Project) -> None:
    """A HEAD of 1970 or of the next century gives its date to the snapshot."""
    edited(rich)
    rich.call("git", "-c", "user.name=A", "-c", "user.email=a@b", "commit", "-q", "--amend",
              "--no-edit", GIT_COMMITTER_DATE=date)
    state = snapshot(rich.root)

    assert rich.git("show", "-s", "--format=%cd", "--date=raw", state.commit) == date[1:]


def test_a_second_snapshot_changes_nothing(rich: Project) -> None:
    """The same tree again gives the same commit and no further ref."""
    edited(rich)
    first, again = snapshot(rich.root), snapshot(rich.root)

    assert first == again
    assert len(rich.git("for-each-ref", "refs/flexlock").splitlines()) == 1


# Programs and configuration of the user's

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
        "from flexlock_hydra.capture import code\n"
        "root = pathlib.Path.cwd()\n"
        "print(code.capture(code.find_repo(root), root).commit)\n"
    )
    variables = [f"{name}={ELSEWHERE[name]}" for name in names]
    done = rich.call("env", *variables, sys.executable, "-c", program)

    assert done.out.strip() == expected


# Kinds of repositories


def test_before_any_commit(empty: Project, tmp_path: Path) -> None:
    """A repository without a commit has no HEAD, and its files come back all the same."""
    empty.git("init", "-q", "-b", "main")
    state = snapshot(empty.root)

    assert (state.head, state.branch, state.completeness) == (None, "main", "exact")
    assert state.dirty == (".gitignore", "app.py", "conf/config.yaml")
    assert restored(empty, state.commit, tmp_path / "clone") == code_files(empty)


def test_before_any_commit_with_an_index(empty: Project, tmp_path: Path) -> None:
    """Files staged for the first commit are in the snapshot as they are now."""
    empty.git("init", "-q", "-b", "main")
    empty.git("add", "app.py")
    empty.write("app.py", "edited\n")
    state = snapshot(empty.root)

    assert restored(empty, state.commit, tmp_path / "clone") == code_files(empty)


def test_an_empty_repository(empty: Project) -> None:
    """A repository with nothing in it has git's empty tree."""
    bare = Project(empty.root.with_name("void"), empty.env)
    bare.root.mkdir()
    bare.git("init", "-q")

    assert snapshot(bare.root).tree == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


@pytest.mark.parametrize("place", ["plain", "bare", "git dir"])
def test_where_no_working_tree_is_there_is_no_repository(place: str, project: Project) -> None:
    """A plain folder, a bare repository and the .git folder itself hold no working tree."""
    project.git("init", "-q", "--bare", "../bare")
    plain = project.root.with_name("plain")
    plain.mkdir()
    folder = {"plain": plain, "bare": project.path("../bare"), "git dir": project.path(".git")}

    assert GitRepo.find(folder[place]) is None


def test_a_detached_head_has_no_branch(rich: Project) -> None:
    """On a detached HEAD there is a commit and no branch."""
    rich.git("checkout", "-q", "--detach")
    state = snapshot(rich.root)

    assert (state.branch, state.commit) == (None, state.head)


def test_the_branch_is_named_in_full(rich: Project) -> None:
    """A branch with slashes is recorded by its whole name."""
    rich.git("checkout", "-q", "-b", "feature/ü/x")

    assert snapshot(rich.root).branch == "feature/ü/x"


def test_a_linked_worktree(rich: Project, tmp_path: Path) -> None:
    """In a linked worktree its own files and HEAD count, and its index stays as it was."""
    tree = Project(tmp_path / "tree", rich.env)
    rich.git("worktree", "add", "-q", "-b", "side", str(tree.root))
    edited(tree)
    deleted(rich)
    index = rich.path(".git/worktrees/tree/index")
    before = (index.read_bytes(), index.stat().st_mtime_ns)
    state = snapshot(tree.root)

    assert (state.branch, state.dirty) == ("side", ("lib/a.py",))
    assert rich.git("show", f"{state.commit}:lib/a.py") == "a = 2"
    assert (index.read_bytes(), index.stat().st_mtime_ns) == before


@pytest.mark.parametrize(("cwd", "path"), [(".", "."), ("lib", ".."), ("new/deep", "../..")])
def test_the_repository_is_seen_from_where_the_job_runs(
    cwd: str, path: str, rich: Project
) -> None:
    """A job in a subfolder records the whole repository, by its path from there."""
    untracked(rich)
    edited(rich)
    state = snapshot(rich.path(cwd), cwd=rich.path(cwd))

    assert state.path == path
    assert state.dirty == ("lib/a.py", "new/deep/c.py")


@pytest.mark.parametrize("name", ["with space", "übung", "line\u2028sep", "new\nline", "-dash"])
def test_any_name_of_the_project(name: str, project: Project) -> None:
    """The project's folder may have any name."""
    moved = Project(project.root.with_name(name), project.env)
    project.root.rename(moved.root)
    moved.write("new.py", "x")

    assert snapshot(moved.root).dirty == ("new.py",)


def test_a_repository_of_sha256(empty: Project, tmp_path: Path) -> None:
    """Git's longer object ids are recorded as they are."""
    empty.git("init", "-q", "--object-format=sha256")
    empty.commit()
    empty.write("new.py", "x")
    state = snapshot(empty.root)

    assert (len(state.commit), len(state.tree), state.reasons) == (64, 64, ())
    assert empty.git("show", f"{state.commit}:new.py") == "x"


def test_a_sparse_checkout_keeps_what_is_not_checked_out(rich: Project) -> None:
    """Tracked files outside of a sparse checkout are in the snapshot as in HEAD."""
    rich.git("sparse-checkout", "set", "--no-cone", "/*", "!/lib/b.py")
    edited(rich)
    state = snapshot(rich.root)

    assert not rich.path("lib/b.py").exists()
    assert rich.git("show", f"{state.commit}:lib/b.py") == "b = 1"
    assert state.dirty == ("lib/a.py",)


def test_a_repository_is_found_by_the_first_folder_that_has_one(
    rich: Project, tmp_path: Path
) -> None:
    """Candidates are tried in order; what is no folder or in no repository is passed over."""
    other = Project(tmp_path / "other", rich.env)
    other.write("x", "x")
    other.git("init", "-q")
    found = code.find_repo(tmp_path / "gone", tmp_path, rich.path("lib"), other.root)

    assert found is not None
    assert found.root == rich.root


# What is no code


def paths(project: Project, scope: Scope = Scope()) -> set[str]:
    """The untracked files that a snapshot took."""
    return set(snapshot(project.root, scope).dirty)


def test_ignored_files_are_not_in_it(rich: Project) -> None:
    """What git ignores, by whichever of its lists, is no code."""
    rich.write("other.env", "x")
    rich.write("lib/.gitignore", "*.tmp\n")
    rich.write("lib/x.tmp", "x")
    rich.write(".git/info/exclude", "mine.txt\n")
    rich.write("mine.txt", "x")
    rich.write("new.py", "x")

    assert paths(rich) == {"lib/.gitignore", "new.py"}


OUTPUTS = [
    "outputs/2026-11-22/10-15-00/model.txt",
    "outputs/x.txt",
    "multirun/2026-11-22/0/model.txt",
    "runs/a/model.txt",
    "runs/a/deep/er/model.txt",
    "runs/sweep/0/model.txt",
    "runs/sweep/optimization_results.yaml",
    "runs/locked/model.txt",
    "configured/elsewhere/model.txt",
    "ünicode/a b/model.txt",
]


@pytest.fixture
def ran(rich: Project) -> Project:
    """A project that ignores nothing, after runs that wrote to many places."""
    rich.write(".gitignore", "data/\n")
    rich.commit("ignore nothing")
    for name in OUTPUTS:
        rich.write(name, "an output")
    for name in ("runs/a/.hydra/config.yaml", "ünicode/a b/.hydra/overrides.yaml",
                 "runs/sweep/multirun.yaml", "runs/locked/run.lock"):
        rich.write(name, "x")
    rich.write("runs/notes.py", "code beside the runs")
    return rich


def test_output_folders_add_no_file(ran: Project) -> None:
    """Nothing untracked in a folder that a run wrote to is code; what lies beside it is."""
    scope = Scope(folders=(ran.path("configured"), ran.root.with_name("outside")))

    assert paths(ran, scope) == {"runs/notes.py"}


def test_output_folders_are_not_named_as_left_out(ran: Project) -> None:
    """A snapshot without output files is exact."""
    scope = Scope(folders=(ran.path("configured"),))

    assert snapshot(ran.root, scope).completeness == "exact"


def test_a_config_named_multirun_hides_no_code(rich: Project) -> None:
    """A ``multirun.yaml`` without a job's folder beside it makes no output folder."""
    rich.write("conf/more/multirun.yaml", "")
    rich.write("conf/more/model.yaml", "")

    assert "conf/more/model.yaml" in paths(rich)


def test_a_commit_while_git_looks_is_not_mixed_in(rich: Project) -> None:
    """The tree that a look compares with is that of the HEAD which its status tells."""
    before = rich.git("rev-parse", "HEAD")
    with gitask.look(rich.root) as asked:
        asked.status.process.wait(30)
        rich.write("lib/a.py", "a = 2\n")
        rich.commit("meanwhile")
        found = gitlook.read(rich.root, rich.path(".git"), asked)

    assert found.status.head == before
    assert found.head_tree == rich.git("rev-parse", f"{before}^{{tree}}")


def test_tracked_files_in_output_folders_stay(ran: Project, tmp_path: Path) -> None:
    """What git tracks in an output folder is in the snapshot, as it is now."""
    kept = ["outputs/x.txt", "runs/a/model.txt", "configured/elsewhere/model.txt"]
    ran.git("add", "-f", *kept)
    ran.git("commit", "-q", "-m", "track outputs")
    ran.write("outputs/x.txt", "edited")
    state = snapshot(ran.root, Scope(folders=(ran.path("configured"),)))
    back = restored(ran, state.commit, tmp_path / "clone")

    assert {os.fsencode(name) for name in kept} <= set(back)
    assert back[b"outputs/x.txt"] == ("file", b"edited")


def test_a_run_in_the_root_leaves_the_code_code(rich: Project) -> None:
    """With the project's root as output folder, the run's own files are no code, others are."""
    for name in (".hydra/config.yaml", "run.lock", "multirun.yaml", "new.py"):
        rich.write(name, "x")

    assert paths(rich, Scope(folders=(rich.root,))) == {"new.py"}


def test_the_snapshot_does_not_depend_on_earlier_runs(ran: Project) -> None:
    """The same code has the same commit before and after a run wrote its outputs."""
    before = snapshot(ran.root, Scope(folders=(ran.path("configured"),))).commit
    ran.write("runs/b/.hydra/config.yaml", "x")
    ran.write("runs/b/model.txt", "x")

    assert snapshot(ran.root, Scope(folders=(ran.path("configured"),))).commit == before


@pytest.mark.parametrize("name", [
    "lib/__pycache__/a.cpython-311.pyc", "__pycache__/x.py", "old.pyc", "old.pyo",
    "lib/__pycache__/deep/x.txt",
])
def test_bytecode_is_no_code(name: str, rich: Project) -> None:
    """Bytecode adds nothing, where git ignores nothing of it either."""
    rich.write(name, "x")
    state = snapshot(rich.root)

    assert (state.commit, state.reasons) == (state.head, ())


@pytest.mark.parametrize("data", ["raw", "raw/a.csv", "raw/deep"])
def test_data_of_the_config_is_no_code(data: str, rich: Project) -> None:
    """An untracked input, file or folder, is recorded as data and not as code."""
    rich.write("raw/a.csv", "1")
    rich.write("raw/deep/b.csv", "2")
    rich.write("new.py", "x")
    inside = {path for path in ("raw/a.csv", "raw/deep/b.csv") if path.startswith(data)}

    assert paths(rich, Scope(data=(rich.path(data),))) == {
        "new.py", "raw/a.csv", "raw/deep/b.csv"
    } - inside


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("raw/*.csv", {"raw/a.csv"}),
        ("raw/**/*.csv", {"raw/a.csv", "raw/deep/b.csv"}),
        ("raw/d*", {"raw/deep/b.csv"}),
        ("../*/raw/a.csv", {"raw/a.csv"}),
        ("*.csv", set()),
    ],
)
def test_a_pattern_takes_what_it_matches(pattern: str, matched: set[str], rich: Project) -> None:
    """Untracked files that an input's pattern matches are data, the others beside them code."""
    files = {"raw/a.csv", "raw/deep/b.csv", "raw/read.py"}
    for name in files:
        rich.write(name, "1")
    scope = Scope(data=(Path(os.path.normpath(rich.root / pattern)),))

    assert paths(rich, scope) == files - matched
    assert {name for name in files if scope.writes(rich.root)(name)} == matched


@pytest.mark.parametrize("outside", ["..", "../other", "/", "."])
def test_data_outside_takes_nothing_away(outside: str, rich: Project) -> None:
    """Data that lies beside, above or around the project leaves all its code."""
    rich.write("new.py", "x")

    assert paths(rich, Scope(data=(rich.root / outside,))) == {"new.py"}


def test_data_with_a_similar_name_is_another(rich: Project) -> None:
    """The folder ``raw`` as data says nothing of ``raw.py`` or ``raw2/``."""
    for name in ("raw/a", "raw.py", "raw2/b", "lib/raw/c"):
        rich.write(name, "x")

    assert paths(rich, Scope(data=(rich.path("raw"),))) == {"raw.py", "raw2/b", "lib/raw/c"}


def test_a_repository_as_data_is_no_code(rich: Project) -> None:
    """A nested repository that the config names as data is not missed in the code."""
    inner = Project(rich.path("raw"), rich.env)
    inner.write("x", "x")
    inner.git("init", "-q")
    inner.commit()
    state = snapshot(rich.root, Scope(data=(inner.root,)))

    assert (state.completeness, state.reasons) == ("exact", ())


def test_a_large_untracked_file_is_named(rich: Project) -> None:
    """An untracked file above the limit is left out, and said so with its size."""
    rich.write("weights.bin", b"")
    os.truncate(rich.path("weights.bin"), 412_000_000)
    rich.write("small.py", "x")
    state = snapshot(rich.root)

    assert state.dirty == ("small.py",)
    assert state.completeness == "partial"
    assert state.reasons == ("untracked weights.bin (412 MB) left out",)


@pytest.mark.parametrize(("size", "taken"), [(10, True), (11, False)])
def test_the_limit_itself_is_taken(size: int, taken: bool, rich: Project) -> None:
    """A file of exactly the limit is code, a byte more is not."""
    rich.write("new.py", "x" * size)

    assert (paths(rich, Scope(size_limit=10)) == {"new.py"}) is taken


def test_a_large_tracked_file_stays(rich: Project) -> None:
    """The limit is for untracked files: what git tracks is in the snapshot."""
    rich.write("lib/a.py", "x" * 100)

    assert snapshot(rich.root, Scope(size_limit=10)).completeness == "exact"


IGNORE = [
    ("*.csv", {"a.csv", "notes/b.csv", "notes/deep/b.csv"}),
    ("b.csv", {"notes/b.csv", "notes/deep/b.csv"}),
    ("notes", {"notes/b.csv", "notes/deep/b.csv", "notes/t.md"}),
    ("notes/", {"notes/b.csv", "notes/deep/b.csv", "notes/t.md"}),
    ("deep", {"notes/deep/b.csv"}),
    ("notes/deep", {"notes/deep/b.csv"}),
    ("notes/*.md", {"notes/t.md"}),
    ("/a.csv", {"a.csv"}),
    ("/b.csv", set()),
    ("note", set()),
    ("*", {"a.csv", "notes/b.csv", "notes/deep/b.csv", "notes/t.md", "new.py"}),
]


@pytest.mark.parametrize(("glob", "left_out"), IGNORE)
def test_globs_leave_untracked_files_out(glob: str, left_out: set[str], rich: Project) -> None:
    """A bare name at any depth, a folder with all in it, a path from the root."""
    everything = {"a.csv", "notes/b.csv", "notes/deep/b.csv", "notes/t.md", "new.py"}
    for name in everything:
        rich.write(name, "x")

    assert paths(rich, Scope(ignore=(glob,))) == everything - left_out


def test_globs_take_no_tracked_file_out(rich: Project) -> None:
    """A glob that matches a tracked file does not hide its edits."""
    edited(rich)

    assert paths(rich, Scope(ignore=("lib/", "*.py"))) == {"lib/a.py"}


def test_a_pipe_is_no_code(rich: Project) -> None:
    """A named pipe in the project does not stop the snapshot, nor is it waited for."""
    os.mkfifo(rich.path("pipe"))
    edited(rich)

    assert paths(rich) == {"lib/a.py"}


# Remotes


@pytest.mark.parametrize(("url", "recorded"), [
    ("https://example.org/team/p.git", "https://example.org/team/p.git"),
    ("https://ada@example.org/p.git", "https://example.org/p.git"),
    ("https://s3cret@example.org/p.git", "https://example.org/p.git"),
    ("https://ada:s3cret@example.org:8443/p.git", "https://example.org:8443/p.git"),
    ("https://oauth2:s3cret@example.org/p.git", "https://example.org/p.git"),
    ("https://:s3cret@example.org/p.git", "https://example.org/p.git"),
    ("ssh://git@example.org/p.git", "ssh://git@example.org/p.git"),
    ("ssh://git:s3cret@example.org:2222/p.git", "ssh://git@example.org:2222/p.git"),
    ("git@example.org:team/p.git", "git@example.org:team/p.git"),
    ("../p.git", "../p.git"),
    ("file:///srv/p.git", "file:///srv/p.git"),
])
def test_the_remote_is_recorded_without_credentials(
    url: str, recorded: str, rich: Project
) -> None:
    """A remote's URL is recorded; the password or token that it carries is not."""
    rich.git("config", "remote.origin.url", url)

    assert snapshot(rich.root).remote == recorded


@pytest.mark.parametrize("url", [
    "https://s3cret:x-oauth-basic@github.com/team/p.git",
    "https://ada:s3cret@[bad/p.git",
    "https://ada:s3cr@t@example.org/p.git",
])
def test_no_credential_of_an_odd_url_is_recorded(url: str, rich: Project) -> None:
    """A URL of an unusual form gives nothing of its credentials away, and no failure."""
    rich.git("config", "remote.origin.url", url)
    recorded = snapshot(rich.root).remote or ""

    assert "s3cr" not in recorded
    assert "t@example" not in recorded


def test_the_remote_of_the_branch_is_recorded(rich: Project) -> None:
    """Of several remotes the one that the branch follows counts, then origin."""
    for name in ("origin", "fork"):
        rich.git("remote", "add", name, f"https://example.org/{name}.git")
    rich.git("config", "branch.main.remote", "fork")
    on_main = snapshot(rich.root).remote
    rich.git("checkout", "-q", "-b", "other")

    assert (on_main, snapshot(rich.root).remote) == (
        "https://example.org/fork.git", "https://example.org/origin.git"
    )


def test_no_remote_is_none(rich: Project) -> None:
    """A repository without a remote records none."""
    assert snapshot(rich.root).remote is None
