"""Whether the end of a login ends its processes, by the files of systemd-logind."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import login

SESSION = "0::/user.slice/user-1000.slice/session-3.scope\n"
OLD = "1:name=systemd:/user.slice/user-1000.slice/session-c2.scope\n0::/\n"
SERVICE = "0::/system.slice/ssh.service\n"
MAIN, LATER = "etc/systemd/logind.conf", "etc/systemd/logind.conf.d/10-a.conf"
ON = "[Login]\nKillUserProcesses=yes\n"


@pytest.mark.parametrize(
    ("cgroup", "files", "ends"),
    [
        (SESSION, {MAIN: ON}, True),
        (OLD, {MAIN: ON}, True),
        (SERVICE, {MAIN: ON}, False),
        ("", {MAIN: ON}, False),
        (SESSION, {}, False),
        (SESSION, {MAIN: "[Login]\n#KillUserProcesses=no\n"}, False),
        (SESSION, {MAIN: "[Login]\n#KillUserProcesses=yes\n"}, True),  # the default of that build
        (SESSION, {MAIN: "#KillUserProcesses=yes\nKillUserProcesses = off\n"}, False),
        (SESSION, {MAIN: ON, LATER: "[Login]\nKillUserProcesses=no\n"}, False),
        (SESSION, {LATER: ON}, True),
        (SESSION, {"usr/lib/systemd/logind.conf.d/10-a.conf": ON, LATER: "[Login]\n"}, False),  # one of that name replaces it
        (SESSION, {"usr/lib/systemd/logind.conf.d/20-b.conf": ON, LATER: "[Login]\nKillUserProcesses=no\n"}, True),
        (SESSION, {MAIN: ON + "KillExcludeUsers=root mlx\n"}, False),
        (SESSION, {MAIN: ON + "KillExcludeUsers=other\n"}, True),
        (SESSION, {MAIN: ON + "KillOnlyUsers=other\n"}, False),
        (SESSION, {MAIN: ON + "KillOnlyUsers=other mlx\n"}, True),
    ],
)
def test_end_of_a_login(tmp_path: Path, cgroup: str, files: dict[str, str], ends: bool) -> None:
    (tmp_path / "cgroup").write_text(cgroup)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert login.ends_processes(str(tmp_path / "cgroup"), str(tmp_path), "mlx") is ends


def test_root_is_left_alone_unless_the_list_says_otherwise(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text(SESSION)
    (tmp_path / MAIN).parent.mkdir(parents=True)
    (tmp_path / MAIN).write_text(ON)
    assert not login.ends_processes(str(tmp_path / "cgroup"), str(tmp_path), "root")
    (tmp_path / MAIN).write_text(f"{ON}KillExcludeUsers=other\n")
    assert login.ends_processes(str(tmp_path / "cgroup"), str(tmp_path), "root")


def test_machine_without_systemd_ends_nothing(tmp_path: Path) -> None:
    assert not login.ends_processes(str(tmp_path / "none"), str(tmp_path))
