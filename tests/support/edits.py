"""What can be done to a working tree, each on the tree of the ``rich`` fixture."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Project

Edit = Callable[[Project], object]


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
