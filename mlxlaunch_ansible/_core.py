# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pure core lives in the collection, which must work without this package; here it is under shorter names."""

from __future__ import annotations

from ansible_collections.mlxlaunch import cluster as collection
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.rank_end import signal_name
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.credentials import HIDDEN, lacks_secret, without_credentials
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.manifest import printable
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.caller.control import FOLDER as CONTROL_FOLDER
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.caller.home import at_home, without_tildes
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.caller.own_process import absolute, current_folder, own_python
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.caller.plain import plain
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.caller.terminal import files_of, wants_colour
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.resolve import resolve_ipv4
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.backend_names import AUTO, check_backend
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.check_row import Row
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.env import parse_env
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import LaunchError, UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.events import Event
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.hostfile import (
    Hostfile,
    check_host_name,
    hostfile_from_data,
    hostfile_from_names,
    parse_hostfile,
)
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.ids import new_job_id
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import (
    BY_NAME,
    COPY,
    RUN_SETTINGS,
    JobSettings,
    Setting,
    check_settings,
)
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.version import VERSION as COLLECTION_VERSION
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.version import mismatch
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.check_table import render
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.describe import Describer, make_prefix
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.escape import escape, json_text
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.plan_text import render_plan
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.record.runs import DAYS, Run, prune, run_dirs, run_of
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.run_dir import log_folder, log_path
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.sinks import BACKLOG, STREAM_NAMES
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.terminal_sink import TerminalSink
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.plan.inventory import (
    LOCALHOST,
    connection_variables,
    group_variables,
    host_variables,
    hostfile_from_inventory,
)

__all__ = [
    "AUTO",
    "BACKLOG",
    "BY_NAME",
    "COLLECTION_VERSION",
    "CONTROL_FOLDER",
    "COPY",
    "DAYS",
    "HIDDEN",
    "LOCALHOST",
    "RUN_SETTINGS",
    "STREAM_NAMES",
    "Describer",
    "Event",
    "Hostfile",
    "JobSettings",
    "LaunchError",
    "Row",
    "Run",
    "Setting",
    "TerminalSink",
    "UsageError",
    "absolute",
    "at_home",
    "check_backend",
    "check_host_name",
    "check_settings",
    "collection",
    "connection_variables",
    "current_folder",
    "escape",
    "files_of",
    "group_variables",
    "host_variables",
    "hostfile_from_data",
    "hostfile_from_inventory",
    "hostfile_from_names",
    "json_text",
    "lacks_secret",
    "log_folder",
    "log_path",
    "make_prefix",
    "mismatch",
    "new_job_id",
    "own_python",
    "parse_env",
    "parse_hostfile",
    "plain",
    "printable",
    "prune",
    "render",
    "render_plan",
    "resolve_ipv4",
    "run_dirs",
    "run_of",
    "signal_name",
    "wants_colour",
    "wire",
    "without_credentials",
    "without_tildes",
]
