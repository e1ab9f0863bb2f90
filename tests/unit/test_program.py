"""What is sent to a host, and the command that runs it there."""

from __future__ import annotations

import shlex
import zlib

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._program import host_command, supervisor


def test_program_is_started_by_sh_whatever_the_login_shell() -> None:
    words = shlex.split(host_command([], supervisor()))
    assert words[:3] == ["exec", "/bin/sh", "-c"]
    assert len(words) == 4
    assert "\n" not in host_command([], supervisor())


def test_wanted_python_is_tried_first_and_each_once() -> None:
    script = shlex.split(host_command(["/env/bin/python", "/usr/bin/python3"], b""))[3]
    tried = [part.split()[2] for part in script.split("; ") if part.startswith("command -v")]
    assert tried == ["/env/bin/python", "/usr/bin/python3", "/opt/homebrew/bin/python3", "/usr/local/bin/python3", "python3"]


def test_python_with_a_space_and_a_quote_in_its_path_stays_one_word() -> None:
    script = shlex.split(host_command(["/it's here/python"], b""))[3]
    assert shlex.split(script.partition(" >")[0])[2] == "/it's here/python"


def test_nothing_of_the_users_python_is_loaded() -> None:
    assert " -I -S -c " in host_command([], supervisor())


def test_host_reads_exactly_the_program() -> None:
    assert f"read({len(supervisor())})" in host_command([], supervisor())
    compile(zlib.decompress(supervisor()), "supervisor", "exec")


def test_no_python_is_said_as_such() -> None:
    script = shlex.split(host_command([], supervisor()))[3]
    assert script.endswith("; echo no Python 3 was found to run mlxlaunch on this host >&2; exit 127")
