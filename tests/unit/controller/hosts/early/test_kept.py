"""The command lines that are kept for the next run of the same request: which, where, and for whom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.early.kept import (
    AGENT,
    SUPERVISOR,
    Commands,
    Place,
    is_plain,
    keep_commands,
    kept_commands,
)

PLACE = Place("launch.yml /inventory/hosts.yml", "digest")
COMMAND = "exec /bin/sh -c 'run it'"
# As Ansible makes them (seen with 2.19).
ARGV = ("ssh", "-o", "ControlMaster=auto", "-o", "ControlPersist=60s", "-o", "StrictHostKeyChecking=yes", "-o", 'User="ada"', "-o")
ARGV += ("ConnectTimeout=10", "-F", "/etc/lab", "-o", 'ControlPath="/run/cp/1"', "-T", "-o", "BatchMode=yes", "--", "mac-1", COMMAND)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def without(*words: str) -> tuple[str, ...]:
    return tuple(word for word in ARGV if word not in words)


def with_options(*words: str) -> tuple[str, ...]:
    return (*ARGV[:1], *words, *ARGV[1:])


@pytest.mark.parametrize("program", [SUPERVISOR, AGENT])
def test_what_was_kept_is_read_again(program: str) -> None:
    keep_commands(PLACE, program, [ARGV])
    assert kept_commands(PLACE) == Commands(program, (ARGV,))
    assert PLACE.path.stat().st_mode & 0o777 == 0o600


def test_nothing_is_known_of_another_request() -> None:
    keep_commands(PLACE, SUPERVISOR, [ARGV])
    assert kept_commands(Place(PLACE.owner, "another digest")) == Commands()
    assert kept_commands(Place("another inventory", PLACE.key)) == Commands()


def test_one_inventory_has_one_file(cache: Path) -> None:
    for key in ("a", "b", "c"):
        keep_commands(Place(PLACE.owner, key), SUPERVISOR, [ARGV])
    assert len([path for path in cache.rglob("*") if path.is_file()]) == 1


def test_file_that_is_right_already_is_not_written_again() -> None:
    keep_commands(PLACE, SUPERVISOR, [ARGV])
    before = PLACE.path.stat().st_ino
    keep_commands(PLACE, SUPERVISOR, [ARGV])
    assert PLACE.path.stat().st_ino == before


BROKEN: list[Any] = [
    "",
    "[]",
    "no JSON",
    "[" * 100_000,
    {"key": "digest"},
    {"key": "digest", "program": "rm", "argvs": [list(ARGV)]},
    {"key": "digest", "program": SUPERVISOR, "argvs": 1},
    {"key": "digest", "program": SUPERVISOR, "argvs": [1]},
    {"key": "digest", "program": SUPERVISOR, "argvs": [["rm", "-rf"]]},
    {"key": "digest", "program": SUPERVISOR, "argvs": [[1, 2]]},
    {"key": "digest", "program": SUPERVISOR, "argvs": [[]]},
]


@pytest.mark.parametrize("content", BROKEN, ids=range(len(BROKEN)))
def test_file_that_is_no_such_file_is_none(content: Any) -> None:
    keep_commands(PLACE, SUPERVISOR, [])
    PLACE.path.write_text(content if isinstance(content, str) else json.dumps(content))
    assert kept_commands(PLACE) == Commands()


def test_file_that_others_may_write_is_none() -> None:
    keep_commands(PLACE, SUPERVISOR, [ARGV])
    PLACE.path.chmod(0o666)
    assert kept_commands(PLACE) == Commands()


PLAIN = [ARGV, ("/usr/bin/ssh", *ARGV[1:]), with_options("-i", "/key", "-p", "22", "-4"), with_options("-o", "ProxyJump=gate")]
NOT_PLAIN = {
    "this machine": ("/bin/sh", "-c", COMMAND),
    "a password on the way": ("/bin/sh", "-c", 'read word; "$@"', *ARGV),
    "another program": ("sshpass", *ARGV),
    "would ask": without("BatchMode=yes"),
    "a command of the user's": with_options("-o", "ProxyCommand=nc --token secret %h"),
    "in one word": with_options("-oProxyCommand=nc"),
    "a variable": with_options("-o", "SetEnv=TOKEN=secret"),
    "in another case": with_options("-o", "proxycommand=nc"),
    "a local command": with_options("-o", "LocalCommand=x"),
    "a remote command": with_options("-o", "RemoteCommand=x"),
    "a plugin": with_options("-o", "PKCS11Provider=/x"),
    "a forward": with_options("-L", "1:h:2"),
    "a name that begins alike": with_options("-o", "Username=x"),
    "sudo, which has another mark each time": (*ARGV[:-1], "sudo -n /bin/sh -c 'echo BECOME-SUCCESS-abc; x'"),
    "no host": ARGV[:-2],
    "more words": (*ARGV, "x"),
    "nothing": (),
    "no command": with_options("--"),
}


@pytest.mark.parametrize("argv", PLAIN, ids=range(len(PLAIN)))
def test_command_line_that_can_hold_no_secret_is_kept(argv: tuple[str, ...]) -> None:
    keep_commands(PLACE, SUPERVISOR, [argv])
    assert kept_commands(PLACE).argvs == (argv,)


@pytest.mark.parametrize("argv", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_any_other_command_line_is_not_kept(argv: tuple[str, ...], cache: Path) -> None:
    assert not is_plain(argv)
    keep_commands(PLACE, SUPERVISOR, [argv, ARGV])
    assert kept_commands(PLACE).argvs == (ARGV,)
    assert "secret" not in "".join(path.read_text() for path in cache.rglob("*") if path.is_file())
