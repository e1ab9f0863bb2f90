"""What a host says of itself in a check."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _leftovers, _machine, _neighbours, _survey
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._agent import Agent as HostAgent

# macOS 14 on an M2.
VM_STAT = """\
Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               10000.
Pages active:                           1004412.
Pages inactive:                           20000.
Pages speculative:                         3000.
Pages throttled:                              0.
Pages wired down:                        215438.
"""
OS_RELEASE = """\
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
ID=debian
"""


class Agent:
    """What functions ask of the agent."""

    def __init__(self) -> None:
        self.at_end: dict[Any, Any] = {}

    def run(self, argv: Sequence[str], timeout: float = 0.0, **options: Any) -> tuple[int, str]:
        """Run it here."""
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=timeout or 60, **options
        )
        return done.returncode, done.stdout


@pytest.fixture
def agent() -> Iterator[Agent]:
    """Give an agent; nothing of it listens afterwards."""
    made = Agent()
    yield made
    _neighbours.hush(made)


def free_address() -> str:
    """Return an address on this machine where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return f"127.0.0.1:{one.getsockname()[1]}"


def is_open(address: str) -> bool:
    """Return whether something listens there."""
    ip, _, port = address.rpartition(":")
    with socket.socket() as one:
        return one.connect_ex((ip, int(port))) == 0


# -- neighbours


def test_neighbour_that_listens_is_reached_as_often_as_one_likes(agent: Agent) -> None:
    addresses = [free_address(), free_address()]
    assert _neighbours.listen(agent, "", addresses, "secret") == dict.fromkeys(addresses)
    for _ in range(3):
        assert _neighbours.dial(agent, "", [[addresses[0], "127.0.0.1"], [addresses[1], ""]], "secret", 5.0) == [None, None]
    _neighbours.hush(agent)
    assert not any(map(is_open, addresses))
    assert _neighbours.listen(agent, "", addresses, "secret") == dict.fromkeys(addresses)


def test_refusal_and_strangers_are_told_apart(agent: Agent) -> None:
    nobody, other = free_address(), free_address()
    _neighbours.listen(agent, "", [other], "another job's")
    refused, stranger = _neighbours.dial(agent, "", [[nobody, ""], [other, ""]], "secret", 5.0)
    assert refused[1] == "Connection refused"
    assert stranger == [0, "connected, but to something else"]


def test_one_that_says_nothing_is_given_up(agent: Agent) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        [answer] = _neighbours.dial(agent, "", [[f"127.0.0.1:{mute.getsockname()[1]}", ""]], "secret", 0.2)
    assert answer == [0, "connected, and nothing came"]


def test_address_that_cannot_be_listened_at_is_told(agent: Agent) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        address = f"127.0.0.1:{busy.getsockname()[1]}"
        answers = _neighbours.listen(agent, "", [address, "192.0.2.1:1"], "secret")
    assert answers[address][1] == "Address already in use"
    assert answers["192.0.2.1:1"][1] == "Cannot assign requested address"


def test_nothing_listens_when_the_agent_is_killed() -> None:
    address = free_address()
    program = (
        "import sys, time\n"
        "from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _neighbours\n"
        "class Agent: at_end = {}\n"
        f"_neighbours.listen(Agent, '', [{address!r}], 'secret')\n"
        "print('up', flush=True)\n"
        "time.sleep(60)\n"
    )
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        assert is_open(address)
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while is_open(address):
        assert time.monotonic() < deadline, "it still listens"
        time.sleep(0.01)


# -- leftovers


def job_folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    (folder / "lock").touch()
    return folder


def test_folders_of_running_jobs_are_no_leftovers(tmp_path: Path) -> None:
    over = job_folder(tmp_path, "mlxlaunch-20260101-000000-aaaaaa-0")
    running = job_folder(tmp_path, "mlxlaunch-20260101-000000-bbbbbb-1")
    (tmp_path / "mlxlaunch-control-x").mkdir()  # a launching program's
    with (running / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = _leftovers.leftovers("", str(tmp_path))
    assert (found["jobs"], found["folders"]) == (["20260101-000000-bbbbbb"], [str(over)])


def test_processes_are_leftovers_only_when_no_supervisor_is_there(tmp_path: Path) -> None:
    folder = job_folder(tmp_path, "mlxlaunch-20260101-000000-cccccc-0")
    environment = {"MLXLAUNCH_JOB": "20260101-000000-cccccc.0", "PATH": os.environ["PATH"]}
    with subprocess.Popen(["cat"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"x")
        process.stdin.flush()
        process.stdout.read(1)  # it is cat now, and no copy of this process
        with (folder / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            held = _leftovers.leftovers("", str(tmp_path))
        free = _leftovers.leftovers("", str(tmp_path))
        process.stdin.close()
    ours = [process.pid, "cat", environment["MLXLAUNCH_JOB"]]
    assert ours not in held["processes"]
    assert ours in free["processes"]


def test_what_a_deploy_is_at_work_on_is_no_leftover(tmp_path: Path) -> None:
    for path in ("envs/old", "envs/new", "envs/done", "projects/llm/.part-aa", "projects/llm/.part-bb"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "envs/done/.mlxlaunch.json").touch()
    with (tmp_path / "envs/.new.lock").open("wb") as one, (tmp_path / "projects/llm/.bb.lock").open("wb") as two:
        fcntl.flock(one, fcntl.LOCK_EX)
        fcntl.flock(two, fcntl.LOCK_EX)
        found = _leftovers.leftovers(str(tmp_path), str(tmp_path))
    assert found["environments"] == [str(tmp_path / "envs/old")]
    assert found["staging"] == [str(tmp_path / "projects/llm/.part-aa")]


def test_marks_are_found_in_the_listing_of_a_mac() -> None:
    listing = b"""\
    1 Ss   /sbin/launchd
  700 S    /opt/py/bin/python train.py HOME=/Users/ada MLXLAUNCH_JOB=20260101-000000-aaaaaa.0 MLX_RANK=0
  701 Z    (python) MLXLAUNCH_JOB=20260101-000000-aaaaaa.0
"""
    assert _leftovers.parse_ps(listing) == [[700, "python", "20260101-000000-aaaaaa.0"]]


# -- the machine


def test_memory_of_a_mac_is_what_can_be_had_without_swapping() -> None:
    assert _machine.parse_vm_stat(VM_STAT) == 33000 * 16384
    assert _machine.parse_vm_stat("") is None


def test_distribution_has_name_and_version() -> None:
    assert _machine.parse_os_release(OS_RELEASE) == ("Debian", "12")
    assert _machine.parse_os_release("NAME=Arch\nID='arch'\n") == ("Arch", "")
    assert _machine.parse_os_release("") == ("Linux", "")


def test_mac_tells_version_chip_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        ("/usr/bin/sw_vers", "-productVersion"): "15.3\n",
        ("/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"): "Apple M3 Ultra\n",
        ("/usr/sbin/sysctl", "-n", "hw.memsize"): "549755813888\n",
        ("/usr/bin/vm_stat",): VM_STAT,
    }

    def run(argv: Sequence[str], **_options: Any) -> tuple[int, str]:
        return 0, said[tuple(argv)]

    monkeypatch.setattr(_machine, "is_mac", lambda: True)
    assert {"name": "macOS", "version": "15.3", "chip": "Apple M3 Ultra"}.items() <= _machine.system(run).items()
    assert _machine.memory(run) == {"total": 512 * 1024**3, "available": 33000 * 16384}


def test_disk_of_a_directory_that_is_not_there_yet_is_that_above_it(tmp_path: Path) -> None:
    found = _machine.disk(str(tmp_path / "not" / "there"))
    assert found["path"] == str(tmp_path)
    assert 0 < found["free"] <= found["total"]


# -- Python and mpirun


def test_program_that_hangs_is_ended_when_its_time_is_up() -> None:
    status, said = HostAgent(-1, -1, {}).run(["/bin/sh", "-c", "echo begun; sleep 600"], timeout=0.5)
    assert (status, said) == (-signal.SIGKILL, "begun\n")


def probe(agent: Agent, python: Path | str, **env: str) -> dict[str, Any]:
    found = _survey._python(agent.run, {"python": str(python), "cwd": "", "env": env})
    assert isinstance(found, dict)
    return found


def test_python_with_mlx_tells_versions_and_imports_it(agent: Agent) -> None:
    found = probe(agent, sys.executable)
    assert (found["problem"], found["import_error"]) == ("", "")
    assert found["version"] == ".".join(map(str, sys.version_info[:3]))
    assert re.match(r"\d+\.\d+", found["mlx"])


def test_program_that_is_no_python_is_told_with_its_last_words(agent: Agent, tmp_path: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho xcode-select: note: no developer tools were found >&2\nexit 72\n")
    fake.chmod(0o755)
    assert probe(agent, fake)["problem"] == f"{fake} does not run: xcode-select: note: no developer tools were found"
    fake.write_text("#!/bin/sh\nkill -SEGV $$\n")
    assert probe(agent, fake)["problem"].endswith("killed by signal 11")
    assert "is not there" in probe(agent, tmp_path / "none")["problem"]


def test_import_that_fails_is_told_with_its_error(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "mlx").mkdir()
    (tmp_path / "mlx" / "core.py").write_text("raise ImportError('wrong architecture')")
    (tmp_path / "mlx" / "__init__.py").touch()
    found = probe(agent, sys.executable, PYTHONPATH=str(tmp_path))
    assert (found["problem"], found["import_error"]) == ("", "ImportError: wrong architecture")


def test_stub_of_a_mac_without_command_line_tools_is_not_run(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_machine, "is_mac", lambda: True)
    monkeypatch.setattr(_survey.hostcheck, "_find_program", lambda *_words: "/usr/bin/python3")

    def run(argv: Sequence[str], **_options: Any) -> tuple[int, str]:
        assert argv == ["/usr/bin/xcode-select", "-p"]
        return 2, "xcode-select: error: Unable to get active developer directory"

    found = _survey._python(run, {"python": "/usr/bin/python3", "cwd": "", "env": {}})
    assert "xcode-select --install" in found["problem"]


def test_mpirun_beside_the_ranks_python_comes_first(agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, version in (("env", "5.0.8"), ("path", "4.1.4")):
        (tmp_path / folder).mkdir()
        program = tmp_path / folder / "mpirun"
        program.write_text(f"#!/bin/sh\necho 'mpirun (Open MPI) {version}'\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/path:{os.environ['PATH']}")
    assert _survey._mpirun(agent.run, f"{tmp_path}/env/python", []) == {"path": f"{tmp_path}/env/mpirun", "version": "5.0.8"}
    assert _survey._mpirun(agent.run, "/usr/bin/python3", [])["version"] == "4.1.4"
    wanted = ["/nowhere/mpirun", f"{tmp_path}/path/mpirun"]
    assert _survey._mpirun(agent.run, f"{tmp_path}/env/python", wanted)["path"] == wanted[1]
