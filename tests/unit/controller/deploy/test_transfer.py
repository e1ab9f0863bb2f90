"""How files travel: rsync's command and what it calls, tar's stream, and what both have to say when they fail."""

from __future__ import annotations

import base64
import os
import re
import shlex
import socket
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.transfer import (
    LITTLE,
    Way,
    contents,
    explain_rsync,
    explain_tar,
    rsh_script,
    rsync_command,
    send_tree,
    write_tar,
)
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.agents import HostFailed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.programs import RSYNC, is_here

EVIL = "a b'c\"d$HOME`id`;*\n(x)\\"


def in_shell(command: str) -> list[str]:
    """Run a command as ssh does: by the login shell of the host, which is this machine."""
    return ["/bin/sh", "-c", command]


def by_sudo(command: str) -> list[str]:
    """Quote once more, as become does."""

    return ["/bin/sh", "-c", f"exec /bin/sh -c {shlex.quote(command)}"]


@pytest.mark.parametrize("argv", [in_shell, by_sudo])
def test_rsync_s_words_arrive_in_the_target_directory(tmp_path: Path, argv: object) -> None:
    target = tmp_path / EVIL
    target.mkdir()
    script = tmp_path / "rsh"
    script.write_text(rsh_script(argv, str(target)))  # type: ignore[arg-type]
    words = ["/bin/sh", script, "host", "/bin/sh", "-c", "pwd;echo", "$0"]
    done = subprocess.run([*words[:3], "pwd", "-P"], capture_output=True, text=True, check=True)
    assert done.stdout == f"{target}\n"


def test_greeting_of_a_login_does_not_reach_rsync(tmp_path: Path) -> None:
    script = tmp_path / "rsh"
    script.write_text(rsh_script(lambda command: ["/bin/sh", "-c", f"echo Welcome; printf 'no newline'; {command}"], str(tmp_path)))
    done = subprocess.run(["/bin/sh", script, "host", "printf", r"\\1\\2"], capture_output=True, check=True)
    assert done.stdout == b"\1\2"


def test_a_target_that_is_not_there_fails_with_its_name(tmp_path: Path) -> None:
    script = tmp_path / "rsh"
    script.write_text(rsh_script(in_shell, str(tmp_path / "gone")))
    done = subprocess.run(["/bin/sh", script, "host", "echo", "rsync"], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert str(tmp_path / "gone") in done.stderr


def test_rsync_s_words_need_no_quotes() -> None:
    command = rsync_command(Path("/srv") / EVIL, 7.5)
    assert command[-2:] == [f"/srv/{EVIL}/", "host:./"]
    assert "--timeout=8" in command
    # All that openrsync knows of what is used here.
    assert {word.partition("=")[0] for word in command if word.startswith("-")} == {
        *("--recursive", "--links", "--times", "--timeout", "-e", "--exclude-from", "--"),
    }
    assert "--timeout=1" in rsync_command(Path("/srv"), 0.2), "0 would be for ever"


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (
            'rsync: [receiver] write failed on "/x/.part/a": No space left on device (28)\nrsync error: file IO (code 11)\n',
            "no space left on the disk under /x",
        ),
        (
            "Read from remote host h: Connection reset by peer\nrsync error: unexplained error (code 255)\n",
            "Read from remote host h: Connection",
        ),
        ("rsync error: timeout in data send/receive (code 30) at io.c(205)\n", "rsync to /x: rsync error: timeout in data"),
        ("\n", "rsync to /x failed with status 12"),
        (
            "kex_exchange_identification: Connection closed by remote host\nrsync error: protocol data stream (code 12)\n",
            "takes no more at once (see MaxStartups in sshd_config)",
        ),
    ],
)
def test_output_of_rsync_becomes_one_line(said: str, text: str) -> None:
    told = explain_rsync(said, 12, "/x")
    assert text in told
    assert "\n" not in told


def test_what_tar_says_becomes_one_line() -> None:
    assert explain_tar("tar: a: Cannot write: No space left on device\ntar: Exiting\n", 2, "/x") == "no space left on the disk under /x"
    assert (
        explain_tar("tar: a: Cannot open: Permission denied\ntar: Exiting\n", 2, "/x")
        == "tar to /x: tar: a: Cannot open: Permission denied"
    )
    assert explain_tar("", 127, "/x") == "tar to /x failed with status 127"


def test_tar_carries_any_name(tmp_path: Path) -> None:
    names = ["-rf", EVIL.replace("/", ""), "zwölf 日本", b"not utf-8 \xff".decode("utf-8", "surrogateescape"), "n" * 200, "d/" + "m" * 150]
    source, target = tmp_path / "from", tmp_path / "to"
    for folder in (source / "d", target / "d"):
        folder.mkdir(parents=True)
    for name in names:
        (source / name).write_text(repr(name))
    with (tmp_path / "archive").open("wb") as out:
        write_tar(out.fileno(), source, names)
    # In the C locale, as over ssh.
    subprocess.run(["tar", "-xpof", tmp_path / "archive", "-C", target], check=True, env={"PATH": os.environ["PATH"], "LC_ALL": "C"})
    assert {name: (target / name).read_text() for name in names} == {name: repr(name) for name in names}
    with tarfile.open(tmp_path / "archive") as archive:
        assert archive.pax_headers == {}


@pytest.mark.parametrize("become", [None, Path.mkdir, os.mkfifo, lambda path: path.symlink_to("kept"), lambda path: path.touch(0o600)])
def test_file_that_is_gone_or_another_by_now_disturbs_no_archive(become: Callable[[Path], object] | None, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "file").touch()
    names, real = [], os.open

    def change_first(path: object, *args: Any) -> int:
        if Path(str(path)).name == "file" and not names:
            names.append(path)
            (tmp_path / "file").unlink()
            if become:
                become(tmp_path / "file")
        return real(path, *args)  # type: ignore[arg-type]

    with (tmp_path / "archive").open("wb") as out, mock.patch.object(os, "open", change_first):
        gone = write_tar(out.fileno(), tmp_path, ["file", "kept", "never"])
    assert gone[-1] == "never"
    with tarfile.open(tmp_path / "archive") as archive:
        found = {member.name: member for member in archive}
        assert found["kept"].size == 4
    assert ("file" in gone) != ("file" in found)


def test_socket_does_not_go_into_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as here, (tmp_path / "archive").open("wb") as out:
        here.bind("file")
        assert write_tar(out.fileno(), tmp_path, ["file"]) == ["file"]


def test_file_that_has_become_shorter_ends_an_archive(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("long")
    real = os.fstat

    def longer(fd: int) -> os.stat_result:
        found = list(real(fd))
        found[stat.ST_SIZE] += 1
        return os.stat_result(found)

    with (
        (tmp_path / "archive").open("wb") as out,
        mock.patch.object(tarfile.os, "fstat", longer),
        pytest.raises(OSError, match="end of data"),
    ):
        write_tar(out.fileno(), tmp_path, ["file"])


# Between a client of rsync and its server; takes a file away once the client has listed it.
_TAKES_AWAY = """
import os, subprocess, sys, threading
name, words = sys.argv[1], sys.argv[2:]
server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
listed = threading.Event()
def up():
    seen = b""
    while data := os.read(0, 65536):
        seen += data
        if os.path.basename(name).encode() in seen and os.path.exists(name):
            os.unlink(name)
        server.stdin.write(data)
        server.stdin.flush()
    server.stdin.close()
threading.Thread(target=up, daemon=True).start()
while data := os.read(server.stdout.fileno(), 65536):
    os.write(1, data)
sys.exit(server.wait())
"""


@pytest.mark.skipif(not is_here(RSYNC), reason="no rsync here")
def test_file_that_goes_between_list_and_transfer_does_not_end_rsync(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    for name in ("kept", "vanishing"):
        (tmp_path / "source" / name).write_text(name)
    (tmp_path / "between.py").write_text(_TAKES_AWAY)
    between = f"{sys.executable} {tmp_path}/between.py {tmp_path}/source/vanishing"

    def argv(command: str) -> list[str]:
        return ["/bin/sh", "-c", command.replace("exec @server@", f"exec {between} @server@")]

    class Local:
        host, lease = "a", 30.0

        def run(self, argv: Sequence[str], *, cwd: str | None = None, **_feed: object) -> tuple[int, str]:
            done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
            return done.returncode, done.stdout + done.stderr

    way = Way(argv, tmp_path, rsync=True)
    assert send_tree(Local(), way, tmp_path / "source", str(tmp_path / "target")) is False  # type: ignore[arg-type]
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["kept"]


def test_content_in_a_call_stays_small(tmp_path: Path) -> None:
    (tmp_path / "a b").write_bytes(b"\0\xff")
    (tmp_path / "grown").write_bytes(bytes(3 * LITTLE))
    found = contents(tmp_path, ["a b", "grown"])
    assert base64.b64decode(found["a b"]) == b"\0\xff"
    assert len(base64.b64decode(found["grown"])) == LITTLE + 1


@pytest.mark.parametrize("become", ["nothing", "link", "folder"])
def test_a_file_that_is_none_any_more_is_named(tmp_path: Path, become: str) -> None:
    if become == "link":
        (tmp_path / "file").symlink_to("/etc/passwd")
    elif become == "folder":
        (tmp_path / "file").mkdir()
    with pytest.raises(HostFailed, match=f"^{re.escape(str(tmp_path))}.* cannot be sent: .* was it changed meanwhile"):
        contents(tmp_path, ["file"])


def special_tree(source: Path) -> dict[str, int]:
    """Make files with special bits, and return the modes that may arrive."""
    source.mkdir()
    modes = {"setuid": 0o4755, "setgid": 0o2711, "sticky": 0o1644, "all": 0o7700, "plain": 0o640}
    for name, mode in modes.items():
        (source / name).touch()
        (source / name).chmod(mode)
    return {name: mode & 0o777 for name, mode in modes.items()}


def modes_in(target: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in target.iterdir()}


def test_special_bits_do_not_go_into_an_archive(tmp_path: Path) -> None:
    wanted = special_tree(tmp_path / "source")
    with (tmp_path / "archive").open("wb") as out:
        write_tar(out.fileno(), tmp_path / "source", list(wanted))
    (tmp_path / "target").mkdir()
    subprocess.run(["tar", "-xpof", tmp_path / "archive", "-C", tmp_path / "target"], check=True)
    assert modes_in(tmp_path / "target") == wanted


@pytest.mark.skipif(not is_here(RSYNC), reason="no rsync here")
def test_special_bits_do_not_go_with_rsync(tmp_path: Path) -> None:
    wanted = special_tree(tmp_path / "source")
    (tmp_path / "target").mkdir()
    (tmp_path / "rsh").write_text(rsh_script(in_shell, str(tmp_path / "target")))
    (tmp_path / "excluded").touch()
    subprocess.run(rsync_command(tmp_path / "source", 30), check=True, cwd=tmp_path)
    assert modes_in(tmp_path / "target") == wanted


@pytest.mark.skipif(not is_here(RSYNC), reason="no rsync here")
def test_modes_do_not_depend_on_the_umask_of_a_login(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/tool").touch(0o755)
    (tmp_path / "target").mkdir()
    (tmp_path / "rsh").write_text(rsh_script(lambda command: ["/bin/sh", "-c", f"umask 077; {command}"], str(tmp_path / "target")))
    (tmp_path / "excluded").touch()
    subprocess.run(rsync_command(tmp_path / "source", 30), check=True, cwd=tmp_path)
    assert modes_in(tmp_path / "target") == {"tool": 0o755}


def test_ssh_under_rsync_runs_where_the_others_do(tmp_path: Path) -> None:
    (tmp_path / "it's here").mkdir()
    script = rsh_script(lambda _command: ["pwd"], "/target", str(tmp_path / "it's here"))
    done = subprocess.run(
        ["/bin/sh", "-c", script.replace("pwd | {", "pwd; exit; {"), "rsh", "host"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(tmp_path / "it's here")
