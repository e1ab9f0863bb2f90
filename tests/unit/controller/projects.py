"""Projects for tests."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.project import Project


def write(folder: Path, *paths: str, text: str = "x") -> None:
    for path in paths:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def files(project: Project) -> list[str]:
    """Return the selected paths that are no directories."""
    return [path for path in project.paths if not (Path(project.source) / path).is_dir() or (Path(project.source) / path).is_symlink()]
