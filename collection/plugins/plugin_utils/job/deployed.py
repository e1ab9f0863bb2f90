# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a deploy. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Deployed:
    """The paths and digests of a deploy, the same on every host.

    Attributes:
        root: directory that holds all of it.
        environment: directory of the Python environment, or empty.
        environment_digest: proof that the environment is the same everywhere.
        project: directory of the project, or empty.
        project_digest: proof that the project is the same everywhere.
        script: path of the script, or empty.
    """

    root: str = ""
    environment: str = ""
    environment_digest: str = ""
    project: str = ""
    project_digest: str = ""
    script: str = ""

    @property
    def python(self) -> str:
        """Path of the environment's Python, or empty."""
        return f"{self.environment}/bin/python" if self.environment else ""

    @property
    def held(self) -> list[str]:
        """The directories that have to stay while a job runs."""
        return [path for path in (self.environment, self.project) if path]
