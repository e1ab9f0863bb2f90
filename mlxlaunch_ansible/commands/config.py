# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `mlxlaunch config`: a command line of mlx.distributed_config, as it is.

Source: `main` in mlx/_distributed_utils/config.py, 0.32.4. Options may be abbreviated, as there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._core import Hostfile, UsageError, hostfile_from_names, parse_env
from .._inventory import read_hostfile
from .._network.look import NetworkResult, start_network
from .ansible_options import file_name
from .terminal.screen import print_for_programs, say, show_progress
from .terminal.signals import signals_end

_HELP = """\
Take a command line of mlx.distributed_config: look at the network between hosts and print a hostfile for it. Standard
output has the hostfile, or with --dot the graph, and nothing else. The commands that set addresses are printed on
standard error, or with --auto-setup are run; nobody is asked to press Enter. `mlxlaunch network` does the same, and more.

examples:
  mlxlaunch config --hosts a,b,c --over thunderbolt --backend jaccl > hosts.json
  mlxlaunch config --hostfile hosts.json --over ethernet --output-hostfile new.json
  mlxlaunch config --hosts a,b,c --dot | dot -Tpng > cables.png

exit status:
  0 there is a hostfile    2 wrong usage or hostfile    3 a host cannot be asked, or there is no such network
  130 interrupted    143 terminated
"""


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "config",
        help="take a command line of mlx.distributed_config",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s [--hosts A,B | --hostfile FILE] [options]",
    )
    parser.add_argument("--verbose", action="store_true", help="tell more, on standard error")
    parser.add_argument("--hosts", default="127.0.0.1", help="names or addresses to ssh to, separated by commas")
    parser.add_argument("--ignore-unreachable", action="store_true", help="leave out the hosts that cannot be asked")
    parser.add_argument("--hostfile", type=file_name, help="MLX hostfile that names the hosts")
    parser.add_argument("--over", choices=["thunderbolt", "ethernet"], default="thunderbolt", help="network to plan")
    parser.add_argument("--output-hostfile", type=file_name, help="write the hostfile here, not to standard output")
    parser.add_argument("--auto-setup", action="store_true", default=None, dest="auto_setup", help="set the addresses")
    parser.add_argument("--no-auto-setup", action="store_false", default=None, dest="auto_setup", help="print the commands")
    parser.add_argument("--dot", action="store_true", help="print the cables as a graph for Graphviz, and end")
    parser.add_argument("--backend", choices=["ring", "jaccl", "jaccl-ring"], help="backend to plan for")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="variable for the hostfile; repeatable")
    parser.set_defaults(main=main)


def main(parsed: argparse.Namespace) -> int:
    """Print the hostfile and return the exit status."""
    parse_env(parsed.env, "--env")
    hosts = _hosts(parsed)
    _check_output(parsed.output_hostfile)
    with start_network(hosts, options_of(parsed)) as look, signals_end(look):
        show_progress(look, "network_finished", verbose=parsed.verbose)
        result = look.wait()
    return finish(result, parsed)


def _hosts(parsed: argparse.Namespace) -> Hostfile:
    return read_hostfile(parsed.hostfile) if parsed.hostfile is not None else hostfile_from_names(parsed.hosts.split(","))


def _check_output(path: str | None) -> None:
    if path is not None and (Path(path).is_dir() or not Path(path).absolute().parent.is_dir()):
        raise UsageError(f"--output-hostfile {path}: want a file in a directory that is there")


def options_of(parsed: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the look that a command line means; as there, a backend has no effect with Ethernet."""
    backend = parsed.backend if parsed.over == "thunderbolt" else None
    return {
        "over": parsed.over,
        "backend": None if parsed.dot else backend,
        "ignore_unreachable": parsed.ignore_unreachable or None,
        "apply": (parsed.auto_setup and not parsed.dot and parsed.over == "thunderbolt") or None,
        "verbose": parsed.verbose or None,
    }


def finish(result: NetworkResult, parsed: argparse.Namespace) -> int:
    """Print graph or hostfile on standard output, all else on standard error; return the exit status."""
    if result.network is None:
        say(f"mlxlaunch: {result.message}")
        return result.returncode
    if parsed.dot and parsed.over == "thunderbolt":
        unreachable = any(finding["kind"] == "unreachable" and finding["level"] == "fail" for finding in result.network["findings"])
        print_for_programs(result.dot.rstrip("\n"))
        if unreachable:
            say(f"mlxlaunch: {result.message}")
        return result.returncode if unreachable else 0
    _say_findings(result.network["findings"])
    _say_changes(result.network.get("changes") or ())
    say(f"mlxlaunch: {result.message}")
    if result.returncode:
        return result.returncode
    _say_setup(result.network["plan"]["setup"])
    _write(hostfile_text(result.network["plan"], parsed.env), parsed.output_hostfile)
    return 0


def _say_findings(findings: Sequence[Mapping[str, str]]) -> None:
    for finding in findings:
        where = " ".join(part for part in (finding["host"], finding["interface"]) if part)
        say(f"mlxlaunch: {finding['level']}: {where}{': ' if where else ''}{finding['text']}")


def _say_changes(changes: Sequence[Mapping[str, Any]]) -> None:
    """Print what was set, and the commands of a host on which they could not be run."""
    for change in changes:
        for port in change["ports"]:
            say(f"mlxlaunch: {change['state']}: {change['host']} {port['after']}")
        if change["text"]:
            say(f"mlxlaunch: {change['state']}: {change['host']}: {change['text']}")
        if change["state"] == "by hand":
            _say_setup({change["host"]: [step for port in change["ports"] for step in port["steps"]]})


def _say_setup(setup: Mapping[str, Sequence[Sequence[str]]]) -> None:
    import shlex

    for host, commands in setup.items():
        say(f"mlxlaunch: on {host}, run:")
        for command in commands:
            say(f"  {shlex.join(['sudo', *command])}")


def hostfile_text(plan: Mapping[str, Any], envs: Sequence[str]) -> str:
    """Return the hostfile of a plan in the form of mlx.distributed_config: an object, indented by four."""
    hosts = [{"ssh": rank["ssh"], "ips": rank["ips"], "rdma": rank["rdma"]} for rank in plan["ranks"]]
    backend = plan["backend"] if plan["over"] == "thunderbolt" else ""
    return json.dumps({"backend": backend, "envs": list(envs), "hosts": hosts}, indent=4)


def _write(text: str, path: str | None) -> None:
    if path is None:
        print_for_programs(text)
        return
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"--output-hostfile {path}: cannot be written: {exc.strerror}") from None
    print(f"mlxlaunch: wrote {path}", file=sys.stderr)
