"""A request: settings and hosts as Ansible and its worker get them, without the world."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mlxlaunch_ansible import UsageError
from mlxlaunch_ansible._request import CHECK, DEPLOY, LAUNCH, JobRequest, Surroundings

HERE = Surroundings("/here", "/env/bin/python", (80, 24), "xterm", "all")
HOSTFILE = {"backend": "jaccl", "hosts": [{"ssh": "mac-1", "ips": ["10.0.0.1"], "rdma": [None]}]}


def of(inventory: Any = ("127.0.0.1",), playbook: str = LAUNCH, **settings: Any) -> JobRequest:
    return JobRequest.of(inventory, settings, HERE, playbook=playbook, new_id=lambda: "j1")


def test_setup_has_the_surroundings() -> None:
    setup = of(script="/opt/train.py").setup
    assert setup["job"] == "j1"
    assert (setup["default_cwd"], setup["default_python"]) == ("/here", "/env/bin/python")
    assert (setup["terminal"], setup["term"], setup["default_stdin"]) == ((80, 24), "xterm", "all")
    assert (setup["dry_run"], setup["ranks"]) == (False, None)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"script": "/x", "grace": None}, {"script": "/x"}),
        ({"script": "/x", "grace": 0}, {"script": "/x", "grace": 0}),
        ({"command": ["echo"], "cwd": ""}, {"command": ["echo"], "cwd": ""}),
    ],
)
def test_settings_that_were_given_are_sent(given: dict[str, Any], sent: dict[str, Any]) -> None:
    assert of(**given).setup["settings"] == sent


@pytest.mark.parametrize(("given", "backend"), [(None, "jaccl"), ("auto", "jaccl"), ("ring", "ring")])
def test_backend_of_a_hostfile_is_weaker_than_a_given_one(given: str | None, backend: str) -> None:
    assert of(HOSTFILE, script="/x", backend=given).setup["settings"]["backend"] == backend


def test_hosts_come_from_the_hostfile() -> None:
    request = of(HOSTFILE, script="/x", group="macs")
    assert request.group == "macs"
    assert request.source.data == {"macs": {"hosts": {"mac-1": {"ansible_host": "mac-1"}}, "vars": {}}}
    assert request.setup["hostfile"] == HOSTFILE["hosts"]
    assert request.setup["inventory"] == {"paths": []}


def test_hosts_come_from_an_inventory(tmp_path: Any) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text("mlx: {}\n")
    request = of(path, script="/x")
    # The group is for the inventory to say.
    assert (request.group, request.source.paths, request.setup["hostfile"]) == (None, (str(path),), None)
    assert request.setup["inventory"] == {"paths": [str(path)]}


@pytest.mark.parametrize("playbook", [DEPLOY, CHECK])
def test_only_a_job_needs_a_script(playbook: str) -> None:
    assert of(playbook=playbook).playbook == playbook
    with pytest.raises(UsageError, match="no script is given"):
        of()


@pytest.mark.parametrize(
    ("inventory", "settings", "text"),
    [
        ("no/such.yml", {"script": "x"}, "no/such.yml: no such inventory"),
        (["127.0.0.1"], {"script": "x", "command": ["y"]}, "not both"),
        ({"hosts": [{"ssh": "a", "ips": ["1.1.1.1"]}], "backend": "tpu"}, {"script": "x"}, "hostfile: "),
        (["127.0.0.1"], {"script": "x", "lerase": 1}, "unknown setting: lerase"),
    ],
)
def test_mistake_is_refused_before_anything_starts(inventory: Any, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        of(inventory, **settings)


@pytest.mark.parametrize(
    ("script", "here", "elsewhere"),
    [
        ("train.py", "", ""),
        ("package", "", ""),
        ("none.py", "none.py: no such file", ""),
        ("train.py/none.py", "train.py/none.py: no such file", ""),
        ("n" * 300, f"{'n' * 300}: no such file", ""),
        ("folder", "folder is a directory without a __main__.py", ""),
        ("link", "link is a link that leads nowhere", "link is a link that leads nowhere"),
        ("circle", "circle is a link that leads nowhere", "circle is a link that leads nowhere"),
        ("pipe", "pipe is a pipe, not a file", "pipe is a pipe, not a file"),
        ("/dev/fd/{pipe}", "is a pipe, not a file", "is a pipe, not a file"),
        ("/dev/fd/{file}", "is a file that this process has open", "is a file that this process has open"),
        ("/dev/null", "/dev/null is something special", "/dev/null is something special"),
    ],
)
def test_what_can_be_no_script_is_refused_here(script: str, here: str, elsewhere: str, tmp_path: Path) -> None:
    for name in ("folder", "package"):
        (tmp_path / name).mkdir()
    for name in ("train.py", "package/__main__.py"):
        (tmp_path / name).touch()
    for name, target in (("link", "nowhere"), ("circle", "circle")):
        (tmp_path / name).symlink_to(target)
    os.mkfifo(tmp_path / "pipe")
    ours, theirs, file = *os.pipe(), os.open(tmp_path / "train.py", os.O_RDONLY)
    for inventory, text in ((["127.0.0.1"], here), (["mac-1"], elsewhere)):
        path = script.replace("{pipe}", str(ours)).replace("{file}", str(file))
        request = JobRequest.of(inventory, {"script": path}, Surroundings(str(tmp_path), "/env/bin/python"))
        if text:
            with pytest.raises(UsageError, match=text):
                request.check_script()
        else:
            request.check_script()
    for fd in (ours, theirs, file):
        os.close(fd)


def test_link_that_leads_nowhere_here_may_lead_somewhere_on_hosts(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    JobRequest.of(["mac-1"], {"script": "link", "sync": False}, Surroundings(str(tmp_path), "/env/bin/python")).check_script()
