# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `mlxlaunch network`: the cables and addresses between hosts, and a plan of them for MLX."""

from __future__ import annotations

import argparse
from typing import Any

from .._core import UsageError, json_text
from .._network.look import WISHES, NetworkResult, replay_network, start_network
from .options import add_command, add_hosts, add_settings, hosts_given, inventory_of, settings_of
from .terminal.screen import print_for_programs, say, show_progress
from .terminal.signals import signals_end

_HELP = """\
Ask every host about its network, show one table and the topology of the Thunderbolt cables, and plan backend, ranks and
addresses. Nothing on the hosts is changed, but with --apply and --undo.

examples:
  mlxlaunch network -i inventory/hosts.yml                          what is there, and what would be used
  mlxlaunch network -i inventory/hosts.yml --over thunderbolt --require mesh
  mlxlaunch network --hosts a,b,c --output-hostfile hosts.json      a hostfile for run, or for mlx.launch
  mlxlaunch network -i inventory/hosts.yml --output-vars inventory/host_vars
  mlxlaunch network -i inventory/hosts.yml --record trouble         to report a problem
  mlxlaunch network -i inventory/hosts.yml --over thunderbolt --apply   give the cables addresses, and verify them
  mlxlaunch network -i inventory/hosts.yml --measure                how fast they are, and whether MLX adds up over them
  mlxlaunch network -i inventory/hosts.yml --undo                   back to the settings before
  mlxlaunch network --replay trouble --svg cables.svg               from a recording, without any host

exit status:
  0 there is a plan    2 wrong usage, inventory, hostfile or recording    3 a host cannot be asked or set up, or there is no plan
  130 interrupted    143 terminated
"""
SETTINGS = ("group", "connect_timeout", "lease", "verbose")


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "network",
        help="show the cables and addresses between hosts, and plan them for MLX",
        description=_HELP,
        usage="%(prog)s [-i INVENTORY | --hostfile FILE | --hosts A,B | --replay DIR] [options]",
    )
    add_hosts(parser)
    _add_wishes(parser)
    _add_work(parser)
    _add_outputs(parser)
    add_settings(parser, SETTINGS)
    parser.set_defaults(main=main)


def _add_wishes(parser: argparse.ArgumentParser) -> None:
    plan = parser.add_argument_group("what to plan")
    plan.add_argument("--over", metavar="NETWORK", help="thunderbolt, ethernet, or auto: by cables where they allow it. Default: auto.")
    plan.add_argument("--backend", metavar="NAME", help="ring, jaccl, jaccl-ring, or auto for the best that is possible. Default: auto.")
    plan.add_argument("--require", metavar="TOPOLOGY", help="fail unless the cables make a ring, or a mesh, of all hosts")
    plan.add_argument("--interface", metavar="NAME", help="interface for Ethernet on every host. Default: the fastest that all share.")
    plan.add_argument("--subnet", metavar="BLOCK", help="addresses for the cables, such as 10.99.0.0/22. Default: a block nobody uses.")
    plan.add_argument("--ignore-unreachable", action="store_true", default=None, help="plan without the hosts that cannot be asked")


def _add_work(parser: argparse.ArgumentParser) -> None:
    work = parser.add_argument_group("what to do on the hosts")
    work.add_argument("--apply", action="store_true", default=None, help="give the ports of the plan their addresses, and verify the links")
    text = "take back what --apply has set, also when it broke off"
    work.add_argument("--undo", dest="state", action="store_const", const="absent", help=text)
    work.add_argument("--measure", action="store_true", default=None, help="measure every link in both directions, then MLX's all_sum")
    work.add_argument("--dry-run", action="store_true", help="with --apply or --undo: change nothing, tell what would change")


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    output = parser.add_argument_group("what to write")
    shown = output.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print one JSON document in place of the table")
    shown.add_argument("--dot", action="store_true", help="print the cables as a graph for Graphviz in place of the table")
    output.add_argument("--svg", metavar="FILE", help="write a picture of hosts and cables")
    output.add_argument("--output-hostfile", metavar="FILE", help="write the hostfile of the plan")
    output.add_argument("--schema", metavar="SCHEMA", help="of that hostfile: object, or list for the older one. Default: object.")
    output.add_argument("--output-vars", metavar="DIR", help="write mlx_ips and mlx_rdma of each host to DIR/HOST/mlx_network.yml")
    output.add_argument("--record", metavar="DIR", help="write the answers of all hosts, without names and addresses, to a new directory")
    output.add_argument("--replay", metavar="DIR", help="take the answers from such a directory and ask no host")


def main(parsed: argparse.Namespace) -> int:
    """Look at the network and return the exit status."""
    if parsed.repeat_hosts is not None:
        raise UsageError("network: --repeat-hosts is about ranks; a look is at hosts")
    given = hosts_given(parsed)
    options = {**settings_of(parsed), **{name: getattr(parsed, name) for name in WISHES}}
    if parsed.replay is not None:
        if given:
            raise UsageError(f"network: --replay and --{given[0]}: the hosts are those of the recording")
        result = replay_network(parsed.replay, options, dry_run=parsed.dry_run)
    elif not given:
        raise UsageError("network: which hosts? Give -i, --hosts, --hostfile or --replay; see mlxlaunch network --help")
    else:
        with start_network(inventory_of(parsed), options, dry_run=parsed.dry_run) as look, signals_end(look):
            show_progress(look, "network_finished", verbose=bool(parsed.verbose))
            result = look.wait()
    return show(result, as_json=parsed.json, as_dot=parsed.dot, dry_run=parsed.dry_run)


def show(result: NetworkResult, *, as_json: bool, as_dot: bool, dry_run: bool = False) -> int:
    """Print the result on standard output, its message on standard error; return the exit status."""
    if result.network is not None:
        if as_json:
            print_for_programs(json_text(result.network, 2))
        else:
            print_for_programs(result.dot.rstrip("\n") if as_dot else result.text)
    for path in result.files:
        say(f"mlxlaunch: {'would write' if dry_run else 'wrote'} {path}")
    say(f"mlxlaunch: {result.message}")
    return result.returncode
