"""Projects on their way to hosts that have never seen them: what arrives, where, and what happens the second time."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.transfer import LITTLE
from mlxlaunch_ansible import run_job
from tests.integration.cluster import PATIENCE, Done, in_time, read_until
from tests.integration.deploying import ROOT, TELL, Site, brought, rows, staging, tree, where
from tests.lab import Host

# Says that it is up, waits, and says what it reads beside it.
WAITING = """
import os, sys
print("up", flush=True)
open({gate!r}, "rb", 0).read(1)
print(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "data.txt")).read(), flush=True)
"""


def lines(done: Done) -> list[list[str]]:
    """What the ranks of TELL said, by rank."""
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.split(" ") for line in sorted(done.stdout.splitlines())]


# -- from a script here to ranks there


def test_a_script_that_no_host_has_seen_runs_on_all_at_one_path(site: Site) -> None:
    script = site.file("train.py")
    done = site.run(script, "--lr", "1e-3", "--", "-x", hosts=4)
    told = lines(done)
    assert [words[0] for words in told] == ["0", "1", "2", "3"]
    assert {tuple(words[3:]) for words in told} == {("--lr", "1e-3", "--", "-x")}
    (path,) = {words[2] for words in told}
    assert Path(path).parent.parent == Path(ROOT, "projects/train")
    assert {words[1] for words in told} == {str(site.here)}, "a script alone runs where it is launched, if that is there"
    assert brought(done) == 4
    for host in site.hosts:
        assert tree(host.path(path).parent) == {b"train.py": ("-rw-r--r--", TELL.encode())}
        assert staging(host) == []


def test_the_second_time_nothing_is_sent(site: Site) -> None:
    script = site.file("train.py")
    first = site.run(script)
    env = site.program("rsync", "echo rsync was called >&2; exit 1\n")
    second = site.run(script, env=env)
    assert lines(second) == lines(first)
    assert brought(second) == 0
    third = site.sync(script, env=env)
    assert where(third) == {"script": lines(first)[0][2], "project": str(Path(lines(first)[0][2]).parent)}
    assert "nothing to do: all hosts have it" in third.stderr


def test_run_job_brings_the_script_and_says_where(site: Site) -> None:
    site.file("train.py")
    inventory = site.inventory(2)
    with site.cluster.lab.enter():
        events = []
        result = run_job(str(inventory), "train.py", on_event=events.append)
        assert result.returncode == 0, result
        deployed = [event for event in events if event.event == "host_deployed"]
        assert sorted(str(event.host) for event in deployed) == ["node1", "node2"]
        unsynced = run_job(str(inventory), "train.py", sync=False)
    assert unsynced.returncode == 3
    assert str(site.here / "train.py") in str(unsynced.problems)


def test_without_sync_a_script_is_looked_for_where_it_is_here(site: Site) -> None:
    script = site.file("train.py")
    done = site.run("--no-sync", script)
    assert done.returncode == 3
    assert str(script) in done.stderr
    done = site.playbook("launch.yml", inventory=site.inventory(2, mlx_sync=False), script=str(script))
    assert done.returncode != 0
    assert f"{script} " in done.stdout + done.stderr
    assert [site.versions(host, "train") for host in site.hosts[:2]] == [[], []]


def test_a_playbook_brings_the_script_and_runs_it(site: Site) -> None:
    done = site.playbook("launch.yml", script=str(site.file("train.py")))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(f" {ROOT}/projects/train/") == 2


# -- what belongs to a project, and how it arrives


def make_project(site: Site) -> Path:
    """Make a directory with all that is difficult."""
    site.file("llm/train.py", mode=0o755)
    site.file("llm/.gitignore", "*.log\n/secret\n")
    for name in (
        "a b.txt",
        "$HOME `id`.txt",
        'it\'s "q".txt',
        "-rf",
        "two\nlines.txt",
        "zwölf 日本.txt",
        "pkg/mod.py",
        "*.txt",
        "back\\slash",
    ):
        site.file(f"llm/{name}", f"this is {name}")
    site.file("llm/private.txt", "x", 0o600)
    site.file("llm/readonly.txt", "x", 0o444)
    (site.here / "llm/empty/inside").mkdir(parents=True)
    (site.here / "llm/empty").chmod(0o700)
    (site.here / "llm/link").symlink_to("pkg/mod.py")
    (site.here / "llm/pkg/up").symlink_to("../a b.txt")
    return site.here / "llm"


def add_what_stays(project: Path) -> None:
    for name in ("train.log", "secret/key", "data/big.bin", ".git/config", "__pycache__/x.pyc", "venv/pyvenv.cfg", "pkg/y.log"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text("stays here")


@pytest.fixture
def without_rsync(site: Site) -> Host:
    """Take rsync from node2 until the end of the test."""
    host = site.hosts[1]
    place = host.path("/usr/bin/rsync")
    place.rename(place.with_name("rsync.away"))
    yield host
    place.with_name("rsync.away").rename(place)


@pytest.mark.parametrize("size", [1, LITTLE], ids=["with the call", "by rsync and by tar"])
def test_a_project_arrives_as_it_is(site: Site, without_rsync: Host, size: int) -> None:
    project = make_project(site)
    site.file("llm/weights", os.urandom(size))
    wanted = tree(project)
    add_what_stays(project)
    done = site.sync("--project-dir", project, "--exclude", "data/", project / "train.py", hosts=2)
    arrived = where(done)
    for host in site.hosts[:2]:
        assert tree(host.path(arrived["project"])) == wanted, host
        assert (host.path(arrived["project"]).stat().st_mode & 0o777, host.path(arrived["project"]).stat().st_uid) == (0o700, 0)
    # A change: one file becomes shorter, one goes, one comes.
    (project / "a b.txt").write_text("")
    (project / "-rf").unlink()
    (project / "pkg/new.py").write_text("new")
    done = site.sync("--project-dir", project, "--exclude", "data/", project / "train.py", hosts=2)
    assert where(done)["project"] != arrived["project"]
    for host in site.hosts[:2]:
        there = tree(host.path(where(done)["project"]))
        assert (there[b"a b.txt"][1], there[b"pkg/new.py"][1], b"-rf" in there) == (b"", b"new", False)
        assert tree(host.path(arrived["project"])) == wanted, "the earlier version was touched"


def test_ranks_start_in_the_project_with_the_script_below_it(site: Site) -> None:
    site.file("llm/src/train.py")
    site.file("llm/README", "x")
    told = lines(site.run("--project-dir", site.here / "llm", site.here / "llm/src/train.py"))
    (folder,) = {words[1] for words in told}
    assert Path(folder).parent == Path(ROOT, "projects/llm")
    assert {words[2] for words in told} == {f"{folder}/src/train.py"}


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "pkg/../../outside"])
def test_a_link_that_leads_out_of_the_project_is_refused(site: Site, target: str) -> None:
    site.file("llm/train.py")
    site.file("llm/pkg/mod.py")
    site.file("outside")
    (site.here / "llm/link").symlink_to(target)
    done = site.sync("--project-dir", site.here / "llm", site.here / "llm/train.py")
    assert done.returncode == 2
    assert str(site.here / "llm/link") in done.stderr
    assert target in done.stderr
    assert site.versions(site.hosts[0], "llm") == []


# -- no shell interprets a name


def test_no_shell_interprets_what_things_are_called(site: Site) -> None:
    evil = "t r'a\"i$(touch pwned);&|*\n.py"
    much = "#" * LITTLE  # so that rsync has to bring it
    script = site.file(f"di r'$(touch pwned)/{evil}", TELL.replace("print(", "print(repr(__file__), ") + much)
    root = "/srv/deploy/a b'c\"$HOME;*(x)"
    inventory = site.inventory(2, mlx_root=root)
    done = site.sync("-i", inventory, "--project-dir", script.parent, "--root", root, script)
    assert done.returncode == 0, done.stderr
    for host in site.hosts[:2]:
        (folder,) = [path for path in host.path(f"{root}/projects").glob("*/*") if not path.name.startswith(".")]
        assert tree(folder) == {os.fsencode(evil): ("-rw-r--r--", script.read_bytes())}
        assert not list(host.path("/srv/deploy").rglob("pwned"))
        assert not host.path("/root/pwned").exists()
    assert not list(site.here.rglob("pwned"))
    ran = site.cluster.mlxlaunch("-i", inventory, "--project-dir", script.parent, "--root", root, script)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count(repr(evil)[1:-1]) == 2


def test_what_rsync_is_given_can_be_read_by_nobody_else(site: Site) -> None:
    look = "stat -c '%a %n' . * >> \"$LOOKED\"\n"
    env = site.program("rsync", f'{look}exec {shlex.quote(subprocess.check_output(["which", "rsync"], text=True).strip())} "$@"\n')
    done = site.sync(site.file("train.py", "#" * LITTLE + "#"), env=env | {"LOOKED": str(site.here / "looked")}, hosts=1)
    assert done.returncode == 0, done.stderr
    looked = dict(reversed(line.split(" ")) for line in (site.here / "looked").read_text().splitlines())
    assert looked == {".": "700", "rsh": "600", "excluded": "600"}


# -- versions


def test_a_job_keeps_its_version_whatever_is_deployed_meanwhile(site: Site) -> None:
    with site.cluster.gate(site.hosts[0], "gate") as gate:
        script = site.file("llm/train.py", WAITING.format(gate=gate.path))
        data = site.file("llm/data.txt", "one")
        words = ["--project-dir", script.parent, "--keep", "0"]
        argv = [sys.executable, "-m", "mlxlaunch_ansible", "run", "-i", site.inventory(1), *words, script]
        with site.cluster.started(argv) as job:
            read_until(job.stdout.fileno(), b"up")
            (first,) = site.versions(site.hosts[0], "llm")
            for text in ("two", "three"):
                data.write_text(text)
                last = where(site.sync(*words, script, hosts=1))["project"]
            assert site.versions(site.hosts[0], "llm") == sorted([first, Path(last).name])
            gate.open()
            assert b"one" in read_until(job.stdout.fileno(), b"one")
            assert job.wait(PATIENCE) == 0
    data.write_text("four")
    last = where(site.sync(*words, script, hosts=1))["project"]
    assert site.versions(site.hosts[0], "llm") == [Path(last).name]


def test_as_many_earlier_versions_stay_as_asked_for(site: Site) -> None:
    script = site.file("train.py")
    names = []
    for number in range(3):
        script.write_text(f"{TELL}# {number}\n")
        names.append(Path(where(site.sync(script, "--keep", "1", hosts=1))["project"]).name)
    assert site.versions(site.hosts[0], "train") == sorted(names[1:])


def test_a_version_edited_by_hand_is_noticed_made_again_and_kept(site: Site) -> None:
    script = site.file("train.py")
    project = where(site.sync(script))["project"]
    edited = site.hosts[1].path(project) / "train.py"
    edited.chmod(0o644)
    edited.write_text("print('edited')")
    done = site.sync(script)
    assert where(done)["project"] == project
    assert f"node2: {project} was edited by hand (train.py)" in done.stderr
    assert brought(done) == 1
    assert edited.read_text() == TELL
    (aside,) = edited.parent.parent.glob(f"{Path(project).name}.edited-*")
    assert (aside / "train.py").read_text() == "print('edited')"


def test_unreachable_host_is_named_and_nothing_is_sent(site: Site) -> None:
    inventory = site.cluster.inventory({"node1": {}, "node9": {"ansible_host": "198.18.0.99"}})
    script = site.file("train.py")
    done, _limit = in_time(
        lambda limit: site.sync("-i", inventory, "--connect-timeout", limit, script), lambda done: list(rows(done)) == ["node9"]
    )
    assert done.returncode == 3
    assert list(rows(done)) == ["node9"]
    assert site.versions(site.hosts[0], "train") == []


NOTING = """import pathlib
notes = pathlib.Path(__file__).with_name("notes.csv")
with notes.open("a") as file:
    file.write("ran\\n")
print(notes.read_text().count("ran"), flush=True)
"""


def test_job_that_writes_in_its_project_changes_no_other_version(site: Site) -> None:
    """And what it has written is told as long as it stays."""
    script, host = site.file("llm/train.py", NOTING), site.hosts[0]
    site.file("llm/notes.csv", "")
    words = ["--project-dir", script.parent, "--keep", "0"]
    for number in range(2):
        script.write_text(f"{NOTING}# {number}\n")
        done = site.run(*words, script, hosts=1)
        assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    first, second = site.versions(host, "llm")
    assert f"kept although old, 0.0 MB in all: {ROOT}/projects/llm/" in done.stderr
    assert "(edited by hand)" in done.stderr
    folder = host.path(ROOT) / "projects/llm"
    assert [(folder / name / "notes.csv").read_text() for name in (first, second)] == ["ran\n", "ran\n"]
    assert not (folder / first / "notes.csv").samefile(folder / second / "notes.csv")


def test_module_that_a_job_has_left_is_told_at_the_next_launch(site: Site) -> None:
    script = site.file("llm/train.py", "open(__file__.replace('train', 'random'), 'w').close()\n")
    words = ["--project-dir", script.parent, script]
    assert "not part of the project" not in site.run(*words, hosts=1).stderr
    assert "has Python files that are not part of the project: random.py; an import may find them" in site.run(*words, hosts=1).stderr


def test_others_read_what_is_shared_and_nothing_else(site: Site) -> None:
    script = site.file("train.py")
    as_root = site.inventory(1).rename(site.here / "root.yml")
    as_user = site.inventory(1, ansible_user="mlx", mlx_root=ROOT)
    project = where(site.sync("-i", as_root, script))["project"]
    digest = site.hosts[0].path(project).name
    done = site.cluster.mlxlaunch("-i", as_user, script, timeout=PATIENCE)
    assert done.returncode != 0
    assert f"{ROOT} is closed: it belongs to user root; deploy there with mlx_share: world" in done.stderr
    # By its path alone, without a deploy.
    done = site.cluster.mlxlaunch("-i", as_user, "--no-sync", f"{project}/train.py", timeout=PATIENCE)
    assert done.returncode != 0
    assert f"{ROOT} is closed: it belongs to user root; deploy there with mlx_share: world" in done.stderr
    done = site.sync("-i", as_root, "--share", "world", script)
    assert where(done)["project"] == project
    assert site.hosts[0].path(project).name == digest
    done = site.cluster.mlxlaunch("-i", as_user, script, timeout=PATIENCE)
    assert (done.returncode, done.stdout.split()[2]) == (0, f"{project}/train.py"), done.stderr
    site.sync("-i", as_root, script)
    assert site.cluster.mlxlaunch("-i", as_user, script, timeout=PATIENCE).returncode != 0
