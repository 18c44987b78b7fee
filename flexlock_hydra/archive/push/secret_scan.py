"""Secrets in what a push would make public: files of commits, locks, Hydra's own files."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from pathlib import PurePosixPath

import yaml

from flexlock_hydra.archive.tag.payload import Payload
from flexlock_hydra.capture.secrets.leaks import LARGEST, Leak, find_secrets
from flexlock_hydra.capture.secrets.masker import Masker
from flexlock_hydra.errors import PushError
from flexlock_hydra.ports.git.remote import new_blobs
from flexlock_hydra.ports.git.repo import GitRepo, TreeEntry
from flexlock_hydra.record.wording import lines_of

_MOST_NAMED = 10  # leaks that an error names; it counts the rest


def in_commits(
    repo: GitRepo, commits: Iterable[str], known: Iterable[str]
) -> tuple[list[Leak], set[str]]:
    """The leaks of files that commits bring to who knows other objects, and their blobs."""
    names = dict(new_blobs(repo.root, commits, known))
    return _in_blobs(repo, names), set(names)


def in_tree(repo: GitRepo, tree: Mapping[str, TreeEntry], without: set[str]) -> list[Leak]:
    """The leaks of a commit's files, some blobs left out."""
    files = {e.oid: path for path, e in tree.items() if e.mode.startswith("100")}
    return _in_blobs(repo, {oid: path for oid, path in files.items() if oid not in without})


def in_locks(locks: Mapping[str, bytes]) -> list[Leak]:
    """The leaks of locks; what was masked when they were written is none."""
    return [leak for path, content in sorted(locks.items()) for leak in find_secrets(path, content)]


def in_hydras_files(payload: Payload, sent: Container[str]) -> list[str]:
    """Hydra's own files among the outputs that were sent and show what looks like a secret."""
    found = []
    for piece in payload.plan.pieces:
        for rel, file in piece.digest.files.items():
            is_hydras = rel.endswith(".yaml") and PurePosixPath(rel).parent.name == ".hydra"
            if is_hydras and file.md5 in sent:
                plain = yaml.load(piece.source_of(rel).read_bytes(), Loader=_AnyTag)
                if Masker().learn(plain).mask(plain) != plain:
                    found.append(
                        f"{piece.path}/{rel} of {piece.run} shows what looks like a secret "
                        "and travels as it is; --no-outputs leaves it here"
                    )
    return found


def refuse(leaks: Iterable[Leak], allowed: Iterable[str]) -> None:
    """Stop where there are leaks in files that are not allowed to have them.

    Raises:
        PushError: there are; each is named.
    """
    passed = {str(PurePosixPath(path)) for path in allowed}
    stopping = [leak for leak in leaks if leak.path not in passed]
    if stopping:
        raise PushError(
            f"what looks like a secret would be pushed:\n{lines_of(stopping, _MOST_NAMED)}",
            hint="Take it out, or put its file into .gitignore, and run the job again; a tag "
            f"cannot be taken back. If it is none: --allow-secret {stopping[0].path}",
        )


def _in_blobs(repo: GitRepo, names: Mapping[str, str]) -> list[Leak]:
    blobs = repo.read_blobs([*names], largest=LARGEST)
    return sorted({leak for oid, text in blobs for leak in find_secrets(names[oid], text)}, key=str)


class _AnyTag(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads Hydra's files whatever objects their tags name: those come out as None."""


_AnyTag.add_constructor(None, lambda loader, node: None)
