"""A host with the Mac personality looks like a Mac over ssh, as far as its README says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab import Host, Lab, LabError, NoMacError
from tests.lab import lab as lab_module
from tests.lab.mac import personality
from tests.lab.mac.personality import find_pythons, mac_lacks
from tests.lab.pytest_plugin import start_or_skip

pytestmark = pytest.mark.mac

MakeLab = Callable[..., Lab]
Done = subprocess.CompletedProcess[str]

USERS = ("root", "mlx")


@pytest.fixture
def host(lab: Lab) -> Host:
    """Give one Mac."""
    return lab.hosts[1]


def over_ssh(lab: Lab, command: str, user: str = "root") -> Done:
    """Run a command on node2, as a user."""
    return lab.ssh(f"{user}@node2", command)


def told(lab: Lab, command: str, user: str = "root") -> str:
    """What a command on node2 that works says."""
    done = over_ssh(lab, command, user)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def refused(lab: Lab, command: str, code: int = 1) -> str:
    """What a command on node2 that fails says."""
    done = over_ssh(lab, command)
    assert done.returncode == code, done
    return done.stdout + done.stderr


# --- shell, PATH and Pythons ---


@pytest.mark.parametrize("user", USERS)
def test_a_command_over_ssh_gets_zsh_and_the_short_path(lab: Lab, user: str) -> None:
    assert told(lab, "echo $PATH", user) == "/usr/bin:/bin:/usr/sbin:/sbin\n"
    assert told(lab, "echo ${ZSH_VERSION:+zsh} $SHELL", user) == "zsh /bin/zsh\n"


@pytest.mark.parametrize("user", USERS)
def test_only_a_login_shell_finds_homebrew(lab: Lab, user: str) -> None:
    assert told(lab, "zsh -lc 'echo $PATH'", user).startswith("/opt/homebrew/bin:")
    assert "homebrew" not in told(lab, "zsh -c 'echo $PATH'", user)


@pytest.mark.parametrize("user", USERS)
def test_python3_is_the_shim_of_a_3_9(lab: Lab, user: str) -> None:
    version, executable = told(lab, "python3 -c 'import sys; print(sys.version_info[:2]); print(sys.executable)'", user).splitlines()
    assert version == "(3, 9)"
    assert executable == "/Library/Developer/CommandLineTools/usr/bin/python3"
    assert told(lab, "command -v python3", user) == "/usr/bin/python3\n"
    assert told(lab, "print -l /usr/bin/python3*(N)", user) == "/usr/bin/python3\n"


@pytest.mark.parametrize("user", USERS)
def test_homebrew_has_the_machines_newer_pythons_off_the_path(lab: Lab, user: str) -> None:
    newer = {minor for minor in find_pythons() if minor > 9}
    assert newer
    for minor in newer:
        assert told(lab, f"/opt/homebrew/bin/python3.{minor} -c 'import sys; print(sys.version_info[1])'", user) == f"{minor}\n"
        assert over_ssh(lab, f"command -v python3.{minor}", user).returncode == 1


def test_an_environment_can_be_made_with_homebrews_python(lab: Lab, host: Host) -> None:
    newest = max(find_pythons())
    told(lab, f"/opt/homebrew/bin/python3.{newest} -m venv --without-pip /opt/environment")
    try:
        command = "import json, sys; print(json.dumps([sys.prefix, sys.version_info[1]]))"
        assert json.loads(told(lab, f"/opt/environment/bin/python -c '{command}'")) == ["/opt/environment", newest]
    finally:
        host.run(["rm", "-r", "/opt/environment"], check=True)


def test_linux_programs_are_not_there(lab: Lab) -> None:
    for name in ("ip", "timeout", "flock", "setsid", "nproc", "systemctl", "apt-get", "ldd"):
        assert over_ssh(lab, f"command -v {name}").returncode == 1, name


# --- what programs say about the machine ---


def test_sw_vers_says_macos(lab: Lab) -> None:
    assert told(lab, "sw_vers").splitlines() == ["ProductName:\t\tmacOS", "ProductVersion:\t\t26.2", "BuildVersion:\t\t25C56"]
    assert told(lab, "sw_vers -productVersion; sw_vers --buildVersion") == "26.2\n25C56\n"
    assert "Usage: sw_vers" in refused(lab, "sw_vers -nonsense")


def test_uname_says_darwin_on_arm64(lab: Lab) -> None:
    assert told(lab, "uname; uname -s; uname -m; uname -r; uname -p; uname -sm") == "Darwin\nDarwin\narm64\n25.2.0\narm\nDarwin arm64\n"
    words = told(lab, "uname -a").split()
    assert words[:3] == ["Darwin", "node2", "25.2.0"]
    assert words[-1] == "arm64"
    assert "illegal option -- z" in refused(lab, "uname -z")


def test_sysctl_knows_what_was_recorded(lab: Lab) -> None:
    names = "hw.memsize machdep.cpu.brand_string hw.ncpu hw.model hw.perflevel0.logicalcpu kern.osproductversion iogpu.wired_limit_mb"
    assert told(lab, f"sysctl -n {names}").splitlines() == ["549755813888", "Apple M3 Ultra", "32", "Mac15,14", "24", "26.2", "0"]
    assert told(lab, "sysctl kern.hostname") == "kern.hostname: node2\n"
    assert "hw.ncpu: 32\n" in told(lab, "sysctl -a")


def test_sysctl_goes_on_after_an_unknown_name(lab: Lab) -> None:
    done = over_ssh(lab, "sysctl -n hw.nonsense hw.ncpu hw.memsiz")
    assert (done.returncode, done.stdout) == (1, "32\n")
    assert done.stderr == "sysctl: unknown oid 'hw.nonsense'\nsysctl: unknown oid 'hw.memsiz'\n"


def test_ifconfig_shows_real_addresses_in_the_format_of_macos(lab: Lab, host: Host) -> None:
    text = told(lab, "ifconfig -a")
    assert text == told(lab, "/sbin/ifconfig")
    assert "\tinet 198.18.0.12 netmask 0xffffff00 broadcast 198.18.0.255\n" in told(lab, "ifconfig en0")
    assert "\tinet 198.18.1.12 netmask 0xffffff00 broadcast 198.18.1.255\n" in told(lab, "ifconfig en2")
    assert text.startswith("lo0: flags=8049<UP,LOOPBACK,RUNNING,MULTICAST> mtu 16384\n")
    assert text.count("\tinet ") == 3
    assert "@" not in text
    assert "interface en99 does not exist" in refused(lab, "ifconfig en99")
    refused(lab, "ifconfig en2 inet 10.0.0.1 netmask 255.255.255.252")


def test_the_kernel_has_the_same_interfaces(lab: Lab) -> None:
    command = "import socket; print(sorted(name for _, name in socket.if_nameindex()))"
    assert told(lab, f'python3 -c "{command}"') == "['en0', 'en2', 'lo0']\n"


def test_ipconfig_gives_the_address_or_fails(lab: Lab) -> None:
    assert told(lab, "ipconfig getifaddr en0; ipconfig getifaddr en2", "mlx") == "198.18.0.12\n198.18.1.12\n"
    assert "failure" in refused(lab, "ipconfig getifaddr en1")
    assert "usage" in refused(lab, "ipconfig nonsense")


def test_networksetup_lists_ports_with_real_hardware_addresses(lab: Lab) -> None:
    text = told(lab, "networksetup -listallhardwareports")
    assert "\nHardware Port: Ethernet\nDevice: en0\nEthernet Address: 02:00:c6:12:00:0c\n" in text
    assert "\nHardware Port: Thunderbolt 1\nDevice: en2\nEthernet Address: 02:00:c6:12:01:0c\n" in text
    assert "@" not in text
    assert "not valid" in refused(lab, "networksetup -nonsense", code=4)


def test_system_profiler_says_the_same_as_text_and_as_json(lab: Lab) -> None:
    text = told(lab, "system_profiler SPHardwareDataType")
    hardware = json.loads(told(lab, "system_profiler SPHardwareDataType -json"))["SPHardwareDataType"][0]
    for label, key in (("Chip", "chip_type"), ("Memory", "physical_memory"), ("Model Identifier", "machine_model")):
        assert f"      {label}: {hardware[key]}\n" in text
    assert hardware["chip_type"] == "Apple M3 Ultra"
    assert sorted(json.loads(told(lab, "system_profiler -json SPHardwareDataType SPThunderboltDataType"))) == [
        "SPHardwareDataType",
        "SPThunderboltDataType",
    ]
    assert "Usage" in refused(lab, "system_profiler --nonsense")
    assert told(lab, "system_profiler SPNonsenseDataType") == ""


def test_thunderbolt_cables_make_a_ring_of_the_hosts(lab: Lab) -> None:
    buses = [json.loads(lab.ssh(host, "system_profiler SPThunderboltDataType -json").stdout)["SPThunderboltDataType"] for host in lab.hosts]
    owner = {bus["domain_uuid_key"]: index for index, own in enumerate(buses) for bus in own}
    cables = [[owner[item["domain_uuid_key"]] for bus in own for item in bus.get("_items", [])] for own in buses]
    assert cables == [[1, 3], [2, 0], [3, 1], [0, 2]]
    assert [bus["receptacle_1_tag"]["receptacle_id_key"] for bus in buses[0]] == list("123456")


def test_limits_tools_and_memory(lab: Lab) -> None:
    assert told(lab, "launchctl limit maxfiles").split() == ["maxfiles", "256", "unlimited"]
    assert "Unrecognized subcommand: nonsense" in refused(lab, "launchctl nonsense", code=64)
    assert told(lab, "xcode-select -p") == "/Library/Developer/CommandLineTools\n"
    refused(lab, "xcode-select --nonsense")
    assert told(lab, "vm_stat").startswith("Mach Virtual Memory Statistics: (page size of 16384 bytes)\n")


def test_caffeinate_lives_as_long_as_the_process_it_waits_for(lab: Lab) -> None:
    script = """
        mkfifo /tmp/gate; cat /tmp/gate & waited=$!
        caffeinate -i -s -w $waited & caffeinate=$!
        exec 3> /tmp/gate
        kill -0 $caffeinate && echo awake
        exec 3>&-
        wait $caffeinate; echo $?; rm /tmp/gate
        kill -0 $waited 2> /dev/null || echo gone
    """
    assert told(lab, script) == "awake\n0\ngone\n"


def test_caffeinate_runs_a_command_or_refuses(lab: Lab) -> None:
    done = over_ssh(lab, "caffeinate -di sh -c 'echo x; exit 7'")
    assert (done.returncode, done.stdout) == (7, "x\n")
    assert told(lab, "caffeinate -t 0; caffeinate -w 999999999") == ""
    assert "usage" in refused(lab, "caffeinate -x")


# --- as a lab's host ---


def test_macs_and_linux_machines_in_one_lab(make_lab: MakeLab) -> None:
    lab = make_lab(2, personality={"node2": "mac"})
    assert [lab.ssh(host, "uname").stdout for host in lab.hosts] == ["Linux\n", "Darwin\n"]
    assert lab.ssh("node1", "echo $SHELL").stdout == "/bin/bash\n"
    assert lab.ssh("node1", "ip -brief addr show eth0").returncode == 0
    inventory = lab.inventory.read_text()
    assert "node2: {ansible_host: 198.18.0.12, ansible_python_interpreter: /usr/bin/python3}" in inventory
    assert "node1: {ansible_host: 198.18.0.11}" in inventory


def test_a_mac_stays_one_after_power_off_and_reinstallation(make_lab: MakeLab) -> None:
    lab = make_lab(1, personality="mac")
    host = lab.hosts[0]
    for again in (lambda: (host.power_off(), host.power_on()), host.reinstall):
        again()
        assert lab.ssh(host, "uname -s; ipconfig getifaddr en0; echo $PATH").stdout.split() == [
            "Darwin",
            "198.18.0.11",
            "/usr/bin:/bin:/usr/sbin:/sbin",
        ]


def test_starting_macs_is_about_as_quick(make_lab: MakeLab) -> None:
    begun = time.monotonic()
    lab = make_lab(4, personality="mac")
    assert time.monotonic() - begun < 45  # as for Linux machines: test_lab.py
    assert lab.ssh("node4", "uname").stdout == "Darwin\n"


def test_faults_work_on_a_mac(lab: Lab, host: Host) -> None:
    host.set_clock(3600)
    early, late = (int(lab.ssh(name, "date +%s").stdout) for name in ("node1", "node2"))
    assert 3500 < late - early < 3700
    host.slow(delay_ms=20)
    host.fill_disk()
    assert "space" in over_ssh(lab, "dd if=/dev/zero of=/opt/x bs=1000000 count=1").stderr
    host.restore()
    with pytest.raises(subprocess.TimeoutExpired):  # the limit is the lab's own, by a program that no Mac has
        host.run(["sleep", "4712"], timeout=0.2)
    assert told(lab, "echo well") == "well\n"


@pytest.mark.parametrize("module", ["ping", "setup"])
def test_ansible_works_with_the_lab_s_inventory(lab: Lab, module: str) -> None:
    ansible = Path(sys.executable).with_name("ansible")
    if not ansible.exists():
        pytest.skip("no ansible beside this Python")
    done = lab.run([ansible, "-i", lab.inventory, "all", "-m", module, "-o"], env=os.environ | {"ANSIBLE_FORKS": "4"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") == len(lab.hosts)
    if module == "setup":
        assert '"ansible_python_version": "3.9.' in done.stdout


def test_wrong_personalities_are_refused(lab: Lab) -> None:
    with pytest.raises(LabError, match="personality windows"):
        Lab.start(1, personality="windows")
    with pytest.raises(LabError, match="no host is node2"):
        Lab.start(1, personality={"node2": "mac"})


def test_without_a_python_3_9_tests_are_skipped_with_the_reason(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab_module, "find_pythons", dict)
    with pytest.raises(NoMacError, match=r"missing: Python 3\.9.*MLXLAUNCH_PY39"):
        Lab.start(1, personality="mac")
    monkeypatch.setenv("MLXLAUNCH_LAB", "required")
    with pytest.raises(pytest.skip.Exception, match=r"Python 3\.9"):
        start_or_skip(1, personality="mac")


def test_the_newest_python_of_a_minor_version_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("3.9.9", "3.9.18", "3.12.1", "3.8.1"):
        python = tmp_path / "versions" / version / "bin" / f"python{version.rpartition('.')[0]}"
        python.parent.mkdir(parents=True)
        python.touch()
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "none"))
    monkeypatch.delenv("MLXLAUNCH_PY39", raising=False)
    monkeypatch.setattr(personality, "program", lambda _: None)
    assert find_pythons() == {
        9: tmp_path / "versions/3.9.18/bin/python3.9",
        12: tmp_path / "versions/3.12.1/bin/python3.12",
    }
    monkeypatch.setenv("MLXLAUNCH_PY39", "/opt/x/bin/python3.9")
    assert find_pythons()[9] == Path("/opt/x/bin/python3.9")


def test_an_environment_of_the_system_python_cannot_be_on_a_mac() -> None:
    assert any("/usr/bin/python3" in reason for reason in mac_lacks({9: Path("/x")}, "/usr"))
