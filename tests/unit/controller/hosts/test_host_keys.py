# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""No spelling of an option turns off the check of host keys."""

from __future__ import annotations

import shlex

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.host_keys import with_check

REST = "-T -o BatchMode=yes -- host command"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("-o StrictHostKeyChecking=no", ""),
        ("-oStrictHostKeyChecking=no", ""),
        ("-o 'StrictHostKeyChecking no'", ""),
        ("-o 'StrictHostKeyChecking = no'", ""),
        ("-o stricthostkeychecking=NO", ""),
        ("-o StrictHostKeyChecking=off", ""),
        ("-o StrictHostKeyChecking=false", ""),
        ("-o 'StrictHostKeyChecking=\"no\"'", ""),
        ("-4oStrictHostKeyChecking=no -v", "-4 -v"),
        ("-Co StrictHostKeyChecking=no", "-C"),
        ("-i /key -o StrictHostKeyChecking=no -p 22", "-i /key -p 22"),
        ("-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null", ""),
        ("-o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o LogLevel=ERROR", "-o LogLevel=ERROR"),
        ("-o StrictHostKeyChecking=no -o 'UserKnownHostsFile /dev/null /dev/null'", ""),
        ("-o StrictHostKeyChecking=no -o UserKnownHostsFile=none", ""),
        ("-o StrictHostKeyChecking=no -o UserKnownHostsFile=~/.ssh/lab", "-o UserKnownHostsFile=~/.ssh/lab"),
        ("-o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=/dev/null", ""),
        ("-o StrictHostKeyChecking=yes -o StrictHostKeyChecking=no", "-o StrictHostKeyChecking=yes"),
        ("-o NoHostAuthenticationForLocalhost=yes", ""),
    ],
)
def test_option_that_turns_the_check_off_is_taken_out(given: str, kept: str) -> None:
    words, dropped = with_check(shlex.split(f"ssh {given} {REST}"))
    assert words == shlex.split(f"ssh {kept} {REST}")
    assert dropped


@pytest.mark.parametrize(
    "given",
    [
        "",
        "-o StrictHostKeyChecking=yes",
        "-o StrictHostKeyChecking=accept-new",
        "-o StrictHostKeyChecking=ask -o UserKnownHostsFile=/lab/known_hosts",
        "-o UserKnownHostsFile=/dev/null -o GlobalKnownHostsFile=/etc/ssh/lab",
        "-F /lab/config -o ProxyCommand='ssh -o StrictHostKeyChecking=no -W %h:%p jump'",
        "-i -oStrictHostKeyChecking=no",
        "-v",
    ],
)
def test_other_options_stay(given: str) -> None:
    words = shlex.split(f"ssh {given} {REST} -o StrictHostKeyChecking=no")
    assert with_check(words) == (words, [])


def test_file_of_no_known_hosts_goes_with_a_check_that_is_off_elsewhere() -> None:
    words = shlex.split(f"ssh -o UserKnownHostsFile=/dev/null {REST}")
    assert with_check(words, off=True) == (shlex.split(f"ssh {REST}"), ["UserKnownHostsFile=/dev/null"])
