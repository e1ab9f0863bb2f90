"""A virtual environment with ansible-core and what that requires, and nothing else: no pip, no ansible-runner, nothing of ours.

It takes the installed files of this environment by links, so it costs a moment and no network.
"""

from __future__ import annotations

import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def make(folder: Path) -> Path:
    """Make the environment in a new folder; return the directory of its programs."""
    venv.create(folder, symlinks=True, with_pip=False)
    [site] = folder.glob("lib/python3*/site-packages")
    for one in _with_requirements("ansible-core"):
        for name in {path.parts[0] for path in one.files or ()} - {"..", "__pycache__"}:
            (site / name).symlink_to(str(one.locate_file(name)))
    programs = folder / "bin"
    for entry in distribution("ansible-core").entry_points.select(group="console_scripts"):
        program = programs / entry.name
        program.write_text(f"#!{programs}/python\nimport sys\nfrom {entry.module} import {entry.attr}\nsys.exit({entry.attr}())\n")
        program.chmod(0o755)
    return programs


def _with_requirements(name: str) -> list[Distribution]:
    """Return a distribution and those that it requires here."""
    found: dict[str, Distribution] = {}
    wanted = [name]
    while wanted:
        key = canonicalize_name(wanted.pop())
        if key not in found:
            found[key] = distribution(key)
            required = map(Requirement, found[key].requires or ())
            wanted += [each.name for each in required if each.marker is None or each.marker.evaluate({"extra": ""})]
    return list(found.values())
