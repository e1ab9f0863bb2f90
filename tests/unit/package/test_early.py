"""Connections that are begun while Ansible starts: for which requests, and what becomes of them."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import host_command, supervisor
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.early.kept import SUPERVISOR, Place, keep_commands
from mlxlaunch_ansible import _early
from mlxlaunch_ansible._early import Begun, EarlyConnections, place_of
from mlxlaunch_ansible._inventory import ReadText, Source, ansible_options, resolve_inventory
from mlxlaunch_ansible._request import CHECK, CONTACT, DEPLOY, LAUNCH, JobRequest, Surroundings
from tests.support.waiting import wait_until

INVENTORY = "mlx:\n  hosts:\n    mac-1: {ansible_host: 10.0.0.1}\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any configuration."""
    for name in [name for name in os.environ if name.startswith(("ANSIBLE_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "lab"
    (folder / "inventory").mkdir(parents=True)
    (folder / "inventory/hosts.yml").write_text(INVENTORY)
    (folder / "train.py").touch()
    monkeypatch.chdir(folder)
    return folder


def request(playbook: str = LAUNCH, *, dry_run: bool = False, inventory: Any = None, own: Any = None, **settings: Any) -> JobRequest:
    source = inventory or "inventory/hosts.yml"
    here = Surroundings(str(Path.cwd()), "/env/bin/python", environment=dict(os.environ))
    given = {"script": str(Path.cwd() / "train.py"), **settings}
    return JobRequest.of(source, given, here, playbook=playbook, dry_run=dry_run, own=own)


def place(playbook: str = LAUNCH, **options: Any) -> Place | None:
    made = request(playbook, **options)
    return place_of(made.playbook, made.source, made.setup)


def known(playbook: str = LAUNCH, **options: Any) -> Place:
    found = place(playbook, **options)
    assert found
    return found


def with_ansible(**options: Any) -> Source:
    return Source(paths=("inventory/hosts.yml",), ansible=ansible_options(options))


def write(path: str, text: str = "x: 1\n", mode: int = 0o644) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    Path(path).chmod(mode)


OTHER: dict[str, Callable[[pytest.MonkeyPatch], dict[str, Any] | None]] = {
    "the inventory": lambda _: write("inventory/hosts.yml", INVENTORY.replace("10.0.0.1", "10.0.0.2")),
    "variables of a group": lambda _: write("inventory/group_vars/mlx.yml"),
    "variables of a host": lambda _: write("inventory/host_vars/mac-1/main.yml"),
    "variables above": lambda _: write("group_vars/all.yml"),
    "the configuration here": lambda _: write("ansible.cfg", "[ssh_connection]\nssh_args=-o Port=23\n"),
    "the user's configuration": lambda _: write(f"{os.environ['HOME']}/.ansible.cfg", "[defaults]\n"),
    "a variable of Ansible": lambda patch: patch.setenv("ANSIBLE_REMOTE_USER", "ada"),
    "the path of programs": lambda patch: patch.setenv("PATH", f"/opt/bin:{os.environ['PATH']}"),
    "the user": lambda _: {"inventory": with_ansible(user="ada")},
    "extra variables": lambda _: {"inventory": with_ansible(extra_vars={"ansible_port": 23})},
    "the limit": lambda _: {"inventory": with_ansible(limit="mac-1")},
    "the group": lambda _: {"group": "all"},
    "the owner who is trusted": lambda _: {"trust_owner": "ada"},
    "the interpreter": lambda _: {"python": "/opt/python"},
    "whether the script is brought": lambda _: {"script": "/there/train.py"},
    "the directory": lambda patch: patch.chdir("inventory") or {"inventory": "hosts.yml"},  # type: ignore[func-returns-value]
}


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
def test_request_is_another_one_with_another(change: Callable[[pytest.MonkeyPatch], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    before = known()
    assert known() == before
    assert known(**(change(monkeypatch) or {})).key != before.key


def test_request_is_the_same_whatever_the_ranks_do() -> None:
    before = known()
    write("other.py")
    assert known(script=str(Path("other.py").absolute()), args=["--lr", "1"], env={"A": "b"}, timeout=9.0, verbose=True) == before


def test_files_count_by_their_content_alone() -> None:
    before = known()
    write("inventory/hosts.yml", INVENTORY)
    os.utime("inventory/hosts.yml", (1, 1))
    assert known() == before


def test_file_of_extra_variables_counts_with_its_content() -> None:
    write("vars.yml", "ansible_port: 22\n")
    before = known(inventory=with_ansible(extra_vars="@vars.yml"))
    write("vars.yml", "ansible_port: 2222\n")
    assert known(inventory=with_ansible(extra_vars="@vars.yml")).key != before.key


def test_playbooks_and_inventories_have_places_of_their_own() -> None:
    write("other.yml", INVENTORY)
    assert len({found.path for found in (known(), known(DEPLOY), known(CHECK), known(inventory="other.yml"))}) == 4


UNKNOWN: dict[str, Callable[[], dict[str, Any] | None]] = {
    "a program": lambda: write("inventory/hosts.yml", "#!/bin/sh\n", 0o755),
    "a plugin": lambda: write("inventory/hosts.yml", "plugin: community.lab\n"),
    "a plugin, quoted": lambda: write("inventory/hosts.yml", "---\n 'plugin' : community.lab\n"),
    "a plugin, as JSON": lambda: write("inventory/hosts.yml", '{"plugin": "community.lab"}'),
    "a program among others": lambda: write("inventory/more/lab", "#!/bin/sh\n", 0o755) or {"inventory": "inventory"},
    "a file without end": lambda: write("inventory/hosts.yml", "#" * 5_000_000 + "\n" + INVENTORY),
    "what can be read once": lambda: {"inventory": Source(paths=(read_text(),))},
    "extra variables that can be read once": lambda: {"inventory": typed(extra_vars=(read_text("@"),))},
    "a password": lambda: {"inventory": typed(passwords=(("connection", "secret"),))},
    "a vault": lambda: {"inventory": with_ansible(vault_password_file="/vault")},
}


def read_text(before: str = "") -> ReadText:
    text = ReadText(f"{before}/dev/fd/9")
    text.content = INVENTORY
    return text


def typed(**options: Any) -> Source:
    """The inventory, with options as they are on a command line."""
    return Source(paths=("inventory/hosts.yml",), ansible=replace(ansible_options({}), **options))


@pytest.mark.parametrize("change", UNKNOWN.values(), ids=UNKNOWN)
def test_hosts_that_nobody_can_know_beforehand_are_not_reached_early(change: Callable[[], dict[str, Any] | None]) -> None:
    assert place() is not None
    assert place(**(change() or {})) is None


def test_place_tells_nobody_what_the_request_has() -> None:
    found = known(inventory=with_ansible(extra_vars={"token": "secret"}, ssh_extra_args="-o ProxyCommand=secret"))
    assert "secret" not in found.owner + found.key


# -- processes


@pytest.fixture
def ssh(tmp_path: Path) -> Path:
    """A program that is called ssh: it notes that it runs, and reads until the end of its input."""
    path = tmp_path / "bin/ssh"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/started\ncat > {tmp_path}/read.$$\nexit 3\n")
    path.chmod(0o755)
    return path


def argv(ssh: Path, host: str) -> tuple[str, ...]:
    return str(ssh), "-o", "BatchMode=yes", "--", host, host_command([], supervisor())


def started(tmp_path: Path) -> list[int]:
    path = tmp_path / "started"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_connections_of_the_run_before_are_begun_and_handed_over(ssh: Path, tmp_path: Path) -> None:
    made = request()
    keep_commands(known(), SUPERVISOR, [argv(ssh, "mac-1"), argv(ssh, "mac-2")])
    with EarlyConnections(made) as early:
        early.begin()
        wait_until(lambda: len(started(tmp_path)) == 2, "both have begun")
        frame, handed = early.welcome()
        kept = [[os.dup(fd) for fd in fds] for _told, fds in handed]  # as the worker has them
    [setup] = wire.Decoder().feed(frame)
    assert (setup.kind, setup.json()["handed"], setup.json()["early"]["key"]) == (wire.SPEC, 2, known().key)
    assert setup.json()["settings"] == made.setup["settings"]
    assert [told["argv"] for told, _fds in handed] == [[*argv(ssh, "mac-1")], [*argv(ssh, "mac-2")]]
    for (told, _fds), (stdin, stdout, stderr, status) in zip(handed, kept, strict=True):
        assert runs(told["pid"])
        os.set_blocking(stdin, True)
        rest = supervisor()[told["sent"] :]
        while rest:
            rest = rest[os.write(stdin, rest) :]
        os.close(stdin)
        assert int(os.read(status, 16)) == 3
        assert any(path.read_bytes() == supervisor() for path in tmp_path.glob("read.*"))
        for fd in (stdout, stderr, status):
            os.close(fd)


@pytest.fixture
def descriptors() -> Iterator[None]:
    before = len(list(Path("/dev/fd").iterdir()))
    yield
    wait_until(lambda: len(list(Path("/dev/fd").iterdir())) <= before, "descriptors are given back")


@pytest.mark.usefixtures("descriptors")
def test_connections_that_no_worker_takes_end(ssh: Path, tmp_path: Path) -> None:
    keep_commands(known(), SUPERVISOR, [argv(ssh, "mac-1"), argv(ssh, "mac-2")])
    with EarlyConnections(request()) as early:
        early.begin()
        wait_until(lambda: len(started(tmp_path)) == 2, "both have begun")
    wait_until(lambda: not any(map(runs, started(tmp_path))), "both have ended")


@pytest.mark.usefixtures("descriptors")
def test_worker_is_not_given_what_has_ended_or_is_old(ssh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone/ssh"
    gone.parent.mkdir()
    gone.write_text("#!/bin/sh\n")
    gone.chmod(0o755)
    keep_commands(known(), SUPERVISOR, [argv(gone, "mac-1"), argv(ssh, "mac-2")])
    with EarlyConnections(request()) as early:
        early.begin()
        wait_until(lambda: not early._begun[0].usable, "one has ended")
        assert early._begun[1].usable
        monkeypatch.setattr(_early, "_LONGEST", 0.0)
        frame, handed = early.welcome()
    assert (wire.Decoder().feed(frame)[0].json()["handed"], handed) == (0, [])


NONE = {"a dry run": {"dry_run": True}, "first contact": {"playbook": CONTACT, "own": {}}, "a first run": {"limit": "elsewhere"}}


@pytest.mark.parametrize("given", NONE.values(), ids=NONE)
def test_nothing_is_begun_for(given: dict[str, Any], ssh: Path, tmp_path: Path) -> None:
    if "limit" in given:
        given = {"inventory": with_ansible(limit="elsewhere")}
    else:
        keep_commands(known(given.get("playbook", LAUNCH)), SUPERVISOR, [argv(ssh, "mac-1")])
    with EarlyConnections(request(**given)) as early:
        early.begin()
        assert early.welcome()[1] == []
    assert started(tmp_path) == []


def test_command_line_for_another_program_is_not_begun(ssh: Path, tmp_path: Path) -> None:
    """One of the same length is another one, too: it may have been made with another Python, or another version of ours."""
    other = supervisor()[:-1] + bytes([supervisor()[-1] ^ 1])
    keep_commands(known(), SUPERVISOR, [(*argv(ssh, "mac-1")[:-1], host_command([], other))])
    with EarlyConnections(request()) as early:
        early.begin()
        assert early.welcome()[1] == []
    assert started(tmp_path) == []


def test_program_that_is_not_here_is_left_to_the_worker(tmp_path: Path) -> None:
    keep_commands(known(), SUPERVISOR, [argv(tmp_path / "no/ssh", "mac-1")])
    with EarlyConnections(request()) as early:
        early.begin()
        assert early.welcome()[1] == []


def test_no_more_are_begun_than_there_are_descriptors_for(ssh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (256, 256))
    keep_commands(known(), SUPERVISOR, [argv(ssh, f"mac-{number}") for number in range(40)])
    with EarlyConnections(request()) as early:
        early.begin()
        assert len(early.welcome()[1]) == 16


def test_exit_status_that_nobody_reads_is_dropped(ssh: Path, tmp_path: Path) -> None:
    begun = Begun(argv(ssh, "mac-1"), b"")
    told, _fds = begun.hand_over()
    begun.let_go()  # the end of its input
    wait_until(lambda: not runs(told["pid"]), "it has ended and is reaped")


def test_inventory_given_as_data_is_known_by_its_content() -> None:
    first, second = (known(inventory=resolve_inventory(names, "mlx")) for names in (["mac-1", "mac-2"], ["mac-1", "mac-3"]))
    assert (first.owner == second.owner, first.key == second.key) == (True, False)
    assert json.loads(first.owner) == [LAUNCH]
