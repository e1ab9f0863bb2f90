"""The choice between rsync and tar, and the files that are sent."""

from __future__ import annotations

import shutil
from pathlib import Path
from unittest import mock

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.sender import Sender
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.agents import HostFailed
from tests.support.moments import Moments
from tests.unit.controller.fleets import Answer, FakeAgent, access


def send(folder: Path, *, there: bool, here: bool, answer: Answer = (0, "")) -> FakeAgent:
    """Send a directory to a host, and return its agent."""
    (folder / "source").mkdir()
    (folder / "source/a.txt").touch()
    agent = FakeAgent("a", {"a program here": answer}, lambda _host, _text: None)
    sender = Sender({"a": access("a")}, {"a": {"rsync": there}}, folder, program=lambda _name: here)
    sender.send_whole(agent, folder / "source", "/target")
    return agent


@pytest.mark.parametrize(("there", "here", "program"), [(True, True, "rsync"), (True, False, "connect-to"), (False, True, "connect-to")])
def test_rsync_is_used_where_both_sides_have_it(tmp_path: Path, there: bool, here: bool, program: str) -> None:
    [argv] = send(tmp_path, there=there, here=here).programs
    assert argv[0] == program
    assert ("tar" in argv[-1]) == (program != "rsync")


@pytest.mark.parametrize(("there", "here", "whole"), [(True, True, set()), (True, False, {"a"}), (False, False, set())])
def test_hosts_are_noted_that_rsync_here_would_serve(tmp_path: Path, there: bool, here: bool, whole: set[str]) -> None:
    (tmp_path / "a.txt").touch()
    sender = Sender({"a": access("a")}, {"a": {"rsync": there}}, tmp_path, program=lambda _name: here)
    sender.send_whole(FakeAgent("a", {"a program here": (0, "")}, lambda _host, _text: None), tmp_path, "/target")
    assert sender.whole == whole


def test_failed_transfer_is_the_host_s_failure(tmp_path: Path) -> None:
    with pytest.raises(HostFailed, match="no space left on the disk under /target"):
        send(tmp_path, there=False, here=False, answer=(2, "tar: No space left on device"))


def test_rsync_leaves_out_the_mark_of_a_whole_directory(tmp_path: Path) -> None:
    send(tmp_path, there=True, here=True)
    [excluded] = tmp_path.glob("*/excluded")
    assert excluded.read_text().startswith("- /")


def test_directory_that_rsync_lists_is_not_listed_for_each_host(tmp_path: Path) -> None:
    with mock.patch(f"{Sender.__module__}._below") as listed:
        send(tmp_path, there=True, here=True)
    listed.assert_not_called()


def test_rsync_is_given_only_the_files_that_are_named(tmp_path: Path) -> None:
    agent = FakeAgent("a", {"a program here": (0, "")}, lambda _host, _text: None)
    sender = Sender({"a": access("a")}, {"a": {"rsync": True}}, tmp_path, program=lambda _name: True)
    sender.send_whole(agent, tmp_path, "/target", ["a.whl", "b.whl"])
    [excluded] = tmp_path.glob("*/excluded")
    assert excluded.read_text() == "+ /a.whl\n+ /b.whl\n- /*\n"


def test_cache_that_goes_while_a_directory_is_listed_is_no_part_of_it(tmp_path: Path) -> None:
    source = tmp_path / "env"
    (source / "lib/__pycache__").mkdir(parents=True)
    (source / "lib/__pycache__/a.pyc.1234").touch()
    (source / "lib/a.py").touch()
    (source / "lib64").symlink_to("lib")
    moments = Moments(source, "lib/__pycache__", 2, lambda: shutil.rmtree(source / "lib/__pycache__"))
    agent = FakeAgent("a", {"a program here": (0, "")}, lambda _host, _text: None)
    sender = Sender({"a": access("a")}, {"a": {"rsync": False}}, tmp_path)
    with moments.watched(), mock.patch(f"{Sender.__module__}.send_tar") as sent:
        sender.send_whole(agent, source, "/target")
    assert sent.call_args.args[4] in (["lib", "lib/__pycache__", "lib/a.py", "lib64"], ["lib", "lib/a.py", "lib64"])


def test_content_from_elsewhere_goes_by_tar_since_rsync_knows_one_directory(tmp_path: Path) -> None:
    agent = FakeAgent("a", {"a program here": (0, "")}, lambda _host, _text: None)
    sender = Sender({"a": access("a")}, {"a": {"rsync": True}}, tmp_path, program=lambda _name: True)
    (tmp_path / "real.py").touch()
    assert sender.send(agent, tmp_path / "proj", "/target", ["util.py"], b"", {"util.py": f"{tmp_path}/real.py"})
    assert "exec tar" in agent.programs[0][-1]
    assert sender.whole == set()
