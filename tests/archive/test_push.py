"""What a push sends, in which form, and what stops it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Project, contents, read_lock
from tests.support.recorded import damaged, manifest, objects, push, tree
from tests.support.secret_corpus import GITHUB, OPENSSH_KEY


def remote_tags(project: Project) -> list[str]:
    """The tags that the git remote has."""
    lines = project.git("ls-remote", "--tags", "origin").splitlines()
    return [line.split("refs/tags/")[1] for line in lines if not line.endswith("^{}")]


def test_all_code_is_reachable_from_the_tag(recorded: Project, tmp_path: Path) -> None:
    """One clone of the tag holds the snapshots of the run and of its predecessors."""
    tag = push(recorded)["tag"]
    clone = tmp_path / "clone"
    recorded.git("clone", "-q", "--branch", tag, "--single-branch", "origin.git", "clone",
                 cwd=tmp_path)
    locks = [read_lock(recorded.path(f"outputs/{name}/run.lock")) for name in ("a", "pre")]
    commits = [lock["repos"]["main"]["commit"] for lock in locks]
    parents = recorded.git("rev-list", "--parents", "-n", "1", tag, cwd=clone).split()[1:]
    assert parents[:2] == commits
    assert "# edited" in recorded.git("show", f"{commits[0]}:app.py", cwd=clone)
    assert recorded.git("show", f"{commits[0]}:new.py", cwd=clone) == "x = 1"
    assert recorded.git("log", "--format=%s", "-n", "1", f"{commits[0]}^", cwd=clone) == "first"


def test_the_manifest_names_code_and_data(recorded: Project, tmp_path: Path) -> None:
    """The tag's message and the data remote hold one manifest, with ids, sizes and counts."""
    tag = push(recorded)["tag"]
    said = manifest(recorded, tag)
    assert said == json.loads((tmp_path / f"store/runs/{tag}/manifest.json").read_text())
    lock, before = (read_lock(recorded.path(f"outputs/{n}/run.lock")) for n in ("a", "pre"))
    assert said["format"] == 1 and said["tag"] == tag and said["run"] == lock["run"]["id"]
    assert said["predecessors"] == [before["run"]["id"]]
    assert said["code"] == lock["repos"]["main"]["commit"]
    named = {(each["run"], each["name"]): each for each in said["data"]}
    table = named[lock["run"]["id"], "table"]
    assert (table["md5"], table["size"]) == (lock["data"]["table"]["hash"]["md5"], 8)
    outputs = named[before["run"]["id"], "outputs"]
    assert (outputs["md5"], outputs["nfiles"]) == (before["outputs"]["hash"]["md5"], 6)
    assert said["objects"] == len(objects(tmp_path / "store"))
    assert not damaged(tmp_path / "store")
    who = json.loads((tmp_path / f"store/runs/{tag}/pushed.json").read_text())
    assert who["by"] == "Ada <ada@example.org>"


def test_modes_links_and_empty_folders_come_back(recorded: Project, tmp_path: Path) -> None:
    """Of data and outputs, of the run and of its predecessor: what DVC's ids do not hold."""
    tag = push(recorded)["tag"]
    recorded.flexlock("pull", tag, "--from", "origin.git", "--into", "x", cwd=tmp_path)
    for folder in ("data", "outputs/a", "outputs/pre"):
        there, back = tree(recorded.path(folder)), tree(tmp_path / "x" / folder)
        assert {**back, "app.log": 0} == {**there, "app.log": 0}
    assert tree(tmp_path / "x/data/set")["link"] == "-> sub/x.bin"
    assert tree(tmp_path / "x/data/set")["empty/inner"] == "empty"


def test_the_same_tag_object_on_any_machine(recorded: Project, tmp_path: Path) -> None:
    """Who restored a run and pushes it again makes the very same tag, and sends nothing."""
    first = push(recorded)
    oid = recorded.git("rev-parse", f"refs/tags/{first['tag']}")
    recorded.flexlock("pull", first["tag"], "--from", "origin.git", "--into", "x", cwd=tmp_path)
    recorded.write("../home/.config/git/ignore", "*.dvc\n.flexlock\n")
    recorded.git("tag", "-d", first["tag"], cwd=tmp_path / "x")
    recorded.git("push", "-q", "--delete", "origin", first["tag"])
    done = recorded.flexlock("push", "outputs/a", "--json", cwd=tmp_path / "x").json
    assert (done["tag"], done["commit"], done["sent_objects"]) == (
        first["tag"], first["commit"], 0
    )
    assert recorded.git("rev-parse", f"refs/tags/{first['tag']}", cwd=tmp_path / "x") == oid
    assert recorded.git("ls-remote", "origin", f"refs/tags/{first['tag']}").split()[0] == oid


def test_layout_of_a_store_for_each_tag(recorded: Project, tmp_path: Path) -> None:
    """``--layout tag``: a store below the tag's name, which plain DVC reads and rm deletes."""
    tag = push(recorded, "--layout", "tag")["tag"]
    assert not (tmp_path / "store/files").exists()
    assert len(objects(tmp_path / "store" / tag)) == manifest(recorded, tag)["objects"]
    assert (tmp_path / f"store/runs/{tag}/manifest.json").exists()
    recorded.git("clone", "-q", "--branch", tag, "origin.git", "plain", cwd=tmp_path)
    recorded.dvc("pull", cwd=tmp_path / "plain")
    recorded.flexlock("pull", tag, "--from", "origin.git", "--into", "x", cwd=tmp_path)
    for restored in ("plain", "x"):
        assert (tmp_path / restored / "outputs/a/model.txt").read_text() == "a,b\n1,2\n lr=0.2"
    assert recorded.flexlock("verify", tag, "--remote", "--full").code == 0
    recorded.flexlock("rm", tag, "--yes")
    assert not objects(tmp_path / "store" / tag) and not remote_tags(recorded)


def test_a_branch_of_the_tags_name(recorded: Project, tmp_path: Path) -> None:
    """``--branch``: here and there, where the tag is: a clone of either can be restored."""
    done = push(recorded, "--branch")
    for where in (".", "origin"):
        ref = recorded.git("ls-remote", where, f"refs/heads/{done['tag']}")
        assert ref.split()[0] == done["commit"]
    recorded.git("clone", "-q", "--branch", done["tag"], "origin.git", "plain", cwd=tmp_path)
    recorded.dvc("pull", cwd=tmp_path / "plain")
    assert (tmp_path / "plain/data/table.csv").read_text() == "a,b\n1,2\n"


def test_dry_run_writes_nothing(recorded: Project, tmp_path: Path) -> None:
    """``--dry-run`` says what a push would send, and neither remote hears of it."""
    would = push(recorded, "--dry-run")
    assert not (tmp_path / "store").exists()
    assert not remote_tags(recorded) and not recorded.git("tag")
    done = push(recorded)
    assert (would["sent_objects"], would["sent_bytes"]) == (
        done["sent_objects"], done["sent_bytes"]
    )
    assert would["commit"] == "" and would["tag"] == done["tag"]


def test_a_second_push_with_other_content_is_refused(recorded: Project) -> None:
    """A tag that is there is not replaced; what to do is said."""
    push(recorded, "--no-outputs")
    done = recorded.flexlock("push", "outputs/a", check=False)
    assert done.code == 2 and "with other content" in done.err and "flexlock-hydra rm" in done.err


# Secrets

SECRETS = {
    "a token in a new module": ("keys.py", f"TOKEN = '{GITHUB}'\n", "keys.py:1: GitHub"),
    "a .env file": (".env", "DEBUG=1\nAPI_KEY=4f9d8a7c6b5e\n", ".env:2: API_KEY = ***"),
    "a config group": (
        "conf/secrets.yaml", "db:\n  password: s3cr3t-pw\n", "conf/secrets.yaml:2: password = ***"
    ),
    "a private key": ("id_ed25519", f"{OPENSSH_KEY}\n", "id_ed25519:1: private key"),
}


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_in_the_code_stops_the_push(recorded: Project, tmp_path: Path, kind: str) -> None:
    """File, line and kind are said, no more of the secret; nothing is sent or tagged."""
    name, content, named = SECRETS[kind]
    recorded.write(name, content)
    recorded.app("hydra.run.dir=outputs/s")
    done = recorded.flexlock("push", "outputs/s", check=False)
    assert done.code == 2 and named in done.err and f"--allow-secret {name}" in done.err
    assert not any(line.split("=")[-1].strip(" '") in done.err for line in content.splitlines()[1:])
    assert GITHUB not in done.err and not remote_tags(recorded)
    assert not (tmp_path / "store").exists()
    assert recorded.flexlock("push", "outputs/s", "--allow-secret", name).code == 0


def test_a_secret_in_a_lock_stops_the_push(recorded: Project) -> None:
    """A lock that somebody wrote a token into is as public as code."""
    path = recorded.path("outputs/a/run.lock")
    path.write_text(path.read_text().replace("warnings: []", f"warnings: ['{GITHUB}']"))
    done = recorded.flexlock("push", "outputs/a", check=False)
    assert done.code == 2 and "outputs/a/run.lock:" in done.err and GITHUB not in done.err


def test_a_secret_that_the_git_remote_has_only_warns(recorded: Project) -> None:
    """What is public already cannot be kept back; it is said."""
    recorded.write("keys.py", f"TOKEN = '{GITHUB}'\n")
    recorded.commit("oops")
    recorded.git("push", "-q", "origin", "main")
    recorded.app("hydra.run.dir=outputs/s")
    done = recorded.flexlock("push", "outputs/s")
    assert "keys.py:1: GitHub" in done.err and "has it already" in done.err
    assert len(remote_tags(recorded)) == 1


def test_what_only_looks_like_a_secret_does_not_stop_a_push(recorded: Project) -> None:
    """Placeholders, interpolations, settings about keys, documentation."""
    recorded.write(
        "conf/db.yaml",
        "password: ${oc.env:DB_PASSWORD}\napi_key: your-key-here1\ntoken: null\n"
        "pad_token: '[PAD]'\nmax_tokens: 4096\nkey_file: /etc/keys/1.pem\nsecret: changeme123\n",
    )
    recorded.write("README.md", "export AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE\n")
    recorded.write("x.py", 'MARK = "-----BEGIN RSA PRIVATE KEY-----"\npassword = get("x1y2z3w4")\n')
    recorded.app("hydra.run.dir=outputs/s")
    assert recorded.flexlock("push", "outputs/s").code == 0


# Drill, repair, signatures


def test_a_drill_counts_what_it_restored(recorded: Project) -> None:
    """``--drill`` compares code, data and locks, and leaves no ref of its own behind."""
    done = push(recorded, "--drill")
    recorded.flexlock("pull", done["tag"], "--from", "../origin.git", "--into", "../x")
    files = [each for each in contents(recorded.root.with_name("x")) if each != ".gitignore"]
    assert done["drilled"] == len(files)
    assert "drill" not in recorded.git("ls-remote", "origin")


def test_a_failed_drill_tags_nothing(recorded: Project, tmp_path: Path) -> None:
    """A damaged object on the remote is named by the file that needs it; --repair mends it."""
    push(recorded)
    recorded.git("push", "-q", "--delete", "origin", *remote_tags(recorded))
    victim = objects(tmp_path / "store")[
        read_lock(recorded.path("outputs/a/run.lock"))["data"]["table"]["hash"]["md5"]
    ]
    victim.chmod(0o644)
    victim.write_bytes(b"a,b\n1,3\n")
    done = recorded.flexlock("push", "outputs/a", "--drill", check=False)
    assert done.code == 2 and "data/table.csv" in done.err and "--repair" in done.err
    assert not remote_tags(recorded) and "drill" not in recorded.git("ls-remote", "origin")
    mended = push(recorded, "--drill", "--repair")
    assert mended["sent_objects"] == 1 and not damaged(tmp_path / "store")


def sign_with_ssh(project: Project) -> None:
    """Give git an ssh key of its own."""
    project.call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", project.env["HOME"] + "/key")
    project.git("config", "gpg.format", "ssh")
    project.git("config", "user.signingkey", project.env["HOME"] + "/key.pub")
    public = Path(project.env["HOME"], "key.pub").read_text()
    signers = project.write("../home/signers", f"ada@example.org {public}")
    project.git("config", "gpg.ssh.allowedSignersFile", str(signers))


def sign_with_gpg(project: Project) -> None:
    """Give git a gpg key of its own."""
    project.call(
        "gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key",
        "Ada <ada@example.org>", "default", "default", "never",
    )


@pytest.mark.parametrize("sign_with", [
    pytest.param(sign_with_ssh, marks=pytest.mark.needs("ssh-keygen")),
    pytest.param(sign_with_gpg, marks=pytest.mark.needs("gpg", "gpgconf")),
])
def test_a_signed_tag(recorded: Project, sign_with: Callable[[Project], None]) -> None:
    """Git verifies it, its manifest is read as ever, and a second push keeps it."""
    sign_with(recorded)
    tag = push(recorded, "--sign")["tag"]
    oid = recorded.git("rev-parse", f"refs/tags/{tag}")
    recorded.git("verify-tag", tag)
    assert push(recorded)["sent_objects"] == 0
    assert recorded.git("ls-remote", "origin", f"refs/tags/{tag}").split()[0] == oid
    recorded.flexlock("pull", tag, "--from", "../origin.git", "--into", "../x")


def test_signing_without_a_key_is_refused(recorded: Project) -> None:
    """No tag at all rather than one without the signature that was asked for."""
    recorded.git("config", "user.signingkey", "nobody@example.org")
    done = recorded.flexlock("push", "outputs/a", "--sign", check=False)
    assert done.code == 2 and "cannot be signed" in done.err and "user.signingkey" in done.err
    assert not remote_tags(recorded) and not recorded.git("tag")


# Sweeps, and pushes from the config


@pytest.mark.hydra
def test_a_sweep_is_one_tag(recorded: Project, tmp_path: Path) -> None:
    """All jobs, their outputs and the sweep's lock hang on it; each job runs again alone."""
    recorded.app("-m", "lr=1,2", "hydra.sweep.dir=multirun/s")
    recorded.write("multirun/s/optimization_results.yaml", "name: optuna\n")
    pushed = push(recorded, "--drill", run="multirun/s")
    assert ("files of the sweep's own folder do not travel: optimization_results.yaml"
            in pushed["warnings"])
    tag = pushed["tag"]
    sweep = recorded.path("multirun/s/sweep.lock").read_text()
    jobs = [read_lock(recorded.path(f"multirun/s/{n}/run.lock"))["run"]["id"] for n in (0, 1)]
    assert manifest(recorded, tag)["jobs"] == sorted(jobs)
    shutil.rmtree(recorded.root)
    recorded.root = tmp_path
    recorded.flexlock("pull", tag, "--from", "origin.git", "--into", "x")
    assert (tmp_path / "x/multirun/s/sweep.lock").read_text() == sweep
    again = recorded.flexlock("rerun", "multirun/s/1", "--json", cwd=tmp_path / "x").json
    assert again["verdict"] == "identical"


@pytest.mark.hydra
def test_each_job_of_a_sweep_gets_a_tag(recorded: Project) -> None:
    """``--each``: a list of pushes, a tag a job; of a run it makes no sense."""
    recorded.app("-m", "lr=1,2", "hydra.sweep.dir=multirun/s")
    done = recorded.flexlock("push", "multirun/s", "--each", "--json").json
    assert sorted(each["tag"] for each in done) == remote_tags(recorded)
    assert len(done) == 2
    assert "--each is for sweeps" in recorded.flexlock("push", "outputs/a", "--each",
                                                       check=False).err


@pytest.mark.hydra
def test_a_job_pushes_itself_at_its_end(recorded: Project, tmp_path: Path) -> None:
    """``hydra.callbacks.flexlock.push=true``: the tag is out when the app has ended."""
    done = recorded.app("hydra.run.dir=outputs/p", "hydra.callbacks.flexlock.push=true")
    assert done.out == "" and done.err == ""
    lock = recorded.lock()
    (tag,) = remote_tags(recorded)
    assert tag.endswith(lock["run"]["id"]) and lock["warnings"] == []
    assert (tmp_path / f"store/runs/{tag}/manifest.json").exists()
    assert push(recorded, run="outputs/p")["sent_objects"] == 0


@pytest.mark.hydra
@pytest.mark.parametrize(
    "words", [["hydra.run.dir=outputs/p"], ["-m", "hydra.sweep.dir=multirun/p"]]
)
def test_a_push_that_fails_fails_no_job(recorded: Project, words: list[str]) -> None:
    """What went wrong is on the log and in the lock; the exit code is the job's."""
    recorded.env["FLEXLOCK_REMOTE"] = "/proc/nowhere"
    done = recorded.app(*words, "hydra.callbacks.flexlock.push=true")
    assert "not pushed: cannot write to the data remote /proc/nowhere" in done.out + done.err
    (said,) = recorded.lock()["warnings"]
    assert said.startswith("not pushed: cannot write") and recorded.lock()["run"]["status"] == (
        "completed"
    )
    assert not remote_tags(recorded)
    log = recorded.newest().with_name("app.log").read_text()
    assert "not pushed" in log


@pytest.mark.hydra
def test_each_job_of_a_sweep_pushes_itself(recorded: Project) -> None:
    """Two processes of a launcher that push at once get both tags out."""
    recorded.app(
        "-m", "lr=1,2", "hydra.sweep.dir=multirun/p", "hydra/launcher=joblib",
        "hydra.callbacks.flexlock.push=true",
    )
    assert len(remote_tags(recorded)) == 2
    assert all(read_lock(path)["warnings"] == [] for path in recorded.locks()[-2:])


def test_a_callback_that_writes_after_the_hash(project: Project, origin: Path, store: Path) -> None:
    """The refusal names the file, and how the callbacks are to be listed; then it is pushed."""
    project.write("mine.py", (
        "from pathlib import Path\n"
        "class Writes:\n"
        "    def on_job_end(self, config, job_return, **kwargs):\n"
        "        Path(config.hydra.runtime.output_dir, 'late.txt').write_text('x')\n"
    ))
    project.write("conf/hydra/callbacks/mine.yaml", "mine:\n  _target_: mine.Writes\n")
    project.commit("a callback")
    for order, fine in (("mine,flexlock", False), ("flexlock,mine", True)):
        folder = f"multirun/{order[0]}"
        project.app("-m", "lr=1", f"hydra/callbacks=[{order}]", f"hydra.sweep.dir={folder}")
        done = project.flexlock("push", folder, "--remote", store, check=False)
        assert done.code == (0 if fine else 2)
        if not fine:
            assert "written since: late.txt\n" in done.err
            assert "hydra/callbacks=[flexlock,other]" in done.err


def test_a_url_of_no_known_kind(recorded: Project) -> None:
    """It is said to be none, with those that there are."""
    done = recorded.flexlock("push", "outputs/a", "--remote", "s9:///x", check=False)
    assert done.code == 2 and "there is no kind of data remote s9://\n  Give a folder" in done.err
