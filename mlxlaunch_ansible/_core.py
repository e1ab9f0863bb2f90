# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pure core lives in the collection, which must work without this package; here it is under shorter names."""

from __future__ import annotations

from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _wire as wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._backends import AUTO, check_backend, parse_env
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._checktable import WIDTH, render
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._control import FOLDER as CONTROL_FOLDER
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._describe import Describer, make_prefix
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._errors import LaunchError, UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._exits import signal_name
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._hostfile import (
    Hostfile,
    hostfile_from_data,
    hostfile_from_names,
)
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._hostfile_inventory import (
    LOCALHOST,
    connection_variables,
    hostfile_from_inventory,
)
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._ids import new_job_id
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._plantext import render_plan
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._resolve import resolve_ipv4
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._settings import (
    BY_NAME,
    COPY,
    RUN_SETTINGS,
    JobSettings,
    Setting,
    check_settings,
)
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._sinks import BACKLOG, STREAM_NAMES, TerminalSink, default_log_dir, log_path
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._terminal import wants_colour
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._verdict import Row

__all__ = [
    "AUTO",
    "BACKLOG",
    "BY_NAME",
    "CONTROL_FOLDER",
    "COPY",
    "LOCALHOST",
    "RUN_SETTINGS",
    "STREAM_NAMES",
    "WIDTH",
    "Describer",
    "Hostfile",
    "JobSettings",
    "LaunchError",
    "Row",
    "Setting",
    "TerminalSink",
    "UsageError",
    "check_backend",
    "check_settings",
    "connection_variables",
    "default_log_dir",
    "hostfile_from_data",
    "hostfile_from_inventory",
    "hostfile_from_names",
    "log_path",
    "make_prefix",
    "new_job_id",
    "parse_env",
    "render",
    "render_plan",
    "resolve_ipv4",
    "signal_name",
    "wants_colour",
    "wire",
]
