# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes that all actions have; each says for itself how and why it differs."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation that modules extend, by the names that Ansible looks for."""

    DOCUMENTATION = r"""
attributes:
  action:
    support: full
    description: Has an action plugin, and consists of nothing else.
    details: What runs on the hosts is sent over one connection per host.
  async:
    support: none
    description: Supports being used with the C(async) keyword.
  become:
    support: partial
    description: Is usable alongside become keywords.
    details: Only where the method asks for no password.
  bypass_host_loop:
    support: full
    description: Runs once, not once per host. Its result is registered for the first host of the play; with C(run_once), for all.
    details: Plays with C(serial) in several batches, and C(delegate_to) another machine, are refused.
  check_mode:
    support: full
    description: Can run in check_mode and predict changes without making any.
  connection:
    support: partial
    description: Uses each host's configured connection to execute code on it.
    details: Only ssh without a password, and local, can carry a live stream in both directions.
  diff_mode:
    description: Returns details on what has changed, in diff mode.
  platform:
    support: full
    platforms: macOS, Linux
    description: Target systems that can be operated against.
    details: Tested on Linux. What only macOS does is tested against recorded output of its commands.
"""
