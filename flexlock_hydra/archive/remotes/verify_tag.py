"""Whether the remotes have all that a tag needs, as it was pushed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flexlock_hydra.archive.remotes.choose import with_settings
from flexlock_hydra.archive.remotes.project import Remotes, parse_json, read_tag
from flexlock_hydra.archive.runs.check import Check
from flexlock_hydra.archive.tag.listings import MISSING, TagContents, damaged, read_contents
from flexlock_hydra.archive.tag.read_tag import Tagged
from flexlock_hydra.ports.store.open_store import open_store
from flexlock_hydra.record import layout
from flexlock_hydra.record.relative_path import is_under

Progress = Callable[[int, int], None]


def verify_tag(
    remotes: Remotes,
    tag: str,
    *,
    share: float = 0.0,
    progress: Progress = lambda done, total: None,
) -> list[Check]:
    """Ask the remotes for all that a tag needs; a check for each thing that is missing or wrong.

    Args:
        share: how much of the data is read back and hashed, from 0 to 1.

    Raises:
        RunNotFoundError: no such tag. RemoteError, GitError: out of reach.
    """
    with read_tag(remotes, tag) as tagged:
        store = open_store(with_settings(tagged.remote, remotes.repo))
        store.require()
        checks = [Check("tag", True), _manifest_check(remotes, tagged)]
        contents = read_contents(tagged, store)
        checks += [Check(path, False, why) for path, why in sorted(contents.lost.items())]
        present = store.sizes(sorted(contents.oids))
        wrong = dict.fromkeys(contents.oids - set(present), MISSING)
        # Sizes are known without reading: where they do not add up, bytes are looked at anyway.
        wrong |= damaged(store, _suspicious(tagged, contents, present))
        if share:
            wrong |= damaged(store, set(present) - set(wrong), share, progress)
        names = contents.paths(wrong)
        checks += [
            Check(path, False, why)
            for oid, why in wrong.items()
            for path in names[oid]
            if path not in contents.lost
        ]
        fine = all(check.ok for check in checks)
        name = f"{len(contents.oids)} objects on {store.spec.public_url}"
        return [*checks, Check(name, fine, "" if fine else "not all are there as they were pushed")]


def _suspicious(tagged: Tagged, contents: TagContents, present: Mapping[str, int]) -> set[str]:
    """The objects of outs that together have not the bytes that the tag says."""
    found: set[str] = set()
    for out in tagged.outs:
        below = [oid for path, oid in contents.files.items() if is_under(path, out.path)]
        if sum(present.get(oid, 0) for oid in below) != out.size:
            found |= set(below)
    return found & set(present)


def _manifest_check(remotes: Remotes, tagged: Tagged) -> Check:
    content = remotes.store.read_file(layout.manifest_path(tagged.name))
    where = remotes.store.spec.public_url
    if content is None:
        return Check("manifest", False, f"there is none on {where}")
    same = parse_json(content) == tagged.manifest
    return Check("manifest", same, "" if same else f"the one on {where} is not that of the tag")
