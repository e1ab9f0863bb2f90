"""Settings of a user's ansible.cfg and ANSIBLE_*: each works as without it, is honoured, or one line says what is in the way.

A test holds the tables below to the list of ansible-core itself: a setting that is new there has to be decided here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pexpect
import pytest
from ansible import constants
from ansible.constants import DEFAULT_VAULT_ID_MATCH  # noqa: F401 - the settings are read when this module is
from ansible.parsing.vault import VaultLib, VaultSecret

from tests.lab.start import CHECKOUT
from tests.support.alone import run_alone
from tests.support.delays import without_delays

MLXLAUNCH = str(Path(sys.executable).parent / "mlxlaunch")
ANSIBLE_PLAYBOOK = str(Path(sys.executable).parent / "ansible-playbook")
PATIENCE = 200.0  # seconds after which a launch hangs
RUN = ("run", "-n", "2", "--starting-port", "auto", "--", "echo", "ran")

NO, YES, NOWHERE, ODD = "False", "True", "/no/such/place", "nonsense"

KINDS = (
    *("ACTION", "CACHE", "CALLBACK", "CLICONF", "CONNECTION", "FILTER", "HTTPAPI", "INVENTORY"),
    *("LOOKUP", "NETCONF", "TERMINAL", "TEST", "VARS"),
)
PLACES = (
    *(f"DEFAULT_{kind}_PLUGIN_PATH" for kind in KINDS),
    *("BECOME_PLUGIN_PATH", "DEFAULT_MODULE_PATH", "DEFAULT_MODULE_UTILS_PATH", "DEFAULT_ROLES_PATH", "COLLECTIONS_PATHS"),
    *("PERSISTENT_CONTROL_PATH_DIR", "ANSIBLE_CONNECTION_PATH", "RETRY_FILES_SAVE_PATH"),
)

#: With all of a family together, a job on this machine runs as without them.
HARMLESS: dict[str, dict[str, str]] = {
    "what Ansible shows": {
        "DEFAULT_STDOUT_CALLBACK": "no.such.callback",
        "CALLBACKS_ENABLED": "timer, no.such.other",
        "DEFAULT_LOAD_CALLBACK_PLUGINS": YES,
        "DEFAULT_NO_LOG": YES,
        "DEFAULT_VERBOSITY": "3",
        "DISPLAY_ARGS_TO_STDOUT": YES,
        "DISPLAY_SKIPPED_HOSTS": NO,
        "DISPLAY_TRACEBACK": "always",
        "SHOW_CUSTOM_STATS": YES,
        "DIFF_ALWAYS": YES,
        "DIFF_CONTEXT": "0",
        "MAX_FILE_SIZE_FOR_DIFF": "1",
        "VERBOSE_TO_STDERR": YES,
        "DEFAULT_LOG_FILTER": "ansible",
        "LOG_VERBOSITY": "5",
        "DEFAULT_LOG_PATH": "ansible.log",
        "ANSIBLE_FORCE_COLOR": YES,
        "ANSIBLE_NOCOLOR": NO,
        "ANSIBLE_NOCOWS": NO,
        "ANSIBLE_COW_SELECTION": "random",
        "ANSIBLE_COW_PATH": NOWHERE,
        "ANSIBLE_COW_ACCEPTLIST": "moose",
        "ACTION_WARNINGS": NO,
        "LOCALHOST_WARNING": NO,
        "INVENTORY_UNPARSED_WARNING": NO,
        "DEPRECATION_WARNINGS": NO,
        "DEVEL_WARNING": NO,
        "SYSTEM_WARNINGS": NO,
        "INJECT_INVOCATION": YES,
    },
    "debug output": {"DEFAULT_DEBUG": YES},
    "how plays go": {
        "TASK_TIMEOUT": "1",
        "DEFAULT_GATHERING": "smart",
        "TAGS_RUN": "train",
        "TAGS_SKIP": "always, launch",
        "ANY_ERRORS_FATAL": YES,
        "DEFAULT_FORCE_HANDLERS": YES,
        "ENABLE_TASK_DEBUGGER": YES,
        "TASK_DEBUGGER_IGNORE_ERRORS": NO,
        "DEFAULT_FORKS": "1",
        "HOST_PATTERN_MISMATCH": "error",
        "DEFAULT_POLL_INTERVAL": "1",
        "DEFAULT_INTERNAL_POLL_INTERVAL": "0.1",
        "ERROR_ON_MISSING_HANDLER": NO,
        "INVALID_TASK_ATTRIBUTE_FAILED": NO,
        "WORKER_SHUTDOWN_POLL_COUNT": "1",
        "WORKER_SHUTDOWN_POLL_DELAY": "0.2",
        "PYTHON_MODULE_RLIMIT_NOFILE": "512",
    },
    "strategy: free": {"DEFAULT_STRATEGY": "free"},
    "strategy: host_pinned": {"DEFAULT_STRATEGY": "host_pinned"},
    "strategy: debug": {"DEFAULT_STRATEGY": "debug"},
    "strategy: mitogen": {"DEFAULT_STRATEGY": "mitogen_linear", "DEFAULT_STRATEGY_PLUGIN_PATH": NOWHERE},
    "variables and templates": {
        "DEFAULT_HASH_BEHAVIOUR": "merge",
        "DEFAULT_PRIVATE_ROLE_VARS": YES,
        "DEFAULT_UNDEFINED_VAR_BEHAVIOR": NO,
        "DEFAULT_NULL_REPRESENTATION": "null",
        "DEFAULT_JINJA2_NATIVE": NO,
        "ALLOW_BROKEN_CONDITIONALS": YES,
        "ALLOW_EMBEDDED_TEMPLATES": NO,
        "DEFAULT_ALLOW_UNSAFE_LOOKUPS": YES,
        "INJECT_FACTS_AS_VARS": NO,
        "RUN_VARS_PLUGINS": "start",
        "VARIABLE_PLUGINS_ENABLED": ODD,
        "VARIABLE_PRECEDENCE": "all_inventory",
        "STRING_TYPE_FILTERS": ODD,
        "DUPLICATE_YAML_DICT_KEY": "error",
        "PLAYBOOK_VARS_ROOT": "all",
        "PLAYBOOK_DIR": NOWHERE,
        "DEFAULT_MANAGED_STR": ODD,
    },
    "passwords that no host needs": {
        "DEFAULT_ASK_PASS": YES,
        "DEFAULT_BECOME_ASK_PASS": YES,
        "DEFAULT_VAULT_IDENTITY": ODD,
        "DEFAULT_VAULT_ENCRYPT_IDENTITY": ODD,
        "DEFAULT_VAULT_ID_MATCH": YES,
        "VAULT_ENCRYPT_SALT": ODD,
    },
    "places of plugins": dict.fromkeys(PLACES, NOWHERE),
    "collections and files": {
        "COLLECTIONS_SCAN_SYS_PATH": NO,
        "COLLECTIONS_ON_ANSIBLE_VERSION_MISMATCH": "error",
        "YAML_FILENAME_EXTENSIONS": ".yaml",
        "MODULE_IGNORE_EXTS": ".txt",
        "OLD_PLUGIN_CACHE_CLEARING": YES,
        "RETRY_FILES_ENABLED": YES,
        "EDITOR": ODD,
        "PAGER": ODD,
        "VALIDATE_ACTION_GROUP_METADATA": NO,
    },
    "inventories": {
        "DEFAULT_HOST_LIST": NOWHERE,
        "INVENTORY_ENABLED": "ini",
        "INVENTORY_ANY_UNPARSED_IS_FAILED": YES,
        "INVENTORY_UNPARSED_IS_FAILED": YES,
        "INVENTORY_EXPORT": YES,
        "INVENTORY_IGNORE_EXTS": ".json",
        "INVENTORY_IGNORE_PATTERNS": "hosts",
        "TRANSFORM_INVALID_GROUP_CHARS": "always",
    },
    "modules and facts": {
        "ANSIBLE_PIPELINING": YES,
        "DEFAULT_KEEP_REMOTE_FILES": YES,
        "DEFAULT_MODULE_ARGS": ODD,
        "DEFAULT_MODULE_COMPRESSION": "ZIP_STORED",
        "DEFAULT_MODULE_NAME": ODD,
        "DEFAULT_EXECUTABLE": NOWHERE,
        "DEFAULT_SELINUX_SPECIAL_FS": ODD,
        "DEFAULT_LIBVIRT_LXC_NOSECLABEL": YES,
        "DEFAULT_SYSLOG_FACILITY": "LOG_LOCAL0",
        "DEFAULT_NO_TARGET_SYSLOG": YES,
        "TARGET_LOG_INFO": ODD,
        "FACTS_MODULES": ODD,
        "MODULE_STRICT_UTF8_RESPONSE": NO,
        "CACHE_PLUGIN": "no.such.cache",
        "CACHE_PLUGIN_CONNECTION": NOWHERE,
        "CACHE_PLUGIN_PREFIX": ODD,
        "CACHE_PLUGIN_TIMEOUT": "1",
        "COVERAGE_REMOTE_OUTPUT": NOWHERE,
        "COVERAGE_REMOTE_PATHS": ODD,
        "WORKER_SESSION_ISOLATION": NO,
        "WIN_ASYNC_STARTUP_TIMEOUT": "1",
        "AGNOSTIC_BECOME_PROMPT": NO,
    },
    "the way to other hosts": {
        "DEFAULT_TRANSPORT": "winrm",
        "DEFAULT_TIMEOUT": "1",
        "DEFAULT_REMOTE_USER": "nobody",
        "DEFAULT_REMOTE_PORT": "2222",
        "DEFAULT_PRIVATE_KEY_FILE": NOWHERE,
        "HOST_KEY_CHECKING": NO,
        "DEFAULT_BECOME_USER": "nobody",
        "DEFAULT_BECOME_METHOD": "no.such.method",
        "DEFAULT_BECOME_EXE": NOWHERE,
        "DEFAULT_BECOME_FLAGS": ODD,
        "BECOME_ALLOW_SAME_USER": YES,
        "DEFAULT_SU": NO,
        "SSH_AGENT": "none",
        "SSH_AGENT_EXECUTABLE": NOWHERE,
        "SSH_AGENT_KEY_LIFETIME": "1",
        "USE_PERSISTENT_CONNECTIONS": YES,
        "PERSISTENT_CONNECT_TIMEOUT": "1",
        "PERSISTENT_CONNECT_RETRY_TIMEOUT": "1",
        "PERSISTENT_COMMAND_TIMEOUT": "1",
        "PARAMIKO_HOST_KEY_AUTO_ADD": YES,
        "PARAMIKO_LOOK_FOR_KEYS": NO,
        "NETCONF_SSH_CONFIG": NOWHERE,
        "NETWORK_GROUP_MODULES": ODD,
        "INTERPRETER_PYTHON": NOWHERE,
    },
}

#: Without the setting nothing can be done: exit status 2, and one line with this text.
REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "asks for the vault's password": (
        {"DEFAULT_ASK_VAULT_PASS": YES},
        "(Vault password), and nobody can be asked here; set vault_password_file",
    ),
    "asks for that of an id": ({"DEFAULT_VAULT_IDENTITY_LIST": "dev@prompt"}, "(Vault password (dev)), and nobody can be asked here"),
    "vault file that is not there": ({"DEFAULT_VAULT_PASSWORD_FILE": NOWHERE}, f"The vault password file {NOWHERE} was not found"),
    "vault id without a file": ({"DEFAULT_VAULT_IDENTITY_LIST": f"dev@{NOWHERE}"}, "was not found"),
    "no processes": ({"DEFAULT_FORKS": "0"}, "The number of processes (--forks) must be >= 1"),
    "log in no directory": ({"DEFAULT_LOG_PATH": "/proc/x.log"}, "No such file or directory: '/proc/x.log'"),
    "number that is none": ({"TASK_TIMEOUT": "soon"}, "Config 'TASK_TIMEOUT' from "),
    "choice that is none": ({"DEFAULT_GATHERING": "often"}, "Invalid value 'often' for config 'DEFAULT_GATHERING'"),
    "agent that is not there": ({"SSH_AGENT": NOWHERE}, "Failed to launch ssh agent"),
}

#: Decided, and looked at by other tests, or not by a job at all.
ELSEWHERE = {
    "CONNECTION_PASSWORD_FILE": "honoured, as -k",
    "BECOME_PASSWORD_FILE": "honoured, as -K",
    "CONFIG_FILE": "where ansible.cfg is",
    "ANSIBLE_HOME": "that of the tests themselves",
    "DEFAULT_LOCAL_TMP": "the same",
    "DEFAULT_BECOME": "honoured; test_become_that_needs_a_password_names_ansible_cfg",
    "CONNECTION_FACTS_MODULES": "cannot be set",
    "INTERPRETER_PYTHON_FALLBACK": "cannot be set",
    "PLUGIN_FILTERS_CFG": "a filter may reject any plugin",
    "DEFAULT_JINJA2_EXTENSIONS": "Ansible's own error",
}
OTHER_COMMANDS = ("GALAXY_", "COLOR_", "DOC", "_")


def definition(name: str) -> dict[str, Any]:
    found: dict[str, Any] = constants.config.get_configuration_definitions(ignore_private=False).get(name, {})
    return found


def configure(here: Path, settings: Mapping[str, str], env: dict[str, str], *, by_env: bool = False) -> None:
    """Write settings into ansible.cfg, and those that only the environment can have, or all, into that."""
    sections: dict[str, list[str]] = {}
    for name, value in settings.items():
        found = definition(name)
        if found.get("ini") and not (by_env and found.get("env")):
            sections.setdefault(found["ini"][-1]["section"], []).append(f"{found['ini'][-1]['key']} = {value}")
        elif found.get("env"):
            env[found["env"][-1]["name"]] = value
    (here / "ansible.cfg").write_text("".join(f"[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections.items()))


def run(*words: str, here: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `mlxlaunch`, with a session of its own and so without a terminal."""
    return run_alone([MLXLAUNCH, *words], here, env, PATIENCE)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the only line that a refused command has printed."""
    [line] = without_delays(done.stderr).splitlines()
    return line


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Give a directory with an inventory of this machine."""
    (tmp_path / "hosts.yml").write_text("mlx: {hosts: {n1: {ansible_connection: local, mlx_ips: [127.0.0.1], mlx_slots: 2}}}\n")
    return tmp_path


@pytest.fixture
def env() -> dict[str, str]:
    return dict(os.environ)


@pytest.mark.sweep
@pytest.mark.parametrize("family", HARMLESS)
def test_job_runs_as_without_the_settings(family: str, here: Path, env: dict[str, str]) -> None:
    configure(here, HARMLESS[family], env)
    done = run(*RUN, here=here, env=env)
    assert (done.returncode, done.stdout) == (0, "ran\nran\n"), done.stderr


@pytest.mark.parametrize("family", ["what Ansible shows", "how plays go", "passwords that no host needs", "collections and files"])
def test_hostfile_is_as_without_the_settings(family: str, here: Path, env: dict[str, str]) -> None:
    configure(here, HARMLESS[family], env, by_env=True)
    env |= {"ANSIBLE_DISPLAY_OK_HOSTS": "no", "ANSIBLE_DISPLAY_FAILED_STDERR": "yes", "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml"}
    done = run("hostfile", "-i", "hosts.yml", here=here, env=env)
    assert (done.returncode, done.stdout.count('"ssh": "127.0.0.1"')) == (0, 2), done.stderr


@pytest.mark.sweep
@pytest.mark.parametrize("row", REFUSED)
def test_setting_in_the_way_is_one_line(row: str, here: Path, env: dict[str, str]) -> None:
    settings, said = REFUSED[row]
    configure(here, settings, env)
    done = run(*RUN, here=here, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in one_line(done)


@pytest.mark.parametrize(
    "words",
    [("check", "-i", "hosts.yml"), ("sync", "-i", "hosts.yml", "x.py"), ("hostfile", "-i", "hosts.yml")],
    ids=lambda words: words[0],
)
def test_no_command_waits_for_a_password(words: Sequence[str], here: Path, env: dict[str, str]) -> None:
    (here / "x.py").write_text("print(1)\n")
    configure(here, {"DEFAULT_ASK_VAULT_PASS": YES, "DEFAULT_ASK_PASS": YES, "DEFAULT_BECOME_ASK_PASS": YES}, env, by_env=True)
    done = run(*words, here=here, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert "set vault_password_file" in one_line(done)


def test_every_setting_of_ansible_core_is_decided() -> None:
    decided = {name for family in HARMLESS.values() for name in family} | {
        name for settings, _said in REFUSED.values() for name in settings
    }
    known = constants.config.get_configuration_definitions(ignore_private=False)
    assert sorted(name for name in known if not name.startswith(OTHER_COMMANDS) and name not in decided | ELSEWHERE.keys()) == []


# -- a vault


@pytest.fixture
def vaulted(here: Path) -> Path:
    """Give the inventory a variable for ranks that is encrypted with the password `open`."""
    text = VaultLib().encrypt("se$cret", VaultSecret(b"open")).decode()
    lines = "".join(f"    {line}\n" for line in text.splitlines())
    (here / "group_vars").mkdir()
    (here / "group_vars/mlx.yml").write_text(f"mlx_env:\n  TOKEN: !vault |\n{lines}")
    (here / "password").write_text("open\n")
    return here


VAULTED = ("-i", "hosts.yml", "--starting-port", "auto", "--log-dir", "runs")


def test_vaulted_variable_reaches_ranks_and_no_record(vaulted: Path, env: dict[str, str]) -> None:
    configure(vaulted, {"DEFAULT_VAULT_PASSWORD_FILE": "password"}, env)
    done = run("run", *VAULTED, "--", "sh", "-c", 'test "$TOKEN" = "se\\$cret" && echo yes', here=vaulted, env=env)
    assert (done.returncode, done.stdout) == (0, "yes\nyes\n"), done.stderr
    assert not [path for path in (vaulted / "runs").rglob("*") if path.is_file() and b"se$cret" in path.read_bytes()]
    planned = run("run", *VAULTED, "--dry-run", "--", "true", here=vaulted, env=env)
    assert planned.returncode == 0
    assert "TOKEN" in planned.stdout
    assert "se$cret" not in planned.stdout


@pytest.mark.parametrize(("typed", "status", "said"), [("open", 0, r"se\$cret"), ("wrong", 2, "[Dd]ecrypt")])
def test_password_is_asked_on_the_person_s_terminal(typed: str, status: int, said: str, vaulted: Path, env: dict[str, str]) -> None:
    configure(vaulted, {"DEFAULT_ASK_VAULT_PASS": YES}, env)
    child = pexpect.spawn(
        MLXLAUNCH, ["run", *VAULTED, "--", "printenv", "TOKEN"], cwd=str(vaulted), env=env, timeout=PATIENCE, encoding="utf-8"
    )
    try:
        child.expect("Vault password: ")
        child.sendline(typed)
        child.expect(pexpect.EOF)
        child.wait()
    finally:
        child.close(force=True)
    assert re.search(said, child.before), child.before
    assert child.exitstatus == status, child.before
    assert typed == "open" or "wrong" not in child.before


# -- our playbooks, with Ansible's own command


def test_our_playbooks_state_what_they_need(here: Path, env: dict[str, str]) -> None:
    names = ("DEFAULT_STRATEGY", "TASK_TIMEOUT", "DEFAULT_NO_LOG", "ENABLE_TASK_DEBUGGER", "DEFAULT_GATHERING")
    configure(here, dict(zip(names, ("free", "1", YES, YES, "implicit"), strict=True)), env)
    env["ANSIBLE_COLLECTIONS_PATH"] = str(CHECKOUT / ".ansible")
    job = '{"mlx_command": ["sh", "-c", "sleep 2; echo ran"], "mlx_starting_port": "auto"}'
    words = [ANSIBLE_PLAYBOOK, "-i", "hosts.yml", str(CHECKOUT / "playbooks/launch.yml"), "-e", job]
    done = subprocess.run(words, cwd=here, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ran\n") == 2
    assert "changed: [n1]" in done.stdout


def play(playbook: str, job: Mapping[str, Any], here: Path, env: dict[str, str], output: str = "out") -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook with its output in a file."""
    env["ANSIBLE_COLLECTIONS_PATH"] = str(CHECKOUT / ".ansible")
    words = [ANSIBLE_PLAYBOOK, "-i", "hosts.yml", str(CHECKOUT / "playbooks" / playbook), "-e", json.dumps(job)]
    with open(here / output, "w") as out:  # noqa: PTH123 - a device
        return subprocess.run(
            words, cwd=here, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False
        )


@pytest.mark.versions
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("buffered", [True, False], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("callback", ["default", "minimal", "mlxlaunch.cluster.stream"])
def test_play_ends_when_its_output_cannot_be_written(callback: str, buffered: bool, here: Path, env: dict[str, str]) -> None:
    env |= {"ANSIBLE_STDOUT_CALLBACK": callback, "PYTHONUNBUFFERED": "" if buffered else "1"}
    job = {"mlx_command": ["sh", "-c", "echo ran; echo more >> ran"], "mlx_starting_port": "auto", "mlx_cwd": str(here)}
    done = play("launch.yml", job, here, env, "/dev/full")
    assert (here / "ran").read_text() == "more\nmore\n", done.stderr
    assert done.returncode == 0, done.stderr
    assert "No space left on device" in done.stderr


def test_tags_that_leave_all_out_are_told(here: Path, env: dict[str, str]) -> None:
    configure(here, {"TAGS_RUN": "train"}, env)
    env["ANSIBLE_STDOUT_CALLBACK"] = "mlxlaunch.cluster.stream"
    done = play("launch.yml", {"mlx_command": "hostname"}, here, env)
    assert "no task has run: tags leave them all out (--tags, --skip-tags, or [tags] in ansible.cfg)" in " ".join(done.stderr.split())


@pytest.mark.parametrize("strategy", ["free", "host_pinned"])
def test_strategy_of_a_user_s_play_is_refused_by_ansible(strategy: str, here: Path, env: dict[str, str]) -> None:
    play = {"hosts": "mlx", "gather_facts": False, "strategy": strategy, "roles": ["mlxlaunch.cluster.launch"]}
    (here / "play.yml").write_text(json.dumps([play]))
    env["ANSIBLE_COLLECTIONS_PATH"] = str(CHECKOUT / ".ansible")
    words = [ANSIBLE_PLAYBOOK, "-i", "hosts.yml", "play.yml", "-e", "mlx_command=hostname"]
    done = subprocess.run(words, cwd=here, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode != 0
    assert "bypasses the host loop" in done.stdout + done.stderr


def test_become_that_needs_a_password_names_ansible_cfg(here: Path, env: dict[str, str]) -> None:
    sudo = here / "sudo"
    sudo.write_text("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")
    sudo.chmod(0o755)
    (here / "ansible.cfg").write_text(f"[privilege_escalation]\nbecome = True\nbecome_exe = {sudo}\n")
    done = run(*RUN, here=here, env=env)
    assert (done.returncode, done.stdout) == (3, "")
    assert "sudo: a password is required: become needs a password there" in done.stderr
    assert "ansible.cfg ([privilege_escalation])" in done.stderr
