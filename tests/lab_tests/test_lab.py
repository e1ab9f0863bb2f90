"""The lab does what the tests of the project believe it does."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import Host, Lab, LabError, missing, packages, spec
from tests.lab import lab as lab_module
from tests.lab.init import delay
from tests.lab.pytest_plugin import start_or_skip
from tests.lab.start import CHECKOUT
from tests.support.processes import is_gone
from tests.support.waiting import PATIENCE, wait_until

MakeLab = Callable[..., Lab]


def answers(lab: Lab, host: Host, seconds: int = 30) -> bool:
    """Whether ssh gets through in that time."""
    done = lab.run(["ssh", "-F", lab.ssh_config, "-o", f"ConnectTimeout={seconds}", host.name, "true"])
    return done.returncode == 0


def await_answer(lab: Lab, host: Host) -> None:
    """Wait until ssh gets through; a busy machine takes seconds for one connection."""
    wait_until(lambda: answers(lab, host), f"{host.name} answers again")


def assert_silent(lab: Lab, host: Host) -> None:
    """Hold a host to not answering; one that is well does so in a fraction of a second."""
    assert not answers(lab, host, 1)


@contextlib.contextmanager
def open_session(lab: Lab, host: Host, command: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command over ssh in the background; returns when it has printed a line."""
    argv = ["ssh", "-F", str(lab.ssh_config), host.name, f"echo begun; {command}"]
    ssh = lab.popen(argv, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    with ssh:
        assert ssh.stdout
        assert ssh.stdout.readline() == "begun\n"
        try:
            yield ssh
        finally:
            ssh.kill()


def running(host: Host, *words: str) -> bool:
    """Whether a process with these arguments runs on the host."""
    return words in [process.args for process in host.processes()]


def await_running(host: Host, *words: str) -> None:
    """Wait until such a process runs on the host: a shell on its way to exec needs a moment on a busy machine."""
    wait_until(lambda: running(host, *words), f"{words} runs on {host.name}")


def round_trip_ms(lab: Lab, host: Host) -> float:
    """Shortest time of five starts of a TCP connection, each of which takes one round trip: the others had to wait for a processor."""
    times = []
    with lab.enter():
        for _ in range(5):
            begun = time.monotonic()
            socket.create_connection((host.address, 22), timeout=30).close()
            times.append(1000 * (time.monotonic() - begun))
    return min(times)


def assert_round_trip(lab: Lab, host: Host, *, at_least: float = 0.0, below: float) -> None:
    """Hold round trips to so many milliseconds. None is too short; on a busy machine many are too long, but not all."""

    def comes_below() -> bool:
        took = round_trip_ms(lab, host)
        assert took >= at_least
        return took < below

    wait_until(comes_below, f"a round trip to {host.name} takes less than {below:g} ms")


# --- hosts are separate machines ---


def test_hosts_have_their_own_names_and_addresses(lab: Lab) -> None:
    names = [lab.ssh(host, "hostname").stdout.strip() for host in lab.hosts]
    assert names == ["node1", "node2", "node3", "node4"]
    shown = lab.hosts[1].run(["ip", "-brief", "-4", "addr"]).stdout
    assert "198.18.0.12/24" in shown
    assert "198.18.1.12/24" in shown


def test_ssh_checks_host_keys_strictly(lab: Lab) -> None:
    config = lab.ssh_config.read_text()
    assert "StrictHostKeyChecking yes" in config
    for host in lab.hosts:
        assert answers(lab, host)
    other = ["-o", "HostName=198.18.0.12", "-o", "HostKeyAlias=node1", "node1", "true"]
    wrong = lab.run(["ssh", "-F", lab.ssh_config, *other])
    assert wrong.returncode == 255
    assert "verification failed" in wrong.stderr


def test_hosts_do_not_see_each_others_processes(lab: Lab) -> None:
    one, two = lab.hosts[:2]
    with open_session(lab, one, "exec sleep 4711"):
        await_running(one, "sleep", "4711")
        assert not running(two, "sleep", "4711")
        assert "4711" not in two.run(["ps", "ax"]).stdout
    one.kill_all()


def test_hosts_have_their_own_files(lab: Lab) -> None:
    one, two = lab.hosts[:2]
    for place in (
        "/etc",
        "/usr/local",
        "/tmp",
        "/opt",
        "/srv",
        "/home/mlx",
        "/root",
        "/mnt",
        "/var/tmp",
        "/run",
        "/dev/shm",
    ):
        file = Path(place) / "only-on-node1"
        one.path(file).write_text("x")
        assert one.run(["cat", file]).stdout == "x"
        assert not two.path(file).exists(), place
        assert not file.exists(), place
        one.path(file).unlink()


def test_hosts_do_not_see_the_machines_temporary_and_home_files(lab: Lab, tmp_path: Path) -> None:
    assert not lab.hosts[0].path(tmp_path).exists()
    assert not lab.hosts[0].path("/root/.ssh/id_ed25519").exists()


def test_hosts_see_checkout_and_python_read_only(lab: Lab) -> None:
    host = lab.hosts[0]
    done = lab.ssh(host, f"{sys.executable} -c 'import sys; print(sys.version_info[:2])'")
    assert done.stdout.strip() == str(sys.version_info[:2])
    assert host.path(__file__).exists()
    refused = host.run(["touch", CHECKOUT / "x"])
    assert "Read-only file system" in refused.stderr


def test_hosts_see_more_paths_on_request(make_lab: MakeLab, tmp_path: Path) -> None:
    (tmp_path / "wheel").write_text("x")
    host = make_lab(1, binds=[tmp_path]).hosts[0]
    assert host.run(["cat", tmp_path / "wheel"]).stdout == "x"


def test_hosts_reach_each_other_on_both_networks_and_by_name(lab: Lab) -> None:
    one, two = lab.hosts[:2]
    script = "import socket, sys; print(socket.create_connection((sys.argv[1], 22), 30).recv(4))"
    for address in (two.address, two.address2, two.name):
        assert one.run([sys.executable, "-c", script, address]).stdout == "b'SSH-'\n"


def test_hosts_have_no_way_out(lab: Lab) -> None:
    assert lab.hosts[0].run(["ip", "route", "show", "default"]).stdout == ""
    assert lab.run(["ip", "route", "show", "default"]).stdout == ""


def test_normal_user_has_a_home_the_key_python_and_sudo(lab: Lab) -> None:
    command = f"id -un; pwd; sudo -n id -un; {sys.executable} -c 'print(1)'"
    done = lab.ssh("mlx@node1", command)
    assert done.stdout.split() == ["mlx", "/home/mlx", "root", "1"], done.stderr


def test_terminals_work(lab: Lab) -> None:
    done = lab.run(["ssh", "-F", lab.ssh_config, "-tt", "node1", "tty"], stdin=subprocess.DEVNULL)
    assert done.stdout.startswith("/dev/pts/")


def test_run_on_a_host_is_bounded_and_leaves_nothing(lab: Lab) -> None:
    host = lab.hosts[0]
    with pytest.raises(subprocess.TimeoutExpired):
        host.run(["sleep", "4712"], timeout=0.2)
    wait_until(lambda: not running(host, "sleep", "4712"), "it has ended")


def test_processes_tell_arguments_parent_and_directory(lab: Lab) -> None:
    host = lab.hosts[0]
    with open_session(lab, host, "cd /srv && sleep 815; true"):
        await_running(host, "sleep", "815")
        processes = {process.pid: process for process in host.processes()}
        sleep = next(process for process in processes.values() if process.args == ("sleep", "815"))
        assert sleep.cwd == "/srv"
        assert sleep.name == "sleep"
        assert not sleep.is_ssh
        assert "sleep 815" in processes[sleep.ppid].args[-1]
        assert processes[processes[sleep.ppid].ppid].is_ssh
        host.kill(sleep.pid)
        wait_until(lambda: not running(host, "sleep", "815"), "it has ended")


def test_sftp_and_rsync_work(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    host = lab.hosts[0]
    lab.run(["scp", "-F", lab.ssh_config, tmp_path / "file", "node1:/srv/by-sftp"], check=True)
    assert host.path("/srv/by-sftp").read_text() == "x"
    if shutil.which("rsync"):
        lab.run(["rsync", "-e", f"ssh -F {lab.ssh_config}", tmp_path / "file", "node1:/srv/by-rsync"], check=True)
        assert host.path("/srv/by-rsync").read_text() == "x"


# --- controller ---


def test_ansible_pings_every_host(lab: Lab) -> None:
    ansible = Path(sys.executable).with_name("ansible")
    if not ansible.exists():
        pytest.skip("no ansible beside this Python")
    done = lab.run([ansible, "-i", lab.inventory, "all", "-m", "ping", "-o"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") == len(lab.hosts)


def test_plain_ssh_works_for_programs_which_insist(lab: Lab) -> None:
    done = lab.run(["ssh", "node3", "hostname"], plain_ssh=True)
    assert done.stdout == "node3\n", done.stderr
    assert lab.run(["pwd"], plain_ssh=True).stdout.strip() == str(Path.cwd())


def test_a_thread_enters_the_network_and_comes_back(lab: Lab) -> None:
    before = Path("/proc/thread-self/ns/net").readlink()
    with lab.enter():
        with socket.create_connection((lab.hosts[0].address, 22), timeout=30) as connection:
            assert connection.getpeername()[0] == "198.18.0.11"
        assert Path("/proc/thread-self/ns/net").readlink() != before
    assert Path("/proc/thread-self/ns/net").readlink() == before


def test_directory_is_private(lab: Lab) -> None:
    assert lab.dir.stat().st_mode & 0o777 == 0o700


def test_sshd_logs_can_be_read(lab: Lab) -> None:
    lab.ssh(lab.hosts[0], "true")
    assert "Accepted publickey for root" in lab.hosts[0].log.read_text()


# --- faults ---


def test_cut_is_silent_and_heal_brings_connections_back(lab: Lab) -> None:
    host = lab.hosts[0]
    with open_session(lab, host, "read -t 1000 line; echo got $line") as ssh:
        host.cut()
        assert_silent(lab, host)
        assert answers(lab, lab.hosts[1])
        assert host.run(["cat", "/sys/class/net/eth0/carrier"]).stdout == "1\n"
        assert ssh.poll() is None
        host.heal()
        await_answer(lab, host)
        assert ssh.communicate("through\n", timeout=PATIENCE)[0] == "got through\n"


def test_kill_ssh_ends_sessions_but_not_their_programs_nor_sshd(lab: Lab) -> None:
    host = lab.hosts[0]
    with open_session(lab, host, "exec sleep 42") as ssh:
        host.kill_ssh()
        assert ssh.wait(timeout=PATIENCE) == 255
        await_running(host, "sleep", "42")
        assert answers(lab, host)
    host.kill_all()
    assert not host.leftovers()


def test_power_off_is_silent_and_power_on_keeps_the_disk(lab: Lab) -> None:
    host = lab.hosts[0]
    with open_session(lab, host, "exec sleep 43") as ssh:
        host.path("/srv/stays").write_text("x")
        host.path("/tmp/goes").write_text("x")
        host.power_off()
        assert not host.is_on
        assert_silent(lab, host)
        assert ssh.poll() is None, "a host without power says no good-bye"
        with pytest.raises(LabError, match="node1 is off"):
            host.processes()
        host.power_on()
        assert answers(lab, host)
    wait_until(lambda: not host.processes(), "the session that has answered is gone")
    assert host.path("/srv/stays").read_text() == "x"
    assert not host.path("/tmp/goes").exists()


def test_host_which_ends_by_itself_can_be_powered_on(lab: Lab) -> None:
    host = lab.hosts[0]
    os.kill(host.pid, 9)
    wait_until(lambda: not host.is_on, "the host is off")
    host.power_on()
    assert answers(lab, host)


def test_reinstall_blanks_the_disk(lab: Lab) -> None:
    host = lab.hosts[0]
    host.path("/srv/file").write_text("x")
    host.path("/etc/file").write_text("x")
    host.reinstall()
    assert not host.path("/srv/file").exists()
    assert not host.path("/etc/file").exists()
    assert answers(lab, host)


def test_slow_delays_both_directions(lab: Lab) -> None:
    host, other = lab.hosts[:2]
    host.slow(delay_ms=150)
    assert_round_trip(lab, host, at_least=300, below=600)
    assert_round_trip(lab, other, below=150)
    host.slow()
    assert_round_trip(lab, host, below=150)


def test_slow_limits_the_rate_and_keeps_data_intact(lab: Lab) -> None:
    host = lab.hosts[0]
    lab.ssh(host, "true")
    host.slow(delay_ms=1, rate="8mbit")
    begun = time.monotonic()
    done = lab.ssh("node1", "seq 150000")
    took = time.monotonic() - begun
    assert done.stdout == "".join(f"{number}\n" for number in range(1, 150001))
    assert len(done.stdout) * 8 / 8e6 < took


def test_slow_and_cut_go_together(lab: Lab) -> None:
    host = lab.hosts[0]
    host.cut()
    host.slow(delay_ms=5)
    assert_silent(lab, host)
    host.heal()
    await_answer(lab, host)
    assert round_trip_ms(lab, host) >= 10


def test_full_disk_is_felt_everywhere(lab: Lab) -> None:
    host = lab.hosts[0]
    host.fill_disk()
    for place in ("/opt", "/home/mlx", "/tmp", "/usr", "/etc"):
        done = host.run(["bash", "-c", f"head -c 100000 /dev/zero > {place}/big"])
        assert "No space left on device" in done.stderr, place
    host.free_disk()
    host.run(["bash", "-c", "head -c 100000 /dev/zero > /opt/big"], check=True)


def test_nearly_full_disk_has_what_is_left(lab: Lab) -> None:
    host = lab.hosts[0]
    host.fill_disk(leave=1 << 20)
    host.run(["dd", "if=/dev/zero", "of=/opt/fits", "bs=1M", "count=1"], check=True)
    done = host.run(["dd", "if=/dev/zero", "of=/opt/does-not-fit", "bs=64k", "count=1"])
    assert "No space left on device" in done.stderr
    host.path("/opt/fits").unlink()


@pytest.mark.parametrize("offset", [3600, -86400])
def test_clock_is_off_for_what_ssh_starts(lab: Lab, offset: int) -> None:
    host = lab.hosts[0]
    host.set_clock(offset)
    command = f"{sys.executable} -c 'import time; print(time.time(), time.monotonic())'"
    for user in ("root", "mlx"):
        wall, monotonic = map(float, lab.ssh(f"{user}@node1", command).stdout.split())
        assert abs(wall - time.time() - offset) < 600
        assert abs(monotonic - time.monotonic()) < 600
    host.set_clock(0)
    assert abs(int(lab.ssh(host, "date +%s").stdout) - time.time()) < 600


def test_restore_undoes_everything(lab: Lab) -> None:
    one, two, three, four = lab.hosts
    with open_session(lab, one, "trap '' HUP TERM; sleep 44; true"):
        one.set_clock(1000)
        one.cut()
        two.slow(delay_ms=300)
        two.fill_disk()
        three.power_off()
        four.slow(rate="1mbit")
        four.cut()
        lab.restore()
    assert all(answers(lab, host) for host in lab.hosts)
    assert lab.leftovers() == {}
    for host in lab.hosts:
        assert_round_trip(lab, host, below=300)
    two.run(["bash", "-c", "head -c 100000 /dev/zero > /opt/big"], check=True)
    assert abs(int(lab.ssh(one, "date +%s").stdout) - time.time()) < 600


def test_one_host_can_be_restored(lab: Lab) -> None:
    one, two = lab.hosts[:2]
    one.power_off()
    two.cut()
    one.restore()
    assert answers(lab, one)
    assert_silent(lab, two)


def test_a_fault_on_a_host_which_is_off_says_so(lab: Lab) -> None:
    lab.hosts[0].power_off()
    with pytest.raises(LabError, match="cut: node1 is off"):
        lab.hosts[0].cut()


# --- labs come and go ---


def test_two_labs_have_the_same_addresses_and_do_not_meet(lab: Lab, make_lab: MakeLab) -> None:
    other = make_lab(1)
    other.hosts[0].path("/srv/whose").write_text("other")
    lab.hosts[0].path("/srv/whose").write_text("shared")
    assert other.hosts[0].address == lab.hosts[0].address
    assert other.ssh(other.hosts[0], "cat /srv/whose").stdout == "other"
    assert lab.ssh(lab.hosts[0], "cat /srv/whose").stdout == "shared"
    other.stop()
    assert answers(lab, lab.hosts[0])


def test_the_machine_sees_nothing_of_a_lab(lab: Lab) -> None:
    links = Path("/proc/net/dev").read_text()
    assert "lan0" not in links
    assert "node1" not in links
    assert str(lab.dir) not in Path("/proc/self/mounts").read_text()
    assert not list(Path("/run/netns").glob("node*"))


_OWNER = """
import sys
from tests.lab import Lab
lab = Lab.start(2)
print(lab.dir, lab.pid, *(host.pid for host in lab.hosts), flush=True)
sys.stdin.read()
"""


def test_nothing_is_left_when_the_owner_is_killed(lab: Lab) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with owner:
        assert owner.stdout
        directory, *pids = owner.stdout.readline().split()
        assert len(pids) == 3
        assert all(Path("/proc", pid).exists() for pid in pids)
        owner.kill()
    wait_until(lambda: all(is_gone(int(pid)) for pid in pids), "its processes are gone")
    wait_until(lambda: not Path(directory).exists(), "its directory is gone")


def test_stop_takes_processes_in_its_network_and_its_directory(make_lab: MakeLab) -> None:
    lab = make_lab(1)
    sleep = lab.popen(["sleep", "4713"])
    network = Path(f"/proc/{lab.pid}/ns/net").readlink()
    wait_until(lambda: Path(f"/proc/{sleep.pid}/ns/net").readlink() == network, "it is in the lab's network")
    pids = [lab.pid, lab.hosts[0].pid]
    lab.stop()
    assert sleep.wait(timeout=PATIENCE) == -9
    assert all(is_gone(pid) for pid in pids)
    assert not lab.dir.exists()


def test_a_lab_starts_in_a_directory_with_a_long_and_odd_name(make_lab: MakeLab, tmp_path: Path) -> None:
    lab = make_lab(1, dir=tmp_path / ("a, b:c" * 20))
    assert answers(lab, lab.hosts[0])


def test_a_foreign_directory_is_refused(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("x")
    with pytest.raises(LabError, match="neither empty nor"):
        Lab.start(1, dir=tmp_path)
    assert (tmp_path / "thesis").exists()


@pytest.mark.parametrize(("count", "seconds"), [(4, 45.0), (32, 120.0)])
def test_starting_is_quick(make_lab: MakeLab, count: int, seconds: float) -> None:
    """It takes a second or two, and a busy machine many times as long."""
    begun = time.monotonic()
    made = make_lab(count)
    assert time.monotonic() - begun < seconds
    assert answers(made, made.hosts[-1])


def test_a_lab_which_cannot_start_says_why(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LabError, match=r"mount tmpfs at .*node1: Invalid argument"):
        Lab.start(1, disk="much")
    monkeypatch.setattr(lab_module, "missing", lambda: ["sshd (Debian package openssh-server)"])
    with pytest.raises(LabError, match="missing: sshd"):
        Lab.start(1)


# --- for people ---


def _cli(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.lab", *words]
    return subprocess.run(command, check=False, cwd=CHECKOUT, text=True, capture_output=True, timeout=120)


def test_a_lab_for_people_comes_works_from_outside_and_goes(lab: Lab, tmp_path: Path) -> None:
    place = tmp_path / ".lab"
    try:
        up = _cli("up", "--hosts", "2", "--dir", place)
        assert up.returncode == 0, up.stderr
        assert f"ssh -F {place}/ssh_config node1" in up.stdout, up.stderr
        again = _cli("up", "--dir", place)
        assert again.returncode == 0
        assert "already up" in again.stdout
        assert "2 hosts" in again.stdout
        assert re.search(r"node2 +198\.18\.0\.12 +198\.18\.1\.12 +on", _cli("status", "--dir", place).stdout)
        ssh = ["ssh", "-F", str(place / "ssh_config"), "node2", "hostname"]
        assert subprocess.run(ssh, check=False, text=True, capture_output=True, timeout=PATIENCE).stdout == "node2\n"
        pid = Lab.attach(place).pid
    finally:
        down = _cli("down", "--dir", place)
    assert down.returncode == 0
    assert "is down" in down.stdout
    assert is_gone(pid)
    assert not place.exists()
    again = _cli("down", "--dir", place)
    assert again.returncode == 0
    assert "No lab is up" in again.stdout


def test_hosts_of_a_lab_for_people_can_be_broken_and_repaired(lab: Lab, tmp_path: Path) -> None:
    place = tmp_path / ".lab"
    try:
        assert _cli("up", "--hosts", "2", "--dir", place).returncode == 0
        for fault, shown in (("off", "off"), ("on", "on")):
            assert _cli("fault", "--dir", place, "node2", fault).returncode == 0
            assert re.search(rf"node1 .* on\nnode2 .* {shown}$", _cli("status", "--dir", place).stdout.strip())
        wrong = _cli("fault", "--dir", place, "node3", "off")
        assert (wrong.returncode, wrong.stderr) == (1, "lab: no host is node3: node1, node2\n")
    finally:
        _cli("down", "--dir", place)


def test_status_without_a_lab_fails(tmp_path: Path) -> None:
    assert _cli("status", "--dir", tmp_path).returncode == 1


def test_packages_are_one_line_for_apt() -> None:
    assert _cli("packages").stdout.strip().split() == packages()


# --- without a lab ---


def test_missing_names_the_platform_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert missing() == ["Linux (this is darwin)"]


def test_missing_names_debian_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.lab.needs.program", lambda _: None)
    monkeypatch.setattr(sys, "platform", "linux")
    assert "sshd (Debian package openssh-server)" in missing()


@pytest.mark.parametrize(("value", "outcome"), [("", pytest.skip.Exception), ("required", pytest.fail.Exception)])
def test_no_lab_means_skip_or_failure_when_required(monkeypatch: pytest.MonkeyPatch, value: str, outcome: type[BaseException]) -> None:
    monkeypatch.setenv("MLXLAUNCH_LAB", value)
    monkeypatch.setattr(lab_module, "missing", lambda: ["root"])
    with pytest.raises(outcome, match="missing: root"):
        start_or_skip(1)


def test_spec_survives_its_file(tmp_path: Path) -> None:
    made = spec.LabSpec(dir=tmp_path, count=3, binds=(Path("/a"),), temporary=True)
    made.save()
    assert spec.LabSpec.load(tmp_path) == made


@pytest.mark.parametrize(("text", "bits"), [("10mbit", 10e6), ("500kbit", 5e5), ("1.5Gbit", 1.5e9), ("9600bit", 9600)])
def test_rates_are_read_as_tc_reads_them(text: str, bits: float) -> None:
    assert delay.bits_per_second(text) == bits


@pytest.mark.parametrize("text", ["fast", "10", "0mbit", "10mb"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a rate"):
        delay.bits_per_second(text)


def test_queue_keeps_order_and_spaces_frames_by_rate() -> None:
    queue = delay.Queue(delay=0.5, rate=8000)
    queue.put(b"x" * 1000, now=10)
    queue.put(b"y" * 500, now=10)
    assert queue.next_due() == 11.5
    assert queue.due(11.4) == []
    assert queue.due(11.5) == [b"x" * 1000]
    assert queue.due(12.0) == [b"y" * 500]
    assert queue.next_due() is None
