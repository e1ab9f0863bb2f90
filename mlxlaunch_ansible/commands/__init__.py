# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of `mlxlaunch`, a file each with `add_parser` and `main`, and parts for the command line alone."""
