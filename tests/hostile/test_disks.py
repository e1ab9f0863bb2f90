"""Disks and readers of the controller at their worst: full, hanging, or not reading. No job, output or status is lost.

They run on this machine and need no lab; disks are made by root.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlxlaunch_ansible import run_job
from tests.support.waiting import wait_until

PATIENCE = 200.0  # seconds after which something hangs
LEASE = 8  # seconds in which a host that is well may be silent on a busy machine
PLAYBOOK = Path(__file__).parents[2] / "playbooks" / "launch.yml"
# Prints so many lines of 80 bytes; marks its end. The rank of a job whose lease has passed does not come to it.
LINES = "import sys\nfor n in range({lines}): sys.stdout.write('%079d\\n' % n)\nsys.stdout.flush()\n"
STAY = f"import time; time.sleep({LEASE + 3})\n"
MARK = "open({mark!r}, 'w').close()\n"

needs_root = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mkfs.ext4"), reason="a disk is made by root, with mkfs.ext4")


class Disk:
    """A small file system of its own."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.path = folder / "disk"
        self._image = folder / "image"
        self.path.mkdir()
        with self._image.open("wb") as image:
            image.truncate(megabytes * 1024 * 1024)
        # In blocks of a page: what is written before a rank's output then has room in its first one, as on a large disk.
        command("mkfs.ext4", "-q", "-m", "0", "-b", "4096", str(self._image))
        command("mount", "-o", "loop", str(self._image), str(self.path))
        self._ballast = self.path / "ballast"

    def fill(self) -> None:
        """Leave no room."""
        with self._ballast.open("wb", 0) as ballast:
            for size in (65536, 1024, 1):
                while True:
                    try:
                        ballast.write(bytes(size))
                    except OSError:
                        break

    def free(self) -> None:
        self._ballast.unlink()

    def freeze(self) -> None:
        """Let every write wait, as on a network file system whose server is away."""
        command("fsfreeze", "-f", str(self.path))

    def thaw(self) -> None:
        subprocess.run(["fsfreeze", "-u", str(self.path)], check=False, capture_output=True)

    def remove(self) -> None:
        self.thaw()
        command("umount", "-l", str(self.path))


def command(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=PATIENCE)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path, 16)
    yield made
    made.remove()


class Launch:
    """A job that runs: `mlxlaunch run` with one rank on this machine, or a playbook."""

    def __init__(self, argv: list[str], env: dict[str, str] | None = None) -> None:
        settings = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(argv, env={**os.environ, **(env or {})}, **settings)  # type: ignore[call-overload]

    @classmethod
    def command(cls, program: str, *words: str) -> Launch:
        return cls([sys.executable, "-m", "mlxlaunch_ansible", "run", "-n", "1", *words, "--", sys.executable, "-c", program])

    def finish(self) -> tuple[int, bytes, str]:
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err.decode()


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def lines(count: int) -> bytes:
    return b"".join(b"%079d\n" % number for number in range(count))


def only_run(logs: Path) -> Path:
    [run] = logs.iterdir()
    return run


def await_the_end(logs: Path) -> None:
    """Wait until the record of the only job says that it is over; at first there is no record."""

    def over() -> bool:
        return any(b'"event": "job_finished"' in path.read_bytes() for path in logs.glob("*/events.jsonl"))

    wait_until(over, "the job is over", PATIENCE)


def assert_whole(run: Path, expected: bytes) -> list[dict[str, object]]:
    """Hold a record to its output; return its events."""
    log = (run / "0/stdout.log").read_bytes()
    assert log == expected
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    spans = [(each["offset"], each["length"]) for each in events if each["event"] == "rank_output" and each["stream"] == "stdout"]
    end = 0
    for offset, length in spans:
        assert offset == end
        end += length
    assert end == len(log)
    assert events[-1]["event"] == "job_finished"
    return events


# -- the disk of the record


@needs_root
def test_disk_that_hangs_longer_than_the_lease_costs_nothing(disk: Disk, tmp_path: Path) -> None:
    mark, gate = tmp_path / "mark", tmp_path / "gate"
    os.mkfifo(gate)
    program = f"open({str(gate)!r}).read()\n" + LINES.format(lines=100_000) + STAY + MARK.format(mark=str(mark))
    launch = Launch.command(program, "--lease", str(LEASE), "--log-dir", str(disk.path))
    with gate.open("w"):  # the rank runs
        disk.freeze()
    wait_until(mark.exists, "the rank has come to its end", PATIENCE)
    disk.thaw()
    status, out, said = launch.finish()
    assert (status, out == lines(100_000)) == (0, True), said
    assert_whole(next(path for path in disk.path.iterdir() if path.name[0] == "2"), lines(100_000))
    assert "the file system does not answer" in said
    assert "can be written again" in said


@needs_root
def test_full_disk_keeps_output_on_the_host_until_there_is_room(disk: Disk, tmp_path: Path) -> None:
    mark, gate = tmp_path / "mark", tmp_path / "gate"
    os.mkfifo(gate)
    program = f"open({str(gate)!r}).read()\n" + LINES.format(lines=125_000) + STAY + MARK.format(mark=str(mark))
    launch = Launch.command(program, "--lease", str(LEASE), "--log-dir", str(disk.path))
    with gate.open("w"):
        wait_until(lambda: any("rank_started" in path.read_text() for path in disk.path.glob("2*/events.jsonl")), "the record has begun")
        disk.fill()
    wait_until(mark.exists, "the rank has come to its end", PATIENCE)
    assert launch.process.poll() is None
    run = next(path for path in disk.path.iterdir() if path.name[0] == "2")
    torn = [line for line in (run / "events.jsonl").read_text().splitlines(keepends=True) if not line.endswith("}\n")]
    assert torn == []
    disk.free()
    status, out, said = launch.finish()
    assert (status, out == lines(125_000)) == (0, True), said
    events = assert_whole(run, lines(125_000))
    assert f"cannot write {run}/0/stdout.log: No space left on device; the job goes on" in said
    assert [event["text"] for event in events if event["event"] == "warning"]


@needs_root
def test_disk_without_room_at_the_end_is_told_with_offsets(disk: Disk, tmp_path: Path) -> None:
    """After a limited wait; exit status and output are right all the same."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    program = f"open({str(gate)!r}).read()\n" + LINES.format(lines=1000) + "sys.exit(7)"
    launch = Launch.command(program, "--log-dir", str(disk.path))
    with gate.open("w"):
        disk.fill()
    status, out, said = launch.finish()
    assert (status, out) == (7, lines(1000)), said
    assert "is not complete: No space left on device; lost: rank 0 stdout from byte 0 to 80000" in said


# -- readers


@pytest.mark.parametrize("callback", ["mlxlaunch.cluster.stream", "default"])
def test_reader_that_pauses_longer_than_the_lease_ends_no_job(callback: str, tmp_path: Path, logs: Path) -> None:
    """As a pager does, or Ctrl-S, whatever the callback."""
    mark = tmp_path / "mark"
    script = tmp_path / "train.py"
    script.write_text(LINES.format(lines=125_000) + STAY + MARK.format(mark=str(mark)))
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("mlx: {hosts: {here: {ansible_connection: local, ansible_host: 127.0.0.1}}}")
    words = [f"mlx_script={script}", f"mlx_lease={LEASE}", f"mlx_log_dir={logs}", f"mlx_python={sys.executable}"]
    argv = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory), str(PLAYBOOK)]
    env = {"ANSIBLE_STDOUT_CALLBACK": callback, "ANSIBLE_CONFIG": str(PLAYBOOK.parents[1] / "ansible.cfg")}
    launch = Launch([*argv, *(each for word in words for each in ("-e", word))], env)
    wait_until(mark.exists, "the rank has come to its end", PATIENCE)
    status, out, said = launch.finish()
    assert status == 0, said
    assert lines(125_000) in out
    assert_whole(only_run(logs), lines(125_000))


def test_job_that_ends_while_nobody_reads_loses_nothing(tmp_path: Path, logs: Path) -> None:
    """The record is whole before a byte is read, and the reader then gets all of it."""
    launch = Launch.command(LINES.format(lines=500_000) + "sys.exit(7)", "--log-dir", str(logs))

    await_the_end(logs)
    began = time.monotonic()
    status, out, said = launch.finish()
    assert (status, out == lines(500_000)) == (7, True), said
    assert "end unknown" not in said
    assert time.monotonic() - began < PATIENCE / 2
    events = assert_whole(only_run(logs), lines(500_000))
    assert [event["returncode"] for event in events if event["event"] == "rank_exited"] == [7]


def test_reader_that_goes_away_at_the_end_hangs_nobody(logs: Path) -> None:
    launch = Launch.command(LINES.format(lines=250_000), "--log-dir", str(logs))
    await_the_end(logs)
    assert launch.process.stdout
    launch.process.stdout.close()
    launch.process.stdout = None
    _out, said = launch.process.communicate(timeout=PATIENCE / 2)
    assert (launch.process.returncode, b"without a word" in said) == (0, False), said
    assert_whole(only_run(logs), lines(250_000))


def test_interrupt_ends_the_wait_for_a_reader(logs: Path) -> None:
    launch = Launch.command(LINES.format(lines=250_000), "--log-dir", str(logs))
    await_the_end(logs)
    launch.process.send_signal(signal.SIGINT)
    launch.finish()
    assert_whole(only_run(logs), lines(250_000))


def test_slow_event_handler_holds_up_no_record(logs: Path) -> None:
    """That of a program that uses the API."""
    recorded, sizes = threading.Event(), []

    def handle(event: object) -> None:
        if getattr(event, "event", "") == "rank_output":
            recorded.wait(PATIENCE)
            sizes.append(len(getattr(event, "data", b"")))

    def record() -> None:
        await_the_end(logs)
        recorded.set()

    thread = threading.Thread(target=record)
    thread.start()
    command = [sys.executable, "-c", LINES.format(lines=250_000)]
    result = run_job(["127.0.0.1"], command=command, python=sys.executable, log_dir=logs, lease=LEASE, on_event=handle)
    thread.join()
    assert (result.returncode, sum(sizes)) == (0, 80 * 250_000)
