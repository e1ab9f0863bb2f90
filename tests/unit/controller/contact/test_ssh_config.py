"""The settings that ssh itself tells for a host."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.ssh_config import SshConfig, words_to_jump

TEXT = """\
host mac
user me
hostname 10.0.0.1
port 22
hashknownhosts no
identitiesonly yes
stricthostkeychecking ask
identityfile ~/.ssh/id_rsa
identityfile ~/.ssh/id_ed25519
userknownhostsfile /root/.ssh/known_hosts /root/.ssh/known_hosts2
"""


def config(**changes: str) -> SshConfig:
    """Return the settings of TEXT with others in their places."""
    lines = [line for line in TEXT.splitlines() if line.split()[0] not in changes]
    return SshConfig.of("\n".join([*lines, *(f"{name} {value}" for name, value in changes.items())]))


def test_settings_are_those_of_ssh() -> None:
    found = config()
    assert (found.user, found.known_as, found.accepts_new, found.jumps) == ("me", "10.0.0.1", False, [])
    assert found.identities == ["~/.ssh/id_rsa", "~/.ssh/id_ed25519"]
    assert found.is_on("identitiesonly")
    assert not found.is_on("hashknownhosts")
    assert config(stricthostkeychecking="accept-new").accepts_new
    assert not config(stricthostkeychecking="false").accepts_new
    assert config(identityfile="none").identities == []


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"port": "2222"}, "[10.0.0.1]:2222"),
        ({"hostkeyalias": "mac"}, "mac"),
        ({"hostkeyalias": "mac", "port": "2222"}, "mac"),
        ({"hostname": "fe80::1"}, "fe80::1"),
    ],
)
def test_name_of_a_key_is_that_in_known_hosts(changes: dict[str, str], name: str) -> None:
    assert config(**changes).known_as == name


@pytest.mark.parametrize(
    ("text", "jumps"),
    [
        ("none", []),
        ("gate", [["--", "gate"]]),
        ("me@gate:2222", [["-p", "2222", "--", "me@gate"]]),
        ("a,b@c:1", [["--", "a"], ["-p", "1", "--", "b@c"]]),
        ("ssh://me@gate:22", [["-p", "22", "--", "me@gate"]]),
        ("[fe80::1]:22", [["-p", "22", "--", "fe80::1"]]),
    ],
)
def test_jump_hosts_are_reached_as_ssh_does(text: str, jumps: list[list[str]]) -> None:
    assert config(proxyjump=text).jumps == jumps


@pytest.mark.parametrize(
    ("value", "there", "file"),
    [
        ("/h/known_hosts /h/known_hosts2", [], "/h/known_hosts"),
        ("/h/known_hosts /h/known_hosts2", ["/h/known_hosts", "/h/known_hosts2"], "/h/known_hosts"),
        ("/h/my hosts", ["/h/my hosts"], "/h/my hosts"),
        ("/h/my folder/hosts /h/b", ["/h/my folder"], "/h/my folder/hosts"),
        ("/h/my hosts", ["/h"], "/h/my hosts"),
        ("/h/new/a /h/new/b", [], "/h/new/a"),
        ("/dev/null", ["/dev/null", "/dev"], ""),
        ("none", [], ""),
    ],
)
def test_file_of_known_hosts_may_have_blanks_in_its_name(value: str, there: list[str], file: str) -> None:
    assert config(userknownhostsfile=value).known_hosts(there.__contains__) == file


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (("ssh", "-F", "x y", "-p", "2", "--", "h"), ["-F", "x y"]),
        (("ssh", "-Fx", "--", "h"), ["-Fx"]),
        (("ssh", "-o", "A=b", "--", "-F"), []),
    ],
)
def test_way_to_a_jump_host_has_only_the_configuration_file(words: tuple[str, ...], file: list[str]) -> None:
    assert list(words_to_jump(words, ["--", "gate"])) == ["ssh", *file, "-o", "LogLevel=ERROR", "-T", "--", "gate"]
