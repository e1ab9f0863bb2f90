"""The lab init: PID 1 of a lab. Run as `python -m tests.lab.init DIR`, by `Lab.start`, inside new namespaces.

It boots the hosts, does what the API asks for on the control socket, and ends when its standard input closes
(an owned lab) or when asked to. It prints one line when the lab is up or why it is not.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from tests.lab import control, linux
from tests.lab.mac.cables import Cable, plug_lines
from tests.lab.needs import BACK_DOOR
from tests.lab.spec import HostSpec, LabSpec

from . import boot, delay, network

#: How often the size of a disk on which a host writes is measured before it cannot be made full.
_TRIES = 100

#: Seconds all hosts of a lab together may take to boot, or one to end.
_BOOT_PATIENCE, _END_PATIENCE = 120.0, 60.0
#: State of a bridge port in sysfs: <linux/if_bridge.h>.
_FORWARDING = "3"
#: Brings the Thunderbolt ports of a Mac up.
_CONFIGD = (f"{BACK_DOOR}/python3", "-IS", f"{BACK_DOOR}/maclab.py")


class _Node:
    """A host as the lab init knows it. Process ids are those of the lab's pid namespace."""

    def __init__(self, host: HostSpec) -> None:
        self.host = host
        self.pid: int | None = None
        self.delay_line: int | None = None
        self.cut = False
        self.full = False


class LabInit:
    """State of a running lab and what can be done to it."""

    def __init__(self, spec: LabSpec) -> None:
        self.spec = spec
        self.nodes = {host.name: _Node(host) for host in spec.hosts}
        self.stopping = False
        self.plugged: list[Cable] = []
        # Children are put into new pid namespaces; this brings the next one back into the lab's own.
        self._pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._operations: dict[str, Callable[..., Any]] = {
            "status": self.status,
            "pid": self.pid,
            "stop": self.stop,
            "restore": self.restore,
            "power_off": self.power_off,
            "power_on": self.power_on,
            "cut": self.cut,
            "slow": self.slow,
            "disk": self.disk,
        }

    # --- the lab ---

    def set_up(self) -> None:
        """Make the controller's network and boot every host."""
        self._prepare_controller()
        system = self.spec.trees / "sys"  # of the controller's network; /sys is that of the machine's
        system.mkdir(parents=True)
        linux.mount("sysfs", str(system), "sysfs", linux.MS_RDONLY)
        for node in self.nodes.values():
            self._insert_blank_disk(node)
        self._boot(self.nodes.values())

    def status(self) -> dict[str, Any]:
        """Process ids as the machine sees them; None for a host that is off."""
        pids = {name: self.pid(node) for name, node in self.nodes.items()}
        return {"pid": int(str(Path("/proc/self").readlink())), "hosts": pids}

    def stop(self) -> None:
        """End after this request."""
        self.stopping = True

    def restore(self, *some: _Node) -> None:
        """Undo every fault of these hosts, of all when none is named."""
        nodes = some or tuple(self.nodes.values())
        for node in nodes:
            self._remove_delay_line(node)
            if node.cut:
                self.cut(node, on=False)
            if node.full:
                self.disk(node, None)
        self._boot([node for node in nodes if node.pid is None])

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked."""
        try:
            operation = self._operations[request["op"]]
            node = [self.nodes[request["host"]]] if "host" in request else []
            return {"value": operation(*node, **request.get("args", {}))}
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the one who asked
            traceback.print_exc()
            return {"error": f"{request.get('op')}: {error}"}

    def reap(self) -> None:
        """Take note of children that ended."""
        with contextlib.suppress(ChildProcessError):
            while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                for node in self.nodes.values():
                    if node.pid == pid:
                        self._note_death(node)

    # --- one host ---

    def pid(self, node: _Node) -> int | None:
        """Process id of its PID 1 as the machine sees it; None when it is off."""
        return node.pid and _outer_pid(node.pid)

    def power_off(self, node: _Node, *, blank: bool = False) -> None:
        """Take everything away at once; silent first, so that no dying process says good-bye."""
        if node.pid is not None:
            self._remove_delay_line(node)
            self.cut(node, on=True)
            _end(node.pid)
            self._note_death(node)
        if blank:
            linux.unmount(str(self.spec.tree(node.host)))
            self._insert_blank_disk(node)

    def power_on(self, node: _Node) -> None:
        """Boot, when it is off."""
        if node.pid is None:
            self._boot([node])

    def cut(self, node: _Node, *, on: bool) -> None:
        """Drop every frame from and to the host, or no longer."""
        _must_be_on(node)
        node.cut = on
        detour = node.delay_line is not None
        network.batch(network.wiring_lines(node.host, cut=on, detour=detour))
        if not on:
            self._await_forwarding([node], detour=detour)

    def slow(self, node: _Node, *, delay: float, rate: float | None) -> None:
        """Put a delay line (seconds, bits per second) between host and bridges, in place of any other."""
        _must_be_on(node)
        self._remove_delay_line(node)
        if delay or rate:
            self._insert_delay_line(node, delay, rate)

    def disk(self, node: _Node, leave: int | None) -> None:
        """Let the disk have `leave` free bytes; None: as many as at first."""
        tree = self.spec.tree(node.host)
        node.full = leave is not None
        if leave is None:
            linux.mount("disk", str(tree), "tmpfs", linux.MS_REMOUNT, f"size={self.spec.disk}")
            return
        for left in reversed(range(_TRIES)):
            state = os.statvfs(tree)
            size = (state.f_blocks - state.f_bfree) * state.f_frsize + leave
            try:
                linux.mount("disk", str(tree), "tmpfs", linux.MS_REMOUNT, f"size={size}")
            except OSError as error:
                # Less than what is there by now: someone has written since.
                if error.errno != errno.EINVAL or not left:
                    raise
            else:
                return

    # --- how ---

    def _prepare_controller(self) -> None:
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
        network.batch(network.lan_lines())
        # For programs which run plain `ssh node1`: they can enter this mount namespace.
        for name, target in (("ssh_config", "/etc/ssh/ssh_config"), ("hosts", "/etc/hosts")):
            if Path(target).exists():
                linux.bind(str(self.spec.dir / name), target)

    def _insert_blank_disk(self, node: _Node) -> None:
        tree = self.spec.tree(node.host)
        tree.mkdir(exist_ok=True)
        linux.mount("disk", str(tree), "tmpfs", options=f"mode=755,size={self.spec.disk}")
        node.full = False

    def _boot(self, nodes: Iterable[_Node]) -> None:
        """Boot hosts at the same time."""
        deadline = time.monotonic() + _BOOT_PATIENCE
        channels = {node: self._fork_host(node) for node in nodes}
        for node, channel in channels.items():
            _expect(channel, b"namespaces", node, deadline)
        lines = [line for node in channels for line in network.cable_lines(node.host, node.pid or 0)]
        network.batch(lines)
        for channel in channels.values():
            channel.sendall(b".")
        for node, channel in channels.items():
            _expect(channel, b"ready", node, deadline)
            channel.close()
        self._await_forwarding(channels, detour=False)
        self._plug()

    def _plug(self) -> None:
        """Plug in the Thunderbolt cables whose both hosts are on, and let these Macs bring their ports up."""
        plan, on = self.spec.cable_plan, {name: node.pid for name, node in self.nodes.items() if node.pid}
        if plan is None:
            return
        new = [cable for cable in plan.cables if cable not in self.plugged and all(host in on for host, _port in cable.ends)]
        network.batch(line for cable in new for line in plug_lines(plan, cable, on))
        self.plugged += new
        ends = [(plan.interface(*end), end[0], cable.rate) for cable in new for end in cable.ends]
        for interface, host, rate in ends:
            if rate:
                shape = ["tc", "qdisc", "add", "dev", interface, "root", "tbf", "rate", rate, "burst", "64kb", "latency", "20ms"]
                _inside(on[host], "--net", "--", *shape)
        booting = [_start_inside(pid, "--mount", "--net", "--", *_CONFIGD) for pid in on.values()]
        if any(process.wait(_BOOT_PATIENCE) for process in booting):
            raise OSError("a Mac cannot bring its ports up; see init.log")

    def _unplug(self, node: _Node) -> None:
        """Pull the cables of a host that is gone: the kernel does that too, but some time later."""
        plan = self.spec.cable_plan
        for cable in [each for each in self.plugged if node.host.name in [host for host, _port in each.ends]]:
            assert plan
            self.plugged.remove(cable)
            host, port = next(end for end in cable.ends if end[0] != node.host.name)
            if pid := self.nodes[host].pid:
                _inside(pid, "--net", "--", "ip", "link", "del", plan.interface(host, port), check=False)

    def _await_forwarding(self, nodes: Iterable[_Node], *, detour: bool) -> None:
        """Wait for bridge ports: the kernel lets a new one in a while, up to a second, after its carrier."""
        deadline = time.monotonic() + _BOOT_PATIENCE
        for port in [port for node in nodes for port in network.live_ports(node.host, detour=detour)]:
            state = self.spec.trees / "sys/class/net" / port / "brport/state"
            while state.read_text().strip() != _FORWARDING:
                if time.monotonic() > deadline:
                    raise OSError(f"the bridge does not take {port}")
                time.sleep(0.002)

    def _fork_host(self, node: _Node) -> socket.socket:
        mine, its = socket.socketpair()
        linux.unshare(linux.CLONE_NEWPID)
        pid = os.fork()
        if pid == 0:
            _child(its, lambda: boot.become_host(self.spec, node.host, its))
        linux.setns(self._pid_namespace, linux.CLONE_NEWPID)
        its.close()
        node.pid = pid
        return mine

    def _insert_delay_line(self, node: _Node, delay_: float, rate: float | None) -> None:
        network.batch(network.detour_lines(node.host))
        network.batch(network.wiring_lines(node.host, cut=True, detour=True))  # two ways would be a loop
        pairs = [(port, network.detour_ends(port)[1]) for port in node.host.ports]
        mine, its = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            _child(its, lambda: delay.run(pairs, delay_, rate, ready=lambda: its.sendall(b"ready\n")))
        its.close()
        node.delay_line = pid
        with mine:
            _expect(mine, b"ready", node, time.monotonic() + _BOOT_PATIENCE)
        self.cut(node, on=node.cut)

    def _remove_delay_line(self, node: _Node) -> None:
        if node.delay_line is not None:
            _end(node.delay_line)
            node.delay_line = None
            network.batch(network.undo_detour_lines(node.host))
            if node.pid is not None:
                self.cut(node, on=node.cut)

    def _note_death(self, node: _Node) -> None:
        node.pid = None
        node.cut = False
        self._unplug(node)
        self._remove_delay_line(node)
        # The kernel removes the cables too, but some time after the last process is gone.
        network.batch(network.unplug_lines(node.host), check=False)


def _must_be_on(node: _Node) -> None:
    if node.pid is None:
        raise ValueError(f"{node.host.name} is off")


def _start_inside(pid: int, *words: str) -> subprocess.Popen[bytes]:
    """Start a program in namespaces of a host."""
    return subprocess.Popen(["nsenter", f"--target={_outer_pid(pid)}", *words], stdin=subprocess.DEVNULL, stdout=2)


def _inside(pid: int, *words: str, check: bool = True) -> None:
    if _start_inside(pid, *words).wait(_BOOT_PATIENCE) and check:
        raise OSError(f"failed on a host: {' '.join(words)}")


def _child(channel: socket.socket, work: Callable[[], object]) -> NoReturn:
    """Do the work in this forked process, which keeps only the channel and the log of the lab init."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
        os.closerange(3, channel.fileno())
        os.closerange(channel.fileno() + 1, 4096)
        work()
    except BaseException as error:  # noqa: BLE001 - it must not get into the code of the lab init
        with contextlib.suppress(OSError):
            channel.sendall(f"{error}\n".encode())
        traceback.print_exc()
    finally:
        os._exit(1)


def _expect(channel: socket.socket, word: bytes, node: _Node, deadline: float) -> None:
    channel.settimeout(max(0.1, deadline - time.monotonic()))
    line = b""
    while not line.endswith(b"\n"):
        if not (byte := channel.recv(1)):
            break
        line += byte
    if line.strip() != word:
        raise OSError(f"{node.host.name} does not get to {word.decode()}: {line.decode().strip() or 'it ended'}")


def _end(pid: int) -> None:
    """Kill a child, with all of its pid namespace when it is the first there, and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + _END_PATIENCE
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                raise OSError(f"process {pid} is still there {_END_PATIENCE:.0f} s after SIGKILL")
            time.sleep(0.002)


def _outer_pid(pid: int) -> int:
    """Process id as seen by those whose /proc this is, the processes outside of the lab."""
    descriptor = os.pidfd_open(pid)
    try:
        facts = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
    finally:
        os.close(descriptor)
    return int(next(line.split()[1] for line in facts.splitlines() if line.startswith("Pid:")))


def serve(lab: LabInit, listener: socket.socket) -> None:
    """Answer requests until told to stop or, in an owned lab, until the owner is gone."""
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ, lambda: _answer_one(lab, listener))
        selector.register(woken, selectors.EVENT_READ, lambda: woken.recv(4096))
        if lab.spec.owned:
            selector.register(0, selectors.EVENT_READ, lambda: _read_owner(lab))
        while not lab.stopping:
            for key, _ in selector.select():
                key.data()
            lab.reap()


def _read_owner(lab: LabInit) -> None:
    if not os.read(0, 4096):
        lab.stop()


def _answer_one(lab: LabInit, listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with (
        connection,
        contextlib.suppress(OSError, ValueError),
    ):  # one who hangs up or talks nonsense gets no answer
        connection.settimeout(60)
        request = json.loads(connection.makefile().readline())
        connection.sendall(json.dumps(lab.answer(request)).encode() + b"\n")


def main(directory: Path) -> None:
    """Be the lab init."""
    spec = LabSpec.load(directory)
    listener = control.listen(directory)
    lab = LabInit(spec)
    try:
        lab.set_up()
        report: dict[str, Any] = {"value": lab.status()}
    except (OSError, subprocess.SubprocessError) as error:
        traceback.print_exc()
        report, lab.stopping = {"error": str(error)}, True
    os.write(1, json.dumps(report).encode() + b"\n")
    os.dup2(2, 1)  # whoever waited for the line can close the pipe
    serve(lab, listener)
    _tidy(spec)


def _tidy(spec: LabSpec) -> None:
    """Remove what would outlive the namespaces: files. Everything else ends with this process."""
    (spec.dir / "control").unlink(missing_ok=True)
    for name in ("sys", *(host.name for host in spec.hosts)):  # else their files would be removed one by one
        with contextlib.suppress(OSError):
            linux.unmount(str(spec.trees / name))
    if spec.temporary:
        shutil.rmtree(spec.dir, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
