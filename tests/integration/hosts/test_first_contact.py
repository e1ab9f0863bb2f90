"""Hosts that nobody has met before: their keys shown and confirmed, ours installed with a password, Python found."""

from __future__ import annotations

import getpass
import itertools
import os
import re
import shlex
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.cluster import ANSIBLE_PLAYBOOK, MLXLAUNCH, Cluster, Done
from tests.integration.output.test_tty import Terminal, at_terminal
from tests.lab import Lab
from tests.lab.pytest_plugin import start_or_skip
from tests.lab.spec import USER
from tests.lab.start import CHECKOUT
from tests.support.strangers import PASSWORD, Strangers, authorized_keys, configure_sshd, take_passwords, write_public_host_key

PLAYBOOK = str(CHECKOUT / "playbooks/first_contact.yml")
pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def four() -> Iterator[Lab]:
    """Two Macs and two Linux hosts that take a password."""
    with start_or_skip(4, personality={"node1": "mac", "node2": "mac"}) as lab:
        for host in lab.hosts:
            write_public_host_key(host)
            take_passwords(host)
            # On a real Mac it is made in /Users/Shared, where everybody may.
            host.run(["install", "-d", "-m", "700", "-o", USER, f"/opt/mlxlaunch-{getpass.getuser()}"], check=True)
        configure_sshd(lab.hosts[1], "Port 22", "Port 2222")
        yield lab


@pytest.fixture
def strangers(four: Lab, tmp_path: Path) -> Iterator[Strangers]:
    with Strangers(four, tmp_path / "ssh") as found:
        yield found


@pytest.fixture
def here(strangers: Strangers, tmp_path: Path) -> Cluster:
    """The controller, whose ssh knows nobody."""
    folder = tmp_path / "here"
    folder.mkdir()
    return Cluster(strangers.lab, folder, {**os.environ, **strangers.env})


def init(here: Cluster, *words: str, **options: Any) -> Done:
    """Run `mlxlaunch init` without a terminal."""
    return here._run([*MLXLAUNCH, "init", *words], start_new_session=True, **options)


def init_at_terminal(here: Cluster, *words: str) -> AbstractContextManager[Terminal]:
    return at_terminal(here, *MLXLAUNCH, "init", *words, size=(50, 120))


def said(done: Done) -> list[str]:
    """Return the lines for a person, without reports of progress."""
    progress = ("mlxlaunch: waiting for ", "mlxlaunch: reaching ")
    return [line for line in done.stderr.splitlines() if line.startswith("mlxlaunch: ") and not line.startswith(progress)]


def snapshot(strangers: Strangers) -> dict[str, bytes]:
    """Return the files of the person's ssh, and of the hosts' users, by name."""
    places = [*strangers.config.parent.iterdir(), *(authorized_keys(host) for host in strangers.lab.hosts)]
    return {str(path): path.read_bytes() for path in places if path.is_file()}


# -- from nothing


#: What differs between the page and the lab: its pattern there, and here.
ELSEWHERE = (
    (r"SHA256:[\w+/]{43}", r"SHA256:[\w+/]{43}"),
    (r"/Users/me/\.ssh/", r"/\S+/"),
    (r"\bof me\b", "of mlx"),
    (r"\bfor me\b", "for mlx"),
)


def on_the_page(line: str) -> str:
    """Return the pattern of a line of the page: fingerprints, the person's name and his files are others in the lab."""
    if line == "...":
        return r"(?s:.*?)"
    if "\n" in line:
        return "(?:" + "|".join(map(r"\r\n".join, itertools.permutations(map(re.escape, line.split("\n"))))) + ")"
    for at, (shown, _here) in enumerate(ELSEWHERE):
        line = re.sub(shown, f"\0{at}\0", line)
    return re.sub("\0(.)\0", lambda at: ELSEWHERE[int(at[1])][1], re.escape(line).replace("\\\0", "\0"))


def follow_page(here: Cluster, block: str, answers: Mapping[str, str]) -> None:
    """Run the commands of a block of the page in a shell, type what stands there, and compare all that it shows."""
    for command, shown in re.findall(r"^\$ (.*?\n)((?:(?!\$ ).*\n)*)", _heredocs_in_one_line(block), re.MULTILINE):
        argv = ["/bin/sh", "-c", command.replace("\0", "\n").replace("mlxlaunch ", f"{shlex.join(MLXLAUNCH)} ", 1)]
        with at_terminal(here, *argv, size=(60, 160)) as terminal:
            for line in _ranks_as_one(shown.splitlines()):
                asked = next((question for question in answers if line.startswith(question)), None)
                terminal.expect(on_the_page(asked or line) + ("" if asked or line == "..." else "\r\n"))
                if asked:
                    assert line.removeprefix(asked).strip() in ("", answers[asked])
                    terminal.sendline(answers[asked])
                    terminal.expect("\r\n")
            assert terminal.ended() == 0, terminal.before


def _ranks_as_one(lines: Iterable[str]) -> Iterator[str]:
    """Return lines with those of ranks, which come in any order, together in one."""
    for ranks, group in itertools.groupby(lines, lambda line: line.startswith("rank ")):
        some = list(group)
        yield from ["\n".join(some)] if ranks else some


def _heredocs_in_one_line(block: str) -> str:
    return re.sub(r"^\$ .*<<'END'\n.*?^END$", lambda found: found[0].replace("\n", "\0"), block, flags=re.MULTILINE | re.DOTALL)


def test_page_of_first_steps_is_true_word_for_word(strangers: Strangers, here: Cluster) -> None:
    """And its hosts are as a launch needs them; to do it again changes nothing."""
    blocks = re.findall(r"^```console\n(.*?)^```", (CHECKOUT / "docs/first-steps.md").read_text(), re.MULTILINE | re.DOTALL)
    macs = strangers.lab.hosts[:2]
    begun = time.monotonic()
    follow_page(here, blocks[0], {"Are all 2 right? (yes, no, or each)": "yes", "SSH password of me:": PASSWORD})
    keys = strangers.known_hosts.read_text()
    assert all(strangers.host_key(host) in keys for host in macs)
    for host in macs:
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (authorized_keys(host).parent, authorized_keys(host))]
        assert [oct(mode) for mode in modes] == ["0o700", "0o600"]
        assert PASSWORD not in host.log.read_text()
    before = snapshot(strangers)
    again = init(here, "mac-1.local", "mac-2.local", "-o", "again.yml")
    assert again.returncode == 0, again.stderr
    assert snapshot(strangers) == before
    follow_page(here, blocks[1], {})
    assert time.monotonic() - begun < 300


def test_each_key_can_be_judged_alone(strangers: Strangers, here: Cluster) -> None:
    with init_at_terminal(here, "mac-1", "mac-2", "node3") as terminal:
        terminal.expect("Are all 3 right")
        terminal.sendline("perhaps")
        terminal.expect("Are all 3 right")
        terminal.sendline("each")
        for name, answer in {"mac-1": "yes", "mac-2": "no", "node3": "yes"}.items():
            terminal.expect(f"{name}: right")
            terminal.sendline(answer)
        terminal.expect("SSH password of mlx: ")
        terminal.sendline(PASSWORD)
        terminal.expect("mac-2: the host key was not confirmed, and nothing was changed there")
        terminal.expect("inventory.yml was not written")
        assert terminal.ended() == 3
    assert [strangers.logs_in(name) for name in ("mac-1", "mac-2", "node3")] == [True, False, True]
    assert len(strangers.known_hosts.read_text().splitlines()) == 2


def test_wrong_password_is_one_line_and_changes_nothing_there(strangers: Strangers, here: Cluster) -> None:
    host = strangers.lab.hosts[0]
    with init_at_terminal(here, "mac-1") as terminal:
        terminal.expect("Is this the right key")
        terminal.sendline(strangers.fingerprint(host))
        terminal.expect("SSH password of mlx: ")
        terminal.sendline("wrong")
        terminal.expect("\nmlxlaunch: mac-1: the password of mlx is wrong there\r\n")
        assert terminal.ended() == 3
    assert not authorized_keys(host).exists()
    assert not (here.here / "inventory.yml").exists()


def test_nothing_is_asked_without_a_terminal(strangers: Strangers, here: Cluster) -> None:
    before = snapshot(strangers)
    done = init(here, "mac-1", "node3")
    assert done.returncode == 2
    assert said(done)[0].startswith(
        "mlxlaunch: mac-1, node3: their host keys are not known to ssh, and nobody can be asked here; give --host-key"
    )
    assert snapshot(strangers) == before
    assert list(here.here.iterdir()) == []
    assert init(here).returncode == 2


# -- keys that were given, and keys that are not the host's


def test_given_keys_are_compared_and_a_file_has_the_password(strangers: Strangers, here: Cluster) -> None:
    """In a playbook too, and with nothing left to change the second time."""
    mac, linux = strangers.lab.hosts[0], strangers.lab.hosts[2]
    line = linux.path("/etc/ssh/ssh_host_ed25519_key.pub").read_text()
    hosts = {"mac-1": {"mlx_prepare_host_key": strangers.fingerprint(mac)}, "node3": {"mlx_prepare_host_key": line}}
    inventory = Path(here.json("hosts.json", {"mlx": {"hosts": hosts}}))
    password = here.here / "password"
    password.write_text(PASSWORD)
    words = [ANSIBLE_PLAYBOOK, "-i", inventory, PLAYBOOK, "-e", "mlx_prepare_apply=true", "--conn-pass-file", password]
    before = snapshot(strangers)
    done = here._run([*words, "--check"])
    assert done.returncode != 0
    assert f"its host key {strangers.fingerprint(mac)} would be added to {strangers.known_hosts}" in done.stdout
    assert snapshot(strangers) == before
    for changed in (1, 0):
        done = here._run(words)
        assert done.returncode == 0, done.stdout
        assert f"changed={changed}" in done.stdout
    assert strangers.logs_in("mac-1")
    assert strangers.logs_in("node3")
    assert not any(PASSWORD in path.read_text(errors="replace") for path in here.here.rglob("*") if path.is_file() and path != password)


def test_key_that_is_not_the_given_one_is_refused(strangers: Strangers, here: Cluster) -> None:
    other = strangers.fingerprint(strangers.lab.hosts[1])
    done = init(here, "mac-1", "--host-key", f"mac-1={other}")
    assert done.returncode == 3
    own = strangers.fingerprint(strangers.lab.hosts[0])
    assert said(done)[0] == f"mlxlaunch: mac-1: its host key is {own} (ED25519), and not the given one; find out why before you go on"
    assert not strangers.known_hosts.exists()


def test_changed_key_is_refused_with_its_place(strangers: Strangers, here: Cluster) -> None:
    other = strangers.lab.hosts[1].path("/etc/ssh/ssh_host_ed25519_key.pub").read_text()
    address = strangers.lab.hosts[0].address
    strangers.known_hosts.write_text(f"# mine\n{address} {other}")
    before = snapshot(strangers)
    done = init(here, "mac-1", "--host-key", f"mac-1={strangers.fingerprint(strangers.lab.hosts[0])}")
    assert done.returncode == 3
    [line, _end] = said(done)
    assert f"is not the one in {strangers.known_hosts}:2: somebody may be in between" in line
    assert f"run ssh-keygen -R {address} -f {strangers.known_hosts}, and" in line
    assert snapshot(strangers) == before


def test_configured_acceptance_is_told(strangers: Strangers, here: Cluster) -> None:
    strangers.config.write_text("StrictHostKeyChecking accept-new\n" + strangers.config.read_text())
    done = init(here, "mac-1")
    assert done.returncode == 3
    own = strangers.fingerprint(strangers.lab.hosts[0])
    assert f"mac-1: host key {own}, which ssh is configured to accept (accept-new), added to {strangers.known_hosts}" in done.stderr
    assert "mac-1: it does not take your key yet, and no password of mlx is known; give -k" in done.stderr


# -- other ways


@pytest.mark.long
def test_jump_host_and_other_port_come_with_their_own_keys(strangers: Strangers, here: Cluster) -> None:
    """The first is behind the third, and listens on a port of its own; neither is known."""
    inside, jump = strangers.lab.hosts[1], strangers.lab.hosts[2]
    text = f"Host inside\n  HostName {inside.address}\n  ProxyJump node3\n"
    strangers.config.write_text(text + strangers.config.read_text())
    with init_at_terminal(here, "inside:2222") as terminal:
        terminal.expect("  node3  ED25519 (SHA256:[^ \r]+)")
        assert terminal.match[1] == strangers.fingerprint(jump)
        terminal.expect("Is this the right key")
        terminal.sendline("yes")
        terminal.expect("SSH password of mlx: ")
        terminal.sendline(PASSWORD)
        terminal.expect("  inside  ED25519 (SHA256:[^ \r]+)")
        assert terminal.match[1] == strangers.fingerprint(inside)
        terminal.expect("Is this the right key")
        terminal.sendline("yes")
        terminal.expect("inside is ready")
        assert terminal.ended() == 0
    names = [line.split()[0] for line in strangers.known_hosts.read_text().splitlines()]
    assert names == [jump.address, f"[{inside.address}]:2222"]
    assert yaml.safe_load((here.here / "inventory.yml").read_text())["mlx"]["hosts"] == {"inside": {"ansible_port": 2222}}


def test_hostfile_becomes_an_inventory(strangers: Strangers, here: Cluster) -> None:
    hosts = strangers.lab.hosts[2:]
    strangers.let_in()
    entries = [{"ssh": f"mlx@node{at}", "ips": [host.address2]} for at, host in enumerate(hosts, 3)]
    hostfile = here.json("hosts.json", {"backend": "ring", "envs": ["A={{ x }}"], "hosts": [*entries, entries[1]]})
    done = init(here, "--hostfile", hostfile, "-o", "lab.yml")
    assert done.returncode == 0, done.stderr
    job = here.mlxlaunch("-i", "lab.yml", "--prefix", "--", "sh", "-c", "echo $A $USER")
    assert job.returncode == 0, job.stderr
    assert sorted(job.stdout.splitlines()) == [f"[{rank} {host}] {{{{ x }}}} mlx" for rank, host in enumerate(("node3", "node4", "node4"))]


def test_inventory_that_is_there_stays(strangers: Strangers, here: Cluster) -> None:
    (here.here / "inventory.yml").write_text("mine")
    done = init(here, "mac-1")
    assert (done.returncode, len(said(done))) == (2, 1)
    assert "inventory.yml is there already, and stays as it is" in done.stderr
    assert (here.here / "inventory.yml").read_text() == "mine"


def test_host_that_is_not_there_is_named_and_nothing_written(strangers: Strangers, here: Cluster) -> None:
    strangers.let_in()
    done = init(here, "mac-1", "198.18.0.250", "nowhere.invalid")
    assert done.returncode == 3
    assert "198.18.0.250: " in done.stderr
    assert "nowhere.invalid: " in done.stderr
    assert "its name is unknown" in done.stderr
    assert not (here.here / "inventory.yml").exists()


# -- many hosts, and hosts without a Python


def test_ten_hosts_are_met_at_once(tmp_path: Path) -> None:
    with start_or_skip(10) as lab:
        strangers = Strangers(lab, tmp_path / "ssh")
        for host in lab.hosts:
            write_public_host_key(host)
            take_passwords(host)
        here = Cluster(lab, tmp_path, {**os.environ, **strangers.env})
        names = [f"mac-{at}" for at in range(1, 11)]
        with init_at_terminal(here, *names) as terminal:
            terminal.expect(r"Are all 10 right\?")
            terminal.sendline("yes")
            terminal.expect(f"{', '.join(names)}: your key is not known there yet")
            terminal.expect("SSH password of mlx: ")
            terminal.sendline(PASSWORD)
            terminal.expect("all 10 hosts are ready")
            assert terminal.ended() == 0
        assert len(strangers.known_hosts.read_text().splitlines()) == 10
        assert all(strangers.logs_in(name) for name in names)


def test_tools_are_installed_where_python_would_open_a_dialog(strangers: Strangers, here: Cluster) -> None:
    """The stub is never run: neither by a look, nor by a launch, nor while the tools are installed."""
    strangers.let_in()
    mac = strangers.lab.hosts[1]
    tools, dialog = mac.path("/Library/Developer/CommandLineTools"), mac.path("/tmp/mlxlab-dialog")
    shutil.rmtree(tools)
    inventory = here.json("hosts.json", {"mlx": {"hosts": {"mac-2": {}}}})
    words = [ANSIBLE_PLAYBOOK, "-i", inventory, PLAYBOOK]
    done = here._run(words)
    assert done.returncode != 0
    assert "mac-2: the command line tools are missing, without which python3 opens a dialog; --apply installs them" in done.stdout
    job = here.mlxlaunch("-i", inventory, "--", "true")
    assert job.returncode == 3
    assert "the command line tools are missing" in job.stderr
    assert "mlxlaunch prepare --apply installs them" in job.stderr
    assert not tools.exists()
    done = here._run([*words, "-e", "mlx_prepare_apply=true"])
    assert done.returncode == 0, done.stdout
    assert "mac-2: installed Command Line Tools for Xcode 26.2-26.2" in done.stdout
    assert here.mlxlaunch("-i", inventory, "--", "true").returncode == 0
    assert not dialog.exists()
    assert not list(mac.path("/tmp").glob(".com.apple.*"))
