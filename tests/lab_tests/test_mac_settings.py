"""The settings of the lab's Macs: programs that show and change them, root's and everybody's, before and after a restart."""

from __future__ import annotations

import plistlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import Host, Lab
from tests.lab.pytest_plugin import start_or_skip
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.lab, pytest.mark.mac]

FIREWALL = "/usr/libexec/ApplicationFirewall/socketfilterfw"
DAEMON = "/Library/LaunchDaemons/org.example.limit.plist"
LABEL = "system/org.example.limit"
TOOLS = "Command Line Tools for Xcode 26.2-26.2"
ASKED_FOR_TOOLS = "/tmp/.com.apple.dt.CommandLineTools.installondemand.in-progress"


@pytest.fixture(scope="module")
def started() -> Iterator[Lab]:
    """Give one Mac for all tests of this file; nobody else sees what they leave there."""
    lab = start_or_skip(1, personality="mac")
    yield lab
    lab.stop()


@pytest.fixture
def mac(started: Lab) -> Host:
    """Give the Mac to a test that changes nothing."""
    return started.hosts[0]


@pytest.fixture
def new_mac(mac: Host) -> Iterator[Host]:
    """Give the Mac to a test that changes it; the next one gets it as it was."""
    yield mac
    wait_until(lambda: mac.leftovers() == [], "nothing is left running")
    mac.reinstall()


def over_ssh(lab: Lab, command: str, *, status: int = 0, user: str = "root") -> str:
    """Run a command, and return what it says when it ends with this status."""
    done = lab.ssh(f"{user}@node1", command)
    assert done.returncode == status, done
    return done.stdout + done.stderr


def restart(mac: Host) -> None:
    mac.power_off()
    mac.power_on()


def setting(text: str, name: str) -> str:
    """Return a value from lines of name and value."""
    return next(line.split()[1] for line in text.splitlines() if line.split()[:1] == [name])


def put_daemon(mac: Host, path: str = DAEMON, **more: Any) -> None:
    """Write a LaunchDaemon that sets the wired limit."""
    plist = {"Label": "org.example.limit", "ProgramArguments": ["sysctl", "iogpu.wired_limit_mb=4096"], "RunAtLoad": True, **more}
    mac.path(path).write_bytes(plistlib.dumps(plist))


# -- refusals


REFUSALS = [
    ("pmset -a sleep 0", 0, "'pmset' must be run as root..."),
    ("pmset -c nonsense 0", 64, "Usage: pmset <options>"),
    ("pmset -c sleep", 64, "Usage: pmset <options>"),
    ("pmset -c autorestart 2", 64, "Usage: pmset <options>"),
    ("pmset", 64, "Usage: pmset <options>"),
    ("sysctl iogpu.wired_limit_mb=1", 1, "sysctl: iogpu.wired_limit_mb=1: Operation not permitted"),
    ("sysctl hw.memsize=1", 1, "sysctl: oid 'hw.memsize' is read only"),
    ("sysctl kern.maxfiles=many", 1, "sysctl: invalid integer 'many'"),
    ("sysctl kern.nonsense=1", 1, "sysctl: unknown oid 'kern.nonsense'"),
    ("launchctl limit maxfiles 1024 2048", 1, "Could not set resource limits: 1: Operation not permitted"),
    ("launchctl limit nonsense 1", 64, "Unrecognized limit: nonsense"),
    ("launchctl limit maxfiles many", 64, "Invalid value: many"),
    (f"launchctl bootstrap system {DAEMON}", 5, "Bootstrap failed: 5: Input/output error\nTry re-running the command as root"),
    ("launchctl bootstrap gui/501 x", 125, "Bootstrap failed: 125: Domain does not support specified action"),
    (f"launchctl bootout {LABEL}", 1, "Boot-out failed: 1: Operation not permitted"),
    (f"launchctl print {LABEL}", 113, 'Bad request.\nCould not find service "org.example.limit" in domain for system'),
    (f"launchctl disable {LABEL}", 1, "Could not disable service: 1: Operation not permitted"),
    ("launchctl nonsense", 64, "Unrecognized subcommand: nonsense"),
    (f"{FIREWALL} --setglobalstate on", 255, "Must be root to change settings."),
    (f"{FIREWALL} --add /usr/bin/python3", 255, "Must be root to change settings."),
    (f"{FIREWALL} --nonsense", 1, "usage: socketfilterfw"),
    ("fdesetup enable", 1, "root access required"),
    ("fdesetup nonsense", 22, "Usage: fdesetup"),
    ("xcode-select -r", 1, "must be run as root"),
    (f"softwareupdate -i '{TOOLS}'", 1, "must be run as root"),
    ("softwareupdate --nonsense", 1, "unrecognized option"),
    ("defaults write /Library/Preferences/org.example x 1", 1, "Could not write domain /Library/Preferences/org.example; exiting"),
    ("defaults read org.example x", 1, "The domain/default pair of (org.example, x) does not exist"),
    ("defaults nonsense", 255, "Command line interface to a user's defaults."),
]


@pytest.fixture(scope="module")
def answers(started: Lab) -> list[str]:
    """Give what each command says to a user who is not root, and its status on a line after that: by one connection."""
    commands = "; ".join(f"{command} 2>&1; echo $?; printf '\\0'" for command, _status, _text in REFUSALS)
    return over_ssh(started, commands, user="mlx").split("\0")


@pytest.mark.parametrize("at", range(len(REFUSALS)), ids=[command for command, _status, _text in REFUSALS])
def test_refusals_have_a_macs_status_and_words(answers: list[str], at: int) -> None:
    _command, status, text = REFUSALS[at]
    assert text in answers[at]
    assert answers[at].endswith(f"\n{status}\n")


def test_everybody_may_look(started: Lab) -> None:
    text = over_ssh(started, f"pmset -g; fdesetup status; launchctl limit maxproc; {FIREWALL} --getglobalstate --listapps", user="mlx")
    assert [setting(text, name) for name in ("sleep", "autorestart", "maxproc")] == ["1", "0", "10666"]
    assert "FileVault is Off.\n" in text
    assert text.endswith("Firewall is disabled. (State = 0)\nTotal number of apps = 0 \n")


# -- power, which is kept


def test_power_settings_outlive_a_restart(started: Lab, new_mac: Host) -> None:
    over_ssh(started, "pmset -c sleep 0 disksleep 0 autorestart 1; pmset -b displaysleep 1; pmset -a hibernatemode 0")
    restart(new_mac)
    text = over_ssh(started, "pmset -g custom")
    assert text.startswith("AC Power:\n")
    assert [setting(text, name) for name in ("sleep", "disksleep", "autorestart", "displaysleep")] == ["0", "0", "1", "10"]
    assert "hibernatemode" not in text


def test_pmset_names_what_keeps_the_mac_awake(started: Lab) -> None:
    shown = "for _ in {1..100}; do pmset -g | grep -q prevented && break; done"  # it takes a moment to begin
    text = over_ssh(started, f"caffeinate -i & {shown}; pmset -g; pmset -g custom; kill %1")
    assert " sleep                1 (sleep prevented by caffeinate)\n" in text
    assert " sleep                1\n" in text


# -- variables of the kernel and limits, which a restart forgets


def test_kernel_variables_are_forgotten(started: Lab, new_mac: Host) -> None:
    assert over_ssh(started, "sysctl iogpu.wired_limit_mb=450000") == "iogpu.wired_limit_mb: 0 -> 450000\n"
    assert over_ssh(started, "sysctl -n iogpu.wired_limit_mb") == "450000\n"
    assert "iogpu.wired_limit_mb: 450000\n" in over_ssh(started, "sysctl -a", user="mlx")
    assert "sysctl: kern.maxproc=20000: Invalid argument" in over_ssh(started, "sysctl kern.maxproc=20000", status=1)
    restart(new_mac)
    assert over_ssh(started, "sysctl -n iogpu.wired_limit_mb") == "0\n"


def test_limits_move_variables_of_the_kernel_until_a_restart(started: Lab, new_mac: Host) -> None:
    over_ssh(started, "launchctl limit maxfiles 65536 200000; launchctl limit maxproc 20000 20000")
    assert over_ssh(started, "sysctl -n kern.maxfilesperproc kern.maxfiles kern.maxproc").split() == ["65536", "200000", "16000"]
    assert setting(over_ssh(started, "launchctl limit"), "maxproc") == "16000"
    restart(new_mac)
    assert setting(over_ssh(started, "launchctl limit"), "maxfiles") == "256"
    assert over_ssh(started, "sysctl -n kern.maxfilesperproc") == "245760\n"


def test_limits_can_be_a_matter_for_the_start_alone(started: Lab, new_mac: Host) -> None:
    new_mac.run(["/usr/libexec/mlxlab/python3", "/usr/libexec/mlxlab/macstate.py", "sip_limits", "on"], check=True)
    refusal = "Could not set resource limits: 150: Operation not permitted while System Integrity Protection is engaged"
    assert refusal in over_ssh(started, "launchctl limit maxfiles 65536 200000", status=150)
    put_daemon(new_mac, ProgramArguments=["launchctl", "limit", "maxfiles", "65536", "200000"])
    restart(new_mac)
    assert setting(over_ssh(started, "launchctl limit"), "maxfiles") == "65536"


# -- services


def test_daemon_runs_at_once_and_at_each_start(started: Lab, new_mac: Host) -> None:
    put_daemon(new_mac)
    over_ssh(started, f"launchctl bootstrap system {DAEMON}")
    assert over_ssh(started, "sysctl -n iogpu.wired_limit_mb; sysctl -n iogpu.wired_limit_mb=0") == "4096\n4096 -> 0\n"
    shown = over_ssh(started, f"launchctl print {LABEL}")
    assert "state = not running\n" in shown
    assert "\truns = 1\n\tlast exit code = 0\n" in shown
    assert "Bootstrap failed: 5: " in over_ssh(started, f"launchctl bootstrap system {DAEMON}", status=5)
    restart(new_mac)
    assert over_ssh(started, "sysctl -n iogpu.wired_limit_mb") == "4096\n"
    over_ssh(started, f"launchctl bootout {LABEL}")
    assert over_ssh(started, f"launchctl bootout {LABEL}", status=3) == "Boot-out failed: 3: No such process\n"
    new_mac.path(DAEMON).unlink()
    restart(new_mac)
    assert over_ssh(started, "sysctl -n iogpu.wired_limit_mb") == "0\n"


@pytest.mark.parametrize(
    ("spoil", "status", "text"),
    [
        (lambda file: file.chmod(0o664), 122, "Path had bad ownership/permissions"),
        (lambda file: file.write_text("<plist>"), 109, "Invalid property list"),
        (lambda file: file.write_bytes(plistlib.dumps({"Label": "x"})), 109, "Invalid property list"),
        (lambda file: file.unlink(), 2, "No such file or directory"),
    ],
    ids=["permissions", "xml", "program", "file"],
)
def test_daemon_that_is_wrong_is_refused(started: Lab, mac: Host, spoil: Any, status: int, text: str) -> None:
    put_daemon(mac, Label="org.example.wrong")
    spoil(mac.path(DAEMON))
    assert over_ssh(started, f"launchctl bootstrap system {DAEMON}", status=status) == f"Bootstrap failed: {status}: {text}\n"
    mac.path(DAEMON).unlink(missing_ok=True)


def test_start_leaves_out_what_is_wrong_or_disabled(started: Lab, new_mac: Host) -> None:
    put_daemon(new_mac)
    put_daemon(new_mac, "/Library/LaunchDaemons/org.example.a.plist", Label="org.example.a", ProgramArguments=["/nonsense"])
    put_daemon(new_mac, "/Library/LaunchDaemons/org.example.b.plist", Label="org.example.b", UserName="mlx")
    new_mac.path("/Library/LaunchDaemons/org.example.c.plist").write_text("nonsense")
    over_ssh(started, f"launchctl disable {LABEL}")
    restart(new_mac)
    rows = over_ssh(started, "launchctl list").splitlines()
    assert rows == ["PID\tStatus\tLabel", "-\t78\torg.example.a", "-\t1\torg.example.b"]  # no program; a user may set nothing
    assert "Bootstrap failed: 119: " in over_ssh(started, f"launchctl bootstrap system {DAEMON}", status=119)
    over_ssh(started, f"launchctl enable {LABEL}; launchctl bootstrap system {DAEMON}")
    assert over_ssh(started, "sysctl -n iogpu.wired_limit_mb") == "4096\n"


def test_daemon_that_stays_runs_until_it_is_unloaded(started: Lab, new_mac: Host) -> None:
    put_daemon(new_mac, ProgramArguments=["caffeinate", "-i"], KeepAlive=True, StandardErrorPath="/var/log/org.example.log")
    over_ssh(started, f"launchctl bootstrap system {DAEMON}")
    assert "state = running\n" in over_ssh(started, f"launchctl print {LABEL}")
    assert [process.name for process in new_mac.leftovers()] == ["caffeinate"]
    over_ssh(started, f"launchctl bootout {LABEL}")


# -- the application firewall


def test_firewall_keeps_its_applications(started: Lab, new_mac: Host) -> None:
    over_ssh(started, f"{FIREWALL} --setglobalstate on --add /usr/bin/python3 --blockapp /usr/bin/python3")
    restart(new_mac)
    text = over_ssh(started, f"{FIREWALL} --getglobalstate --listapps")
    listed = "Total number of apps = 1 \n1 : /usr/bin/python3 \n             (Block incoming connections) \n\n"
    assert text == "Firewall is enabled. (State = 1)\n" + listed
    assert "is permitted" in over_ssh(started, f"{FIREWALL} --unblockapp /usr/bin/python3")
    assert "already a part" in over_ssh(started, f"{FIREWALL} --add /usr/bin/python3")
    assert "does not exist" in over_ssh(started, f"{FIREWALL} --add /nonsense")
    over_ssh(started, f"{FIREWALL} --remove /usr/bin/python3")
    assert over_ssh(started, f"{FIREWALL} --getappblocked /usr/bin/python3") == "The application is not part of the firewall\n"


# -- FileVault, command line tools, preferences


def test_filevault_is_a_switch_of_the_lab(started: Lab, new_mac: Host) -> None:
    new_mac.run(["/usr/libexec/mlxlab/python3", "/usr/libexec/mlxlab/macstate.py", "filevault", "on"], check=True)
    assert over_ssh(started, "fdesetup status; fdesetup isactive") == "FileVault is On.\ntrue\n"


def test_tools_can_be_taken_away_and_installed(started: Lab, new_mac: Host) -> None:
    over_ssh(started, "rm -r /Library/Developer/CommandLineTools")
    assert "unable to get active developer directory" in over_ssh(started, "xcode-select -p", status=2)
    assert "No developer tools were found" in over_ssh(started, "python3 -V", status=1)
    assert new_mac.path("/tmp/mlxlab-dialog").exists()
    assert "install requested" in over_ssh(started, "xcode-select --install")
    assert "No new software available." in over_ssh(started, "softwareupdate -l")
    assert f"* Label: {TOOLS}\n" in over_ssh(started, f"touch {ASKED_FOR_TOOLS}; softwareupdate --list")
    assert "No such update" in over_ssh(started, "softwareupdate -i nonsense")
    over_ssh(started, f"softwareupdate --install '{TOOLS}' --agree-to-license; rm {ASKED_FOR_TOOLS}")
    assert over_ssh(started, "xcode-select -p; python3 -V").startswith("/Library/Developer/CommandLineTools\nPython 3.9.")


def test_preferences_are_files(started: Lab, new_mac: Host) -> None:
    domain = "/Library/Preferences/com.apple.loginwindow"
    over_ssh(started, f"defaults write {domain} autoLoginUser mlx; defaults write org.example on -bool YES")
    restart(new_mac)
    assert plistlib.loads(new_mac.path(f"{domain}.plist").read_bytes()) == {"autoLoginUser": "mlx"}
    assert over_ssh(started, f"defaults read {domain} autoLoginUser", user="mlx") == "mlx\n"
    assert over_ssh(started, "defaults read org.example; defaults read org.example on") == "{\n    on = 1;\n}\n1\n"
    assert over_ssh(started, "defaults write org.example on -array a b; defaults read org.example on") == "(\n    a,\n    b\n)\n"
    over_ssh(started, f"defaults delete {domain} autoLoginUser")
    over_ssh(started, f"defaults read {domain} autoLoginUser", status=1)
