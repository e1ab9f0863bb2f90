"""How files travel: rsync's command and what it calls, tar's stream, and what both have to say when they fail."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._agents import HostFailed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._transfer import (
    LITTLE,
    contents,
    explain_rsync,
    explain_tar,
    rsh_script,
    rsync_command,
    write_tar,
)

EVIL = "a b'c\"d$HOME`id`;*\n(x)\\"


def in_shell(command: str) -> list[str]:
    """Run a command as ssh does: by the login shell of the host, which is this machine."""
    return ["/bin/sh", "-c", command]


def by_sudo(command: str) -> list[str]:
    """Quote once more, as become does."""
    import shlex

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


def test_what_a_login_prints_first_does_not_reach_rsync(tmp_path: Path) -> None:
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


def test_rsync_is_told_nothing_that_a_shell_would_have_to_quote() -> None:
    command = rsync_command(Path("/srv") / EVIL, 7.5)
    assert command[-2:] == [f"/srv/{EVIL}/", "host:./"]
    assert "--timeout=8" in command
    # All that openrsync knows of what is used here.
    assert {word.partition("=")[0] for word in command if word.startswith("-")} == {
        *("--recursive", "--links", "--perms", "--times", "--timeout", "-e", "--exclude-from", "--"),
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
    ],
)
def test_what_rsync_says_becomes_one_line(said: str, text: str) -> None:
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


def test_a_file_that_is_gone_or_shorter_is_an_error(tmp_path: Path) -> None:
    with (tmp_path / "archive").open("wb") as out, pytest.raises(OSError, match="gone"):
        write_tar(out.fileno(), tmp_path, ["gone"])


def test_what_goes_with_a_call_is_no_more_than_was_little(tmp_path: Path) -> None:
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
