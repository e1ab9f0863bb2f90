# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m benchmarks`."""

from __future__ import annotations

import sys

from .run import main

sys.exit(main())
