"""A host says what is missing before anything is started, and holds what is there."""

from __future__ import annotations

import os
import pwd
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import programs
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.prepare import Prepared, _hold_all, at_home, check_host, host_facts
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.spec import HostSpec, RankSpec
from tests.support.users import NOBODY, ONLY_ROOT, as_user
from tests.unit.host_specs import host_spec, rank_spec
from tests.unit.loopback import free_address

VERSION = "projects/llm/0123456789abcdef"


def spec(tmp_path: Path, **wanted: Any) -> HostSpec:
    return host_spec(python=sys.executable, cwd=str(tmp_path)).replace(**wanted)


def problems(tmp_path: Path, **wanted: Any) -> list[str]:
    _facts, found, ports = check_host(spec(tmp_path, **wanted))
    ports.close()
    return found  # type: ignore[no-any-return]


def test_host_that_has_everything_has_no_problems(tmp_path: Path) -> None:
    (tmp_path / "train.py").touch()
    assert problems(tmp_path, script="train.py", addresses=["127.0.0.1"], listen=[free_address()]) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("{tmp}:/usr/bin", []),
        ("/usr/bin", ["command mine is not there, or cannot be run (looked in the ranks' own PATH, /usr/bin)"]),
        (".:/usr/bin", []),  # as seen by the rank, from its working directory
    ],
)
def test_program_is_looked_for_in_the_ranks_own_path(tmp_path: Path, path: str, text: list[str]) -> None:
    (tmp_path / "mine").symlink_to("/bin/true")
    ranks = [rank_spec(0, "mine", env={"PATH": path.replace("{tmp}", str(tmp_path))})]
    assert problems(tmp_path, python="", command="mine", ranks=ranks) == text


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"python": "/nowhere/python"}, "python /nowhere/python is not there, or cannot be run"),
        ({"python": "no-such-python"}, "python no-such-python is not there, or cannot be run"),
        ({"script": "gone.py"}, "script {tmp}/gone.py is not there"),
        ({"script": "/gone.py"}, "script /gone.py is not there"),
        ({"script": "pipe"}, "script {tmp}/pipe is no file"),
        ({"script": "package"}, "script {tmp}/package is a directory without a __main__.py"),
        ({"python": "", "command": "no-such-command"}, "command no-such-command is not there, or cannot be run"),
        ({"python": "", "command": "./plain"}, "command ./plain is not there, or cannot be run (looked in {tmp})"),
        ({"python": "", "command": "package"}, "command package is not there, or cannot be run"),
        ({"cwd": "/nowhere"}, "working directory /nowhere is not there"),
        (
            {"listen": ["127.0.0.1:{used}"]},
            "port 127.0.0.1:{used} cannot be used: {taken}; try another --starting-port",
        ),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, wanted: dict[str, Any], text: str) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "plain").touch(0o644)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with socket.create_server(("127.0.0.1", 0)) as server:
        used = str(server.getsockname()[1])
        who = f" ({Path('/proc/self/comm').read_text().strip()}, process {os.getpid()})" if sys.platform == "linux" else ""
        if "listen" in wanted:
            wanted = {"listen": [address.replace("{used}", used) for address in wanted["listen"]]}
        text = text.replace("{used}", used).replace("{taken}", f"Address already in use{who}")
        assert problems(tmp_path, **wanted) == [text.replace("{tmp}", str(tmp_path))]


NOT_THERE = "which is not there, or cannot be run"


@pytest.mark.parametrize(
    ("first", "text"),
    [
        ("#!/bin/sh\n", ""),
        ("#! /bin/sh -eu\n", ""),
        ("#!\t/usr/bin/env\tsh", ""),
        ("#!/usr/bin/env -S sh -eu\n", ""),
        ("#!/usr/bin/env -i no-such-program\n", ""),
        ("#!/usr/bin/env A=1 no-such-program\n", ""),
        ("#!./own\n", ""),
        ("#!own\n", ""),
        ("#!\n", ""),
        ("echo\n", ""),
        ("#!/bin/sh\r\n", rf"'/bin/sh\r', {NOT_THERE} (Windows line ends?)"),
        ("#!/usr/bin/env sh\r\n", rf"'sh\r', {NOT_THERE} (Windows line ends?)"),
        ("#!/no/such/interp -x\n", f"'/no/such/interp', {NOT_THERE}"),
        ("#!/usr/bin/env no-such-program -x\n", f"'no-such-program', {NOT_THERE}"),
        ("#!/usr/bin/env -S no-such-program -x\n", f"'no-such-program', {NOT_THERE}"),
        ("#!sh\n", f"'./sh', {NOT_THERE}"),
        ("#!./plain\n", f"'./plain', {NOT_THERE}"),
    ],
)
@pytest.mark.parametrize("what", ["command", "python"])
def test_interpreter_that_a_program_names_is_there(tmp_path: Path, first: str, text: str, what: str) -> None:
    (tmp_path / "own").symlink_to("/bin/true")
    (tmp_path / "plain").touch(0o644)
    (tmp_path / "x").write_bytes(first.encode())
    (tmp_path / "x").chmod(0o755)
    found = problems(tmp_path, **{"python": "", what: "./x"})
    assert found == ([f"{what} ./x wants the interpreter {text}"] if text else [])


def test_interpreter_is_looked_for_in_the_ranks_own_path(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("#!/usr/bin/env mine\n")
    (tmp_path / "x").chmod(0o755)
    (tmp_path / "mine").symlink_to("/bin/true")
    ranks = [rank_spec(0, "./x", env={"PATH": str(tmp_path)})]
    assert problems(tmp_path, python="", command="./x", ranks=ranks) == []
    assert problems(tmp_path, python="", command="./x") != []


def test_a_port_that_is_taken_tells_its_own_flag(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        [text] = problems(tmp_path, listen=[f"0.0.0.0:{server.getsockname()[1]}"], port_flag="--nccl-port")
    assert text.endswith("; try another --nccl-port")


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    assert len(problems(tmp_path, python="/nowhere", script="gone.py", cwd="/nowhere")) == 3


def test_foreign_address_is_told_with_those_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "own_addresses", lambda: [("en0", "192.168.1.20"), ("en2", "169.254.10.2"), ("utun4", "100.64.0.9")])
    found = problems(tmp_path, addresses=["192.0.2.77", "127.0.0.1"], listen=["192.0.2.77:32323"])
    assert found == ["does not own 192.0.2.77; it has en0 192.168.1.20, en2 169.254.10.2, utun4 100.64.0.9"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_script_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "train.py").touch(0o000)
    assert problems(tmp_path, script="train.py") == [f"script {tmp_path}/train.py cannot be read"]


def test_package_with_a_main_is_a_script(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__main__.py").touch()
    assert problems(tmp_path, script="package") == []


def test_command_is_found_as_a_shell_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "tool"
    program.parent.mkdir()
    program.touch(0o755)
    assert problems(tmp_path, python="", command="bin/tool") == []
    assert problems(tmp_path, python="", command="tool") != []
    monkeypatch.setenv("PATH", f"/nowhere:{program.parent}")
    assert problems(tmp_path, python="", command="tool") == []


def test_python_is_found_relative_to_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to(sys.executable)
    assert problems(tmp_path, python="./python") == []


@pytest.mark.parametrize("there", [True, False])
def test_working_directory_is_the_launchers_or_else_home(tmp_path: Path, there: bool) -> None:
    wanted = tmp_path if there else tmp_path / "gone"
    known, found, _ports = check_host(spec(tmp_path, cwd="", default_cwd=str(wanted)))
    assert (known["cwd"], found) == (str(wanted) if there else str(Path.home()), [])


def test_facts_have_the_variables_that_change_how_mlx_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_METAL_FAST_SYNCH", "1")
    monkeypatch.setenv("SECRET_TOKEN", "x")
    known = host_facts("/here", "0f")
    assert "MLX_METAL_FAST_SYNCH" in known["environment"]
    assert "SECRET_TOKEN" not in known["environment"]
    assert (known["cwd"], known["pid"], known["platform"]) == ("/here", os.getpid(), sys.platform)


def test_values_of_variables_are_hashed_with_the_job_s_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def hashed(value: str, key: str) -> str:
        monkeypatch.setenv("LD_SDK_KEY", value)
        known = host_facts("/here", key)
        assert "values" not in known
        assert value not in str(known)
        return str(known["environment"]["LD_SDK_KEY"])

    assert hashed("hunter2", "0f") == hashed("hunter2", "0f")
    assert len({hashed("hunter2", "0f"), hashed("hunter3", "0f"), hashed("hunter2", "0e")}) == 3
    assert host_facts("/here", "0f", verbose=True)["values"]["LD_SDK_KEY"] == "hunter2"


@pytest.mark.parametrize(("wanted", "what"), [("script", "train.py cannot be read"), ("python", "train.py is not there, or cannot be run")])
def test_what_another_user_has_closed_is_told_with_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str, what: str
) -> None:
    closed = tmp_path / "projects"
    closed.mkdir()
    monkeypatch.setattr(os, "access", lambda path, _mode: path != str(closed))  # root may enter all
    found = problems(tmp_path, **{wanted: str(closed / "llm/train.py")})
    assert [text for text in found if what in text and f": {closed} is closed: " in text and "mlx_share: world" in text]


# -- what is held


def held(root: Path, **wanted: Any) -> list[str]:
    """Return the problems with holding one version below a root, in a child: it is held until the end of a process."""
    spec = host_spec(root=str(root), hold=[str(root / VERSION)], **wanted)

    def hold() -> list[str]:
        job = Prepared(spec, {"cwd": ""}, [], None)
        _hold_all(job)
        return job.problems

    return as_user(os.geteuid(), hold)  # type: ignore[no-any-return]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / VERSION).mkdir(parents=True)
    return tmp_path / "root"


def test_deployed_directory_is_held(root: Path) -> None:
    assert held(root) == []


def test_directory_that_is_gone_cannot_be_held(root: Path) -> None:
    (root / VERSION).rmdir()
    assert held(root) == [f"cannot hold {root / VERSION}: No such file or directory"]


@ONLY_ROOT
@pytest.mark.parametrize("part", ["", "projects", "projects/llm", VERSION, "projects/llm/.0123456789abcdef.lock"])
def test_strangers_directory_is_not_held(root: Path, part: str) -> None:
    (root / "projects/llm/.0123456789abcdef.lock").touch()
    os.chown(root / part, NOBODY, NOBODY)
    stranger = pwd.getpwuid(NOBODY).pw_name
    [text] = held(root)
    assert text.startswith(f"cannot hold {root / VERSION}: {root / part}".rstrip("/") + f" belongs to {stranger}, who could change")
    assert held(root, trust_owner=stranger) == []


# -- what root runs


@ONLY_ROOT
@pytest.mark.parametrize("kind", ["python", "command", "script"])
def test_root_is_refused_a_program_that_others_can_change(tmp_path: Path, kind: str) -> None:
    program = tmp_path / "bin" / "tool"
    program.parent.mkdir()
    program.touch(0o755)
    wanted: dict[str, Any] = {"python": "", kind: str(program)}
    assert problems(tmp_path, **wanted) == []
    os.chown(program.parent, NOBODY, NOBODY)
    stranger = pwd.getpwuid(NOBODY).pw_name
    [text] = problems(tmp_path, **wanted)
    assert text.startswith(f"{program.parent} belongs to {stranger}, who could change what is there, and root runs nothing such; ")
    assert problems(tmp_path, **wanted, trust_owner=stranger) == []
    assert problems(tmp_path, **wanted, local=True) == []


def test_user_to_trust_has_to_exist(tmp_path: Path) -> None:
    assert problems(tmp_path, trust_owner="nosuchuser") == ["mlx_trust_owner: there is no user nosuchuser on this host"]


def test_programs_begin_at_this_home_and_arguments_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    rank = RankSpec(rank=0, argv=("~/bin/python", "~/train.py", "~/data"), env={})
    found = at_home(spec(tmp_path, python="~/bin/python", script="~/train.py", cwd="~", ranks=(rank,)))
    assert (found.python, found.script, found.cwd) == ("/home/ada/bin/python", "/home/ada/train.py", "/home/ada")
    assert list(found.ranks[0].argv) == ["/home/ada/bin/python", "/home/ada/train.py", "~/data"]
    command = at_home(spec(tmp_path, python="", command="~/go", ranks=(rank.replace(argv=("~/go", "~/x")),)))
    assert list(command.ranks[0].argv) == ["/home/ada/go", "~/x"]
