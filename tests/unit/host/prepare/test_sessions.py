"""Limits of sessions on Linux, by a file of ours, and programs that outlive a login."""

from __future__ import annotations

import resource
import shlex
import subprocess
from pathlib import Path
from unittest import mock

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare import sessions
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.sessions import Linger, SessionLimit
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.this_host import NotHere
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import shapes
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.replies.prepare_answers import _COMMANDS
from tests.unit.host.prepare.programs import commands, host

UNLIMITED = resource.RLIM_INFINITY


@pytest.fixture
def most(tmp_path: Path) -> Path:
    (tmp_path / "most").write_text("1048576\n")
    return tmp_path / "most"


def limit(folder: Path, most: Path) -> SessionLimit:
    return SessionLimit("nofile", resource.RLIMIT_NOFILE, [str(most), "/nonsense"], str(folder))


@pytest.mark.parametrize(
    ("session", "text"),
    [
        ((1024, 524288), "* soft nofile 65536\nroot soft nofile 65536\n"),
        ((1024, UNLIMITED), "* soft nofile 65536\nroot soft nofile 65536\n"),
        ((1024, 4096), "* - nofile 65536\nroot - nofile 65536\n"),
        ((65536, 65536), ""),
        ((UNLIMITED, UNLIMITED), ""),
    ],
)
def test_file_raises_what_is_too_low_and_lowers_nothing(
    tmp_path: Path, most: Path, monkeypatch: pytest.MonkeyPatch, session: tuple[int, int], text: str
) -> None:
    monkeypatch.setattr(sessions, "_session", lambda _host, _kind: session)
    monkeypatch.setattr(sessions, "_may_raise", lambda _kind, _value: True)
    item, one = limit(tmp_path, most), host()
    now = item.read(one)
    wanted = item.wanted(one, now, 65536)
    assert wanted == {"file": text}
    steps = item.steps(one, now, wanted)
    for command in [command for step in steps for command in step.commands]:  # the controller takes them, to show to a person
        shapes.command(shapes.text(), _COMMANDS["open_files"])([word.replace(str(tmp_path), sessions.FOLDER) for word in command])
    # By hand and by the step it is the same.
    for command in [command for step in steps for command in step.commands]:
        subprocess.run(["sh", "-c", shlex.join(command).replace("prlimit --nofile=65536", "")], check=True)
    assert item.read(one) == wanted
    for step in steps:
        assert step.perform(one) == ""
    assert item.read(one) == wanted
    assert item.wanted(one, wanted, 65536) == wanted
    assert commands(item.steps(one, wanted, {"file": ""})) == ([f"rm {tmp_path}/90-mlxlaunch-nofile.conf"] if text else [])


def test_limit_by_which_nobody_could_log_in_is_refused(tmp_path: Path, most: Path) -> None:
    with pytest.raises(CallFailed, match="asks for 1048577, and the kernel of this host takes at most 1048576"):
        limit(tmp_path, most).wanted(host(), {"file": ""}, 1048577)


def test_hard_limit_that_root_may_not_raise_is_told(tmp_path: Path, most: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container: with our file, pam_limits could not set the limit, and nobody could log in."""
    monkeypatch.setattr(sessions, "_session", lambda _host, _kind: (1024, 4096))
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (1024, 4096))
    refused = mock.Mock(side_effect=ValueError("not allowed to raise maximum limit"))
    monkeypatch.setattr(resource, "setrlimit", refused)
    item, one = limit(tmp_path, most), host()
    monkeypatch.setattr(one, "is_root", True)
    with pytest.raises(CallFailed, match="root may not raise the hard limit of 4096, as in a container"):
        item.wanted(one, item.read(one), 65536)
    refused.assert_called_once_with(resource.RLIMIT_NOFILE, (1024, 65536))
    monkeypatch.setattr(one, "is_root", False)
    [line] = commands(item.steps(one, item.read(one), item.wanted(one, item.read(one), 65536)))
    assert line.startswith("sh -c prlimit --nofile=65536 true && printf ")


def test_trial_of_a_hard_limit_leaves_it_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", tried := mock.Mock())
    assert sessions._may_raise(resource.RLIMIT_NOFILE, 65536)
    assert [call.args[1] for call in tried.call_args_list] == [(1024, 65536), (1024, 4096)]


def test_system_with_other_limits_is_told(tmp_path: Path, most: Path) -> None:
    with pytest.raises(NotHere, match="it sets limits in another way"):
        limit(tmp_path / "no", most).read(host())


def test_session_is_that_of_the_user_behind_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    here = resource.getrlimit(resource.RLIMIT_NPROC)
    assert sessions._session(host(), resource.RLIMIT_NPROC) == here
    one = host()
    monkeypatch.setattr(one, "user", lambda: (1, "daemon"))
    monkeypatch.setattr(sessions, "_ancestor", lambda _uid: 1)
    monkeypatch.setattr(resource, "prlimit", lambda pid, _kind: (pid, pid))
    assert sessions._session(one, resource.RLIMIT_NPROC) == (1, 1)


def test_process_of_nobody_here_is_not_found() -> None:
    assert sessions._ancestor(54321) == 0


def test_linger_is_what_systemd_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, item = host(), Linger(str(tmp_path / "linger"))
    monkeypatch.setattr(one, "user", lambda: (1000, "ann"))
    assert item.read(one) == {"ann": "no"}
    wanted = item.wanted(one, {"ann": "no"}, True)
    assert commands(item.steps(one, {"ann": "no"}, wanted)) == ["loginctl enable-linger ann"]
    assert commands(item.steps(one, wanted, {"ann": "no"})) == ["loginctl disable-linger ann"]
    (tmp_path / "linger").mkdir()
    (tmp_path / "linger/bob").touch()
    assert item.read(one, ["bob"]) == {"bob": "yes"}
    with pytest.raises(NotHere, match="no systemd"):
        Linger("/nonsense/linger").read(one)
