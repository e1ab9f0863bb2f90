"""The lab for people: `python -m tests.lab up | status | shell | fault | down | packages`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from .host import Host
from .keeper import find_program, kept_for
from .lab import Lab
from .mac.cables import read_plan
from .needs import LabError, missing, packages
from .start import remove_files

_DEFAULT_DIRECTORY = Path(".lab")
_FAULTS: dict[str, Callable[[Host], None]] = {
    "off": Host.power_off,
    "on": Host.power_on,
    "cut": Host.cut,
    "heal": Host.heal,
    "full": Host.fill_disk,
    "free": Host.free_disk,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.do(arguments))
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start hosts which stay until `down`")
    up.add_argument("--hosts", type=int, default=4, metavar="N", help="how many (default %(default)s)")
    up.add_argument("--disk", default="1g", metavar="SIZE", help="disk of each host (default %(default)s)")
    up.add_argument("--mac", action="store_true", help="hosts look like Macs over ssh, as far as a Linux machine can")
    up.add_argument("--cables", default="", metavar="PLAN", help="Thunderbolt cables between Macs: ring, mesh or a file")
    up.add_argument("--for", dest="program", default="", metavar="WORDS", help="end it with the program that has started this")
    up.set_defaults(do=_up)
    shell = commands.add_parser("shell", help="a shell in the controller's network")
    shell.set_defaults(do=_shell)
    status = commands.add_parser("status", help="which hosts are up")
    status.set_defaults(do=_status)
    fault = commands.add_parser("fault", help="let a host be without power, network or room, or again with it")
    fault.add_argument("host", metavar="HOST", help="node1 and so on")
    fault.add_argument("fault", choices=_FAULTS)
    fault.set_defaults(do=_fault)
    down = commands.add_parser("down", help="end the lab")
    down.set_defaults(do=_down)
    for command in (up, shell, status, fault, down):
        command.add_argument("--dir", type=Path, default=_DEFAULT_DIRECTORY, help="its files (default %(default)s)")
    commands.add_parser("packages", help="print the Debian packages a lab needs").set_defaults(do=_packages)
    return parser


def _up(arguments: argparse.Namespace) -> int:
    lab = _running(arguments.dir)
    if lab is None:
        if lacks := missing():
            raise LabError(f"missing: {', '.join(lacks)}; try: sudo apt-get install {' '.join(packages())}")
        looks = "mac" if arguments.mac else "linux"
        cables = read_plan(arguments.cables) if arguments.cables else None
        with _kept(arguments.program.split(), arguments.dir):
            lab = Lab.start(arguments.hosts, dir=arguments.dir, disk=arguments.disk, owned=False, personality=looks, cables=cables)
    else:
        print(f"A lab is already up in {arguments.dir}.")
    _print_facts(lab, arguments.dir)
    return 0


def _status(arguments: argparse.Namespace) -> int:
    lab = _running(arguments.dir)
    if lab is None:
        print(f"No lab is up in {arguments.dir}.")
        return 1
    for host in lab.hosts:
        print(f"{host.name:8} {host.address:14} {host.address2:14} {'on' if host.is_on else 'off'}")
    return 0


def _shell(arguments: argparse.Namespace) -> int:
    lab = Lab.attach(arguments.dir)
    shell = os.environ.get("SHELL", "/bin/bash")
    print(f"In the controller's network; try `ssh {lab.hosts[0].name}`. `exit` leaves.", flush=True)
    command = lab.command([shell], plain_ssh=True)
    os.execvp(command[0], command)  # noqa: S606 - the same for this, which starts the user's shell


def _fault(arguments: argparse.Namespace) -> int:
    hosts = {host.name: host for host in Lab.attach(arguments.dir).hosts}
    if arguments.host not in hosts:
        raise LabError(f"no host is {arguments.host}: {', '.join(hosts)}")
    _FAULTS[arguments.fault](hosts[arguments.host])
    return 0


def _down(arguments: argparse.Namespace) -> int:
    lab = _running(arguments.dir)
    if lab is None:
        print(f"No lab is up in {arguments.dir}.")
    else:
        lab.stop()
        print(f"The lab in {arguments.dir} is down.")
    if (arguments.dir / "lab.json").exists():
        remove_files(arguments.dir)
    return 0


def _packages(arguments: argparse.Namespace) -> int:
    print(*packages())
    return 0


def _running(directory: Path) -> Lab | None:
    try:
        return Lab.attach(directory)
    except LabError:
        return None


def _kept(words: Sequence[str], directory: Path) -> contextlib.AbstractContextManager[None]:
    """End the lab with the program that has these words in its command line, if one of our ancestors is that."""
    program = find_program(words) if words else None
    return kept_for(program, directory) if program else contextlib.nullcontext()


def _print_facts(lab: Lab, directory: Path) -> None:
    first, last = lab.hosts[0], lab.hosts[-1]
    print(f"{len(lab.hosts)} hosts: {first.name} {first.address} to {last.name} {last.address}. Try next:")
    print(f"  ssh -F {directory / 'ssh_config'} {first.name}")
    print(f"  ansible -i {directory / 'inventory.yml'} all -m ping")
    print(f"  python -m tests.lab shell --dir {directory}   # in the controller's network: `ssh {first.name}`")
    print(f"  python -m tests.lab down --dir {directory}")
