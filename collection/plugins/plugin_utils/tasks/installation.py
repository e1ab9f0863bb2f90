# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible and collections as they are installed here: another ansible-core than those tested, another copy of ours.

Every plugin loads this first, with any ansible-core, so it imports little.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.release import __version__ as CORE

from ..job.errors import LaunchError
from ..job.version import VERSION, is_too_old, is_untested, mismatch, other_copy, other_core

_COLLECTION = "ansible_collections/mlxlaunch/cluster"
_OURS = Path(__file__).resolve().parents[3]
_VERSION = re.compile(r"^version:\s*[\"']?([\w.+-]+)", re.MULTILINE)


@contextmanager
def our_imports(core: str = CORE) -> Iterator[None]:
    """Let a plugin import the rest, with an ansible-core that is not too old.

    An older one evaluates templates in data that it reads, a hostfile for example, so nothing of ours runs with it.

    Args:
        core: its version.

    Raises:
        AnsibleError: it is older; or newer, and has not what is imported.
    """
    if is_too_old(core):
        raise AnsibleError(other_core(core))
    with explained(core):
        yield


@contextmanager
def explained(core: str = CORE) -> Iterator[None]:
    """Let an error that nobody expects name the ansible-core it happens with, if that is not tested.

    Args:
        core: its version.

    Raises:
        AnsibleError: in place of such an error.
    """
    try:
        yield
    except (AnsibleError, LaunchError):
        raise
    except Exception as exc:
        if is_untested(core):
            raise AnsibleError(f"{type(exc).__name__}: {exc}; {other_core(core)}") from exc
        raise


def warnings(paths: Iterable[str], core: str = CORE) -> list[str]:
    """Return a line on an ansible-core that is not tested, and one on each other copy of this collection.

    Args:
        paths: directories where Ansible looks for collections.
        core: version of ansible-core.
    """
    return [*([other_core(core)] if is_untested(core) else []), *_copies(paths)]


def misfits(paths: Iterable[str], core: str = CORE) -> list[str]:
    """Return a line on an ansible-core that is not tested, and one on another version of this collection that hides it.

    `warnings` is for a task, whose collection has been found; this is for a program that brings the collection along.

    Args:
        paths: directories where Ansible looks for collections before it looks at Python's path.
        core: version of ansible-core.
    """
    lines = [other_core(core)] if is_too_old(core) or is_untested(core) else []
    first = next((place for place in _places(paths) if place.is_dir()), _OURS)
    version = VERSION if first.resolve() == _OURS else _version_in(first)
    return lines if version == VERSION else [*lines, mismatch("what ansible-playbook finds first, mlxlaunch.cluster", version, str(first))]


def _places(paths: Iterable[str]) -> Iterator[Path]:
    return iter(dict.fromkeys(Path(path, _COLLECTION) for path in paths))


def _copies(paths: Iterable[str]) -> Iterator[str]:
    """Yield a line on each copy of another version. One of the same version does no harm."""
    for place in _places(paths):
        if place.is_dir() and place.resolve() != _OURS and (version := _version_in(place)) != VERSION:
            yield other_copy(version, str(place))


def _version_in(place: Path) -> str:
    """Return the version of a copy, installed or in a checkout; "" when it does not tell."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads((place / "MANIFEST.json").read_text(encoding="utf-8"))["collection_info"]["version"])
    with suppress(OSError, ValueError):
        found = _VERSION.search((place / "galaxy.yml").read_text(encoding="utf-8"))
        return found[1] if found else ""
    return ""
