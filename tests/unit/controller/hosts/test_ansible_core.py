"""Command lines for hosts as Ansible is configured to reach them, and the layers of a variable."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible import constants
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play import Play
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader
from ansible.template import Templar, trust_as_template
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts import ansible_core
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.ansible_core import (
    Connector,
    TaskVariables,
    has_vault,
    hosts_of_task,
    inventory_sources,
    inventory_variables,
    keyword_env,
    own_python,
)
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.early.kept import is_plain
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError

COMMAND = "exec /bin/sh -c true"
TASK = SimpleNamespace(dump_attrs=lambda: {"retries": 3, "become": False}, become=False, become_method=None, play=None)

# -- command lines


@pytest.fixture(autouse=True)
def own_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find Ansible's own plugins without its import hook for collections, and without a developer's settings."""

    def get(name: str, *args: Any) -> Any:
        return connection_loader.get(name.removeprefix("ansible.builtin."), *args)

    monkeypatch.setattr(ansible_core, "connection_loader", SimpleNamespace(get=get))
    for name in ("ANSIBLE_SSH_ARGS", "ANSIBLE_REMOTE_USER", "ANSIBLE_BECOME_METHOD", "ANSIBLE_TRANSPORT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def sockets(tmp_path: Path) -> dict[str, str]:
    """The variable by which ssh's sockets stay in a directory of the test."""
    return {"ansible_control_path_dir": str(tmp_path)}


def argv(variables: Mapping[str, Any], *, become: bool = False, fresh: bool = False) -> list[str]:
    """Return the command line for host a."""
    task = SimpleNamespace(dump_attrs=lambda: {"retries": 3, "become": become}, become=become, become_method=None, play=None)
    return Connector(task, PlayContext()).argv("a", variables, COMMAND, fresh=fresh)


def test_user_s_own_plugin_called_ssh_is_not_taken_for_ansible_s(monkeypatch: pytest.MonkeyPatch, sockets: dict[str, str]) -> None:
    asked: list[str] = []

    def get(name: str, *args: Any) -> Any:
        asked.append(name)
        if name == "ssh":
            return SimpleNamespace(_original_path="/home/ada/connection_plugins/ssh.py")
        return connection_loader.get(name.removeprefix("ansible.builtin."), *args)

    monkeypatch.setattr(ansible_core, "connection_loader", SimpleNamespace(get=get))
    assert argv(sockets)[0] == "ssh"
    assert asked == ["ssh", "ansible.builtin.ssh"]


SSH_VARIABLES: list[dict[str, Any]] = [
    {},
    {"ansible_user": "ada", "ansible_port": 2222, "ansible_ssh_private_key_file": "/home/ada/.ssh/lab", "ansible_ssh_timeout": 20},
    {"ansible_ssh_common_args": "-F /etc/lab -o ProxyJump=gate -o ServerAliveInterval=5", "ansible_ssh_args": "-C -o ControlMaster=auto"},
    {"ansible_host_key_checking": False},
]


@pytest.mark.parametrize("variables", SSH_VARIABLES, ids=range(len(SSH_VARIABLES)))
def test_command_lines_for_ssh_can_be_kept_for_the_next_run(sockets: dict[str, str], variables: dict[str, Any]) -> None:
    assert is_plain(argv(sockets | variables))


@pytest.mark.parametrize("variables", [{"ansible_connection": "local"}, {"ansible_password": "secret"}, {"ansible_become": True}])
def test_command_lines_with_more_than_ssh_are_not_kept(sockets: dict[str, str], variables: dict[str, Any]) -> None:
    assert not is_plain(argv(sockets | variables))


@pytest.mark.parametrize("name", ["DEFAULT_VAULT_PASSWORD_FILE", "DEFAULT_VAULT_IDENTITY_LIST"])
def test_vault_is_known_by_the_configuration(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for each in ("DEFAULT_VAULT_PASSWORD_FILE", "DEFAULT_VAULT_IDENTITY_LIST"):
        monkeypatch.setattr(ansible_core.C, each, None)
    assert not has_vault()
    monkeypatch.setattr(ansible_core.C, name, ["lab@/vault"])
    assert has_vault()


@pytest.mark.parametrize("name", ["vault_ids", "vault_password_files", "ask_vault_pass"])
def test_vault_is_known_by_the_command_line(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(ansible_core, "context", SimpleNamespace(CLIARGS={name: ["lab@/vault"]}))
    assert has_vault()


def test_documentation_of_ansible_s_ssh_is_read_once(monkeypatch: pytest.MonkeyPatch, sockets: dict[str, str]) -> None:
    asked: list[str] = []

    def get(name: str, *args: Any) -> Any:
        asked.append(name)
        return connection_loader.get(name, *args)

    monkeypatch.setattr(ansible_core, "connection_loader", SimpleNamespace(get=get))
    assert argv(sockets)[0] == "ssh"
    assert asked == ["ssh"]


@pytest.mark.parametrize(
    ("of_host", "of_play", "kind"), [("ssh", "local", "ssh"), (None, "local", "local"), (None, None, "ssh"), ("local", None, "local")]
)
def test_host_s_connection_counts_for_more_than_the_play_s(of_host: str | None, of_play: str | None, kind: str) -> None:
    task = SimpleNamespace(**{**vars(TASK), "play": SimpleNamespace(connection=of_play)})
    variables = {"ansible_connection": of_host} if of_host else {}
    connector = Connector(task, PlayContext())
    assert (connector.kind(variables), connector.is_local(variables)) == (kind, kind == "local")


@pytest.mark.parametrize(("played", "local"), [(["localhost"], False), (["mac-1", "localhost"], True), ([], True)])
def test_connection_of_a_play_for_localhost_is_not_that_of_the_group_it_drives(played: list[str], local: bool) -> None:
    task = SimpleNamespace(**{**vars(TASK), "play": SimpleNamespace(connection="local")})
    connector = Connector(task, PlayContext())
    assert connector.is_local({"inventory_hostname": "mac-1", "ansible_play_hosts_all": played}) == local
    assert connector.is_local({"inventory_hostname": "mac-2", "ansible_play_hosts_all": played}) == (not played)


@pytest.mark.parametrize(
    ("of_host", "configured", "path"),
    [("/a/python", "/b/python", "/a/python"), (None, "/b/python", "/b/python"), (None, "auto", ""), ("auto_silent", "/b/python", "")],
)
def test_interpreter_may_be_that_of_the_configuration(
    of_host: str | None, configured: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_PYTHON_INTERPRETER", configured)
    assert own_python({"ansible_python_interpreter": of_host} if of_host else {}) == path


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        (None, {}),
        ([{"A": "1"}, None, {"A": "2", "B": "b"}], {"A": "2", "B": "b"}),
    ],
)
def test_inner_environment_counts_for_more(layers: Any, found: dict[str, Any]) -> None:
    assert keyword_env(SimpleNamespace(environment=layers), Templar(DataLoader())) == found


@pytest.mark.parametrize("kind", ["local", "ansible.builtin.local"])
def test_this_machine_is_reached_by_a_shell(kind: str) -> None:
    assert argv({"ansible_connection": kind}) == ["/bin/sh", "-c", COMMAND]


def test_host_is_reached_by_ssh_without_a_terminal_or_a_password(sockets: dict[str, str]) -> None:
    words = argv({**sockets, "ansible_host": "10.0.0.1", "ansible_user": "me", "ansible_port": 2222})
    assert words[0] == "ssh"
    assert words[-6:] == ["-T", "-o", "BatchMode=yes", "--", "10.0.0.1", COMMAND]
    assert {"Port=2222", 'User="me"'} <= set(words)


def test_host_without_an_address_is_reached_by_its_name(sockets: dict[str, str]) -> None:
    assert argv({**sockets, "inventory_hostname": "a"})[-2:] == ["a", COMMAND]


def test_hosts_share_no_connection(sockets: dict[str, str]) -> None:
    addresses = ("10.0.0.1", "10.0.0.2")
    commands = [argv({**sockets, "ansible_host": address}) for address in addresses]
    [first], [second] = ([word for word in words if word.startswith("ControlPath")] for words in commands)
    assert first != second


def test_host_inherits_nothing_from_the_one_before(sockets: dict[str, str], tmp_path: Path) -> None:
    """All hosts of a task share one connector, and it one plugin of Ansible's."""
    other = tmp_path / "other"
    unlike: list[dict[str, Any]] = [
        {"ansible_port": 2222, "ansible_user": "me", "ansible_ssh_private_key_file": "/k"},
        {"ansible_ssh_common_args": "-J jump", "ansible_ssh_extra_args": "-4", "ansible_ssh_args": "-C -v"},
        {"ansible_password": "sesame"},
        {"ansible_control_path_dir": str(other), "ansible_control_path": "%(directory)s/%%C"},
        {"ansible_host_key_checking": False},
        {},
    ]
    shared = Connector(TASK, PlayContext())
    for number, variables in enumerate((*unlike, *reversed(unlike))):
        by_shared, by_own = (
            connector.argv(f"mac-{number}", {**sockets, **variables}, COMMAND) for connector in (shared, Connector(TASK, PlayContext()))
        )
        passwords = [[word for word in words if word.startswith("SSH_ASKPASS=")] for words in (by_shared, by_own)]
        assert [len(found) for found in passwords] == [int("ansible_password" in variables)] * 2  # a new file each
        assert [word for word in by_shared if word not in passwords[0]] == [word for word in by_own if word not in passwords[1]]


def test_fresh_connection_is_its_own_before_all_options(sockets: dict[str, str]) -> None:
    words = argv(sockets, fresh=True)
    assert words[:5] == ["ssh", "-o", "ControlPath=none", "-o", "ControlMaster=no"]
    assert "ControlPath=none" not in argv(sockets)


def test_nothing_is_compressed_unless_the_user_says_so(sockets: dict[str, str]) -> None:
    assert "-C" not in argv(sockets)
    assert argv({**sockets, "ansible_ssh_args": "-C -v"})[:3] == ["ssh", "-C", "-v"]


@pytest.mark.parametrize(
    ("of_host", "of_task", "becomes"), [(True, False, True), ("no", True, False), (None, True, True), (None, False, False)]
)
def test_host_s_become_counts_for_more_than_the_task_s(of_host: Any, of_task: bool, becomes: bool) -> None:
    variables = {"ansible_connection": "local"} | ({} if of_host is None else {"ansible_become": of_host})
    [_shell, _flag, command] = argv(variables, become=of_task)
    assert ("sudo" in command) is becomes


@pytest.mark.parametrize(("of_host", "wanted"), [(True, False), (False, True), (None, True)])
def test_call_s_become_counts_for_more_than_the_inventory_s(of_host: Any, wanted: bool) -> None:
    variables = {"ansible_connection": "local"} | ({} if of_host is None else {"ansible_become": of_host})
    command = Connector(TASK, PlayContext()).argv("a", variables, COMMAND, become=wanted)[-1]
    assert ("sudo" in command) is wanted
    assert COMMAND.rsplit(maxsplit=1)[-1] in command


@pytest.mark.parametrize("passwords", [{"conn_pass": "sesame"}, {}])
def test_ssh_asks_a_program_for_its_password(passwords: dict[str, str], sockets: dict[str, str]) -> None:
    variables = sockets if passwords else {**sockets, "ansible_password": "sesame"}
    words = Connector(TASK, PlayContext(passwords=passwords)).argv("a", variables, COMMAND)
    assert words[0] == "env"
    assert words[4] == "ssh"
    assert "BatchMode=yes" not in words
    assert "sesame" not in str(words)


def test_sudo_reads_its_password_before_the_command_s_input() -> None:
    task = SimpleNamespace(dump_attrs=lambda: {"become": True}, become=True, become_method=None, play=None)
    words = Connector(task, PlayContext(passwords={"become_pass": "sesame"})).argv("a", {"ansible_connection": "local"}, COMMAND)
    assert words[-3:-1] == ["/bin/sh", "-c"]
    assert "sudo -H -S" in words[-1]
    assert "sesame" not in str(words)


#: Ways to turn off the check of host keys, as variables of a host, and what is reported.
UNCHECKED: list[tuple[dict[str, Any], list[str]]] = [
    ({"ansible_host_key_checking": False}, ["host_key_checking=False"]),
    ({"ansible_ssh_host_key_checking": "no"}, ["host_key_checking=False"]),
    *(
        (
            {name: "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"},
            ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"],
        )
        for name in ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
    ),
    ({"ansible_ssh_common_args": "-oStrictHostKeyChecking=off"}, ["StrictHostKeyChecking=off"]),
]


@pytest.mark.parametrize(("variables", "reported"), UNCHECKED)
def test_check_of_host_keys_cannot_be_turned_off(sockets: dict[str, str], variables: dict[str, Any], reported: list[str]) -> None:
    connector = Connector(TASK, PlayContext())
    words = connector.argv("a", {**sockets, **variables}, COMMAND)
    assert not [word for word in words if "HostKey" in word or "KnownHosts" in word]
    assert words[1:5] == ["-o", "ControlPath=none", "-o", "ControlMaster=no"], "one that Ansible shares may be unchecked"
    assert connector.unfollowed == {"a": reported}


@pytest.mark.parametrize("name", ["ANSIBLE_HOST_KEY_CHECKING", "ANSIBLE_SSH_HOST_KEY_CHECKING", "ANSIBLE_SSH_ARGS"])
def test_check_of_host_keys_cannot_be_turned_off_by_the_environment(
    sockets: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "-o StrictHostKeyChecking=no" if name.endswith("ARGS") else "False")
    connector = Connector(TASK, PlayContext())
    assert "HostKey" not in str(connector.argv("a", sockets, COMMAND))
    assert connector.unfollowed


def test_new_hosts_may_be_accepted(sockets: dict[str, str]) -> None:
    connector = Connector(TASK, PlayContext())
    assert "StrictHostKeyChecking=accept-new" in connector.argv(
        "a", {**sockets, "ansible_ssh_common_args": "-o StrictHostKeyChecking=accept-new"}, COMMAND
    )
    assert connector.unfollowed == {}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ansible_connection": "winrm"}, "a: connection type 'winrm' cannot carry a live stream; use ssh or local"),
        ({"ansible_host": "-oProxyCommand=x"}, "a: ansible_host '-oProxyCommand=x' begins with '-'"),
        ({"ansible_ssh_args": "-o 'x"}, "a: Ansible makes no command line for ssh: No closing quotation; look at quotes in ssh_args"),
        ({"ansible_control_path": "/tmp/%h-%r"}, "a: Ansible makes no command line for ssh: unsupported format character '-'"),
        ({"ansible_become": True, "ansible_become_method": "su", "ansible_become_pass": "x"}, "a: su cannot be given a password"),
    ],
)
def test_host_that_cannot_be_reached_so_is_refused(variables: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        argv(variables)
    assert str(caught.value).startswith(message)


def test_unknown_become_method_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ansible_core, "become_loader", SimpleNamespace(get=lambda _name: None))
    with pytest.raises(UsageError, match="a: unknown become method 'magic'"):
        argv({"ansible_become": True, "ansible_become_method": "magic"})


# -- Ansible's main process


@pytest.mark.parametrize(("configured", "then"), [(0.001, 0.02), (0.5, 0.5)])
def test_main_process_looks_less_often(configured: float, then: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_INTERNAL_POLL_INTERVAL", configured)
    ansible_core.calm_main_process()
    assert then == constants.DEFAULT_INTERNAL_POLL_INTERVAL


class Shown:
    """Ansible's display: lines go to standard output, or an error comes in place of that."""

    def __init__(self, error: OSError | None = None) -> None:
        self._error = error
        self.warnings: list[str] = []

    def display(self, text: str, *, newline: bool = True, screen_only: bool = False) -> None:
        if self._error:
            raise self._error
        assert newline or screen_only
        sys.stdout.write(text + "\n" * newline)

    def warning(self, text: str) -> None:
        self.warnings.append(text)
        self.display(text)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Shown]]:
    """Give a function that gives the display, whose text goes to a file."""
    files = ExitStack()

    def make(output: str, error: OSError | None = None) -> Shown:
        display = Shown(error)
        monkeypatch.setattr(ansible_core, "Display", lambda: display)
        file = files.enter_context(Path(output).open("w", encoding="utf-8"))  # noqa: SIM115 - it is
        monkeypatch.setattr(sys, "stdout", file)
        return display

    yield make
    with suppress(BrokenPipeError):
        files.close()


def test_display_that_cannot_write_is_told_once(shown: Callable[..., Shown]) -> None:
    display = shown(os.devnull, OSError(28, "No space left on device"))
    ansible_core.keep_results_coming()
    for _time in range(3):
        display.display("text")
    assert display.warnings == ["standard output cannot be written: No space left on device; the play goes on"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_buffer_that_cannot_be_written_is_in_no_fork_s_way(shown: Callable[..., Shown]) -> None:
    display = shown("/dev/full")
    display.display("said before we were loaded")
    ansible_core.keep_results_coming()
    assert display.warnings == ["standard output cannot be written: No space left on device; the play goes on"]
    display.display("text")
    sys.stdout.flush()  # as before a worker is forked


def test_reader_that_has_gone_ends_the_play_as_without_us(shown: Callable[..., Shown], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    display = shown(str(tmp_path / "pipe"))
    os.close(reader)
    ansible_core.keep_results_coming()
    display.display("text")
    assert display.warnings == []
    with pytest.raises(BrokenPipeError):
        sys.stdout.flush()


def test_text_is_written_when_it_is_said(shown: Callable[..., Shown], tmp_path: Path) -> None:
    display = shown(str(tmp_path / "out"))
    display.display("before")
    ansible_core.keep_results_coming()
    display.display("after")
    assert (tmp_path / "out").read_text() == "before\nafter\n"


# -- variables of every host


INVENTORY = """
all:
  vars: {mlx_env: {A: all, C: all}}
  children:
    mlx:
      vars: {mlx_env: {A: group, B: "{{ inventory_hostname }}"}, number: 1}
      hosts:
        a: {mlx_env: {A: host}, number: 2}
        b:
"""


@pytest.fixture
def loader(tmp_path: Path) -> Any:
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    loader = DataLoader()
    loader.set_basedir(str(tmp_path))
    return loader


@pytest.fixture
def hostvars(loader: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(constants, "INVENTORY_ENABLED", ["yaml"])
    inventory = InventoryManager(loader, [str(tmp_path / "hosts.yml")])
    return HostVars(inventory, VariableManager(loader, inventory), loader)


def variables_of(hostvars: Any, loader: Any, *, play: str = "", **task_vars: Any) -> TaskVariables:
    """Return the variables of every host for the first task of a play with these keywords."""
    path = Path(loader.get_basedir()) / "play.yml"
    path.write_text("hosts: mlx\ngather_facts: false\n" + (play or "tasks: [debug: ]\n"))
    keywords = loader.load_from_file(str(path), cache="none", trusted_as_template=True)
    loaded = Play.load(keywords, variable_manager=hostvars._variable_manager, loader=loader)
    task = loaded.tasks[0].block[0]
    return TaskVariables(task, Templar(loader), {"hostvars": hostvars, **task_vars})


@pytest.mark.parametrize(
    ("host", "layers"),
    [
        ("a", [{"A": "all", "C": "all"}, {"A": "group", "B": "a"}, {"A": "host"}, {"A": "host"}]),
        ("b", [{"A": "all", "C": "all"}, {"A": "group", "B": "b"}, {"A": "group", "B": "b"}]),
    ],
)
def test_layers_go_from_parents_to_the_host(host: str, layers: list[dict[str, str]], hostvars: Any, loader: Any) -> None:
    assert variables_of(hostvars, loader).layers(host, "mlx_env") == layers


def test_values_in_files_beside_the_inventory_count(hostvars: Any, loader: Any, tmp_path: Path) -> None:
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars/b.yml").write_text("mlx_env: {D: file}\n")
    assert variables_of(hostvars, loader).layers("b", "mlx_env")[-2:] == [{"D": "file"}, {"D": "file"}]


@pytest.mark.parametrize(
    ("conditions", "a", "b"),
    [
        ([], True, True),
        ([True], True, True),
        (["number == 2"], True, False),
        (["number > 0", "inventory_hostname == 'b'"], False, True),
        (["item == inventory_hostname"], True, False),
        (["inventory_hostname == 'a' or spare"], True, "b: when: inventory_hostname == 'a' or spare: "),
    ],
)
def test_conditions_are_evaluated_for_each_host(conditions: list[Any], a: Any, b: Any, hostvars: Any, loader: Any) -> None:
    found = variables_of(hostvars, loader, ansible_loop_var="item", item="a")
    trusted = [trust_as_template(each) if isinstance(each, str) else each for each in conditions]
    for host, wanted in (("a", a), ("b", b)):
        with nullcontext() if isinstance(wanted, bool) else pytest.raises(UsageError, match=wanted):
            assert found.of(host).meet(trusted) is wanted


@pytest.mark.parametrize(("number", "found"), [(0, ["a", "b"]), (1, ["c"]), (2, [])])
def test_hosts_of_a_task_are_those_of_the_strategy(number: int, found: list[str]) -> None:
    tasks = [SimpleNamespace(_uuid=each) for each in range(3)]

    def run() -> None:
        host_tasks = [(SimpleNamespace(get_name=lambda name=name: name), tasks[at]) for name, at in (("a", 0), ("b", 0), ("c", 1))]
        worker()
        del host_tasks

    def worker() -> None:
        assert hosts_of_task(tasks[number]) == found

    run()
    assert hosts_of_task(tasks[number]) is None


def test_last_layer_is_that_of_the_play(hostvars: Any, loader: Any) -> None:
    found = variables_of(hostvars, loader, play="vars: {mlx_env: {E: '{{ number }}'}}\ntasks: [debug: ]\n")
    assert [found.layers(host, "mlx_env")[-1] for host in "ab"] == [{"E": 2}, {"E": 1}]


def test_variables_of_play_and_task_are_evaluated_for_each_host(hostvars: Any, loader: Any) -> None:
    play = """
vars: {mlx_slots: "{{ number + 1 }}", mlx_python: /play}
tasks:
  - vars: {mlx_python: "/bin/{{ inventory_hostname }}"}
    block: [debug: ]
"""
    found = variables_of(hostvars, loader, play=play)
    assert [(found.of(host)["mlx_slots"], found.of(host)["mlx_python"]) for host in "ab"] == [(3, "/bin/a"), (2, "/bin/b")]


def test_variables_of_a_loop_count(hostvars: Any, loader: Any) -> None:
    play = "vars: {mlx_slots: '{{ ranks }}'}\ntasks: [debug: ]\n"
    found = variables_of(hostvars, loader, play=play, ansible_loop_var="ranks", ranks=4)
    assert found.of("b")["mlx_slots"] == 4


def test_hosts_differ_in_a_variable_by_value_or_by_template(hostvars: Any, loader: Any) -> None:
    play = "vars: {mlx_cwd: '/{{ inventory_hostname }}', mlx_root: '/{{ 1 }}', mlx_grace: 1}\ntasks: [debug: ]\n"
    found = variables_of(hostvars, loader, play=play)
    names = ("number", "mlx_cwd", "mlx_root", "mlx_grace", "nowhere")
    assert [found.of("a").differs(found.of("b"), name) for name in names] == [True, True, False, False, False]


def test_variable_that_cannot_be_evaluated_is_named_with_its_host(hostvars: Any, loader: Any) -> None:
    variables = variables_of(hostvars, loader, play="vars: {mlx_ips: ['{{ nowhere }}']}\ntasks: [debug: ]\n").of("a")
    with pytest.raises(UsageError, match="^a: mlx_ips: .*'nowhere' is undefined"):
        variables["mlx_ips"]
    assert "mlx_ips" in variables
    assert variables.get("mlx_python") is None


def test_fact_that_is_not_known_has_a_hint(hostvars: Any, loader: Any) -> None:
    play = "vars: {mlx_ips: '{{ ansible_default_ipv4.address }}'}\ntasks: [debug: ]\n"
    with pytest.raises(UsageError, match="^a: mlx_ips: 'ansible_default_ipv4' is undefined; facts, if it is one, are known only in a play"):
        variables_of(hostvars, loader, play=play).of("a")["mlx_ips"]


def test_variable_that_is_omitted_is_as_one_without_a_value(hostvars: Any, loader: Any) -> None:
    play = "vars: {mlx_env: '{{ nowhere | default(omit) }}', mlx_python: '{{ omit }}'}\ntasks: [debug: ]\n"
    found = variables_of(hostvars, loader, play=play)
    assert found.of("a")["mlx_python"] is None
    assert found.layers("b", "mlx_env") == [{"A": "all", "C": "all"}, {"A": "group", "B": "b"}]


def test_variables_of_hostvars_may_refer_to_other_hosts(hostvars: Any, loader: Any, tmp_path: Path) -> None:
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars/b.yml").write_text("mlx_slots: '{{ hostvars.a.number + number }}'\n")
    assert inventory_variables(hostvars, "b")["mlx_slots"] == 3
    assert inventory_variables({"b": {"mlx_slots": 4}}, "b")["mlx_slots"] == 4
    with pytest.raises(UsageError, match="^c: there is no such host in the inventory$"):
        inventory_variables(hostvars, "c")


def test_inventory_is_named_by_its_paths(hostvars: Any, tmp_path: Path) -> None:
    assert inventory_sources(hostvars) == [str(tmp_path / "hosts.yml")]


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("", r"^a: this machine has no ssh that can be run; install it \(Debian: openssh-client, Fedora and RHEL: openssh-clients\)"),
        ("/none/ssh", "^a: this machine has no /none/ssh that can be run; it is named by ssh_executable"),
    ],
)
def test_machine_without_ssh_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, said: str) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    variables = {"ansible_control_path_dir": str(tmp_path)} | ({"ansible_ssh_executable": program} if program else {})
    with pytest.raises(UsageError, match=said):
        argv(variables)
    assert argv({"ansible_connection": "local"})[0] == "/bin/sh"
