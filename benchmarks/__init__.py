# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Side by side with mlx.launch and plain ssh, on the hosts of tests/lab: `python -m benchmarks`."""
