# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pure core lives in the collection, which must work without this package; here it is under shorter names."""

from __future__ import annotations

from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _wire as wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._backends import parse_env
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._control import FOLDER as CONTROL_FOLDER
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._describe import Describer, make_prefix
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._errors import LaunchError, UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._exits import signal_name
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._hostfile import (
    Hostfile,
    hostfile_from_data,
    hostfile_from_names,
)
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._ids import new_job_id
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._settings import (
    RUN_SETTINGS,
    JobSettings,
    Setting,
    check_settings,
)
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._sinks import BACKLOG, STREAM_NAMES, TerminalSink, log_path
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._terminal import wants_colour

__all__ = [
    "BACKLOG",
    "CONTROL_FOLDER",
    "RUN_SETTINGS",
    "STREAM_NAMES",
    "Describer",
    "Hostfile",
    "JobSettings",
    "LaunchError",
    "Setting",
    "TerminalSink",
    "UsageError",
    "check_settings",
    "hostfile_from_data",
    "hostfile_from_names",
    "log_path",
    "make_prefix",
    "new_job_id",
    "parse_env",
    "signal_name",
    "wants_colour",
    "wire",
]
