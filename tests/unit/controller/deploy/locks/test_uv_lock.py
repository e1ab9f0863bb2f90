"""The reading of uv.lock without uv; tests/field/test_locks.py has the kinds of projects, with uv."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.locks import uv_lock
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError

LOCK = """
version = 1

[[package]]
name = "home"
version = "1"
source = { virtual = "." }
dependencies = [{ name = "old" }]

[package.optional-dependencies]
metal = [{ name = "mlx-lm" }]

[[package]]
name = "mlx-lm"
version = "1"
source = { registry = "https://index.example/simple" }
dependencies = [{ name = "mlx" }]
wheels = [{ url = "https://x/mlx_lm-1-py3-none-any.whl" }]

[[package]]
name = "mlx"
version = "1"
source = { registry = "https://index.example/simple" }
wheels = [{ url = "https://x/mlx-1-py3-none-any.whl" }]

[[package]]
name = "old"
version = "1"
source = { registry = "wheels" }
sdist = { url = "https://x/old.tar.gz" }
"""
EXPORTED = "old==1 \\\n    --hash=sha256:ab\n"


def export(folder: Path, said: str, monkeypatch: pytest.MonkeyPatch, lock: str = LOCK) -> uv_lock.Exported:
    """Read a lock of which uv says this."""
    (folder / "uv.lock").write_text(lock)
    monkeypatch.setattr(uv_lock, "_run_uv", lambda *_arguments: said)
    return uv_lock.export(folder / "uv.lock", [], [])


def test_package_without_a_wheel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=re.escape("old==1 has no wheel, only its source")):
        export(tmp_path, EXPORTED, monkeypatch)


def test_package_without_a_wheel_for_one_platform_is_left_to_the_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = export(tmp_path, EXPORTED.replace(" \\", " ; sys_platform == 'win32' \\"), monkeypatch)
    assert found.index_options == ("--find-links", str(tmp_path / "wheels"))


def test_extra_that_leads_to_mlx_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = export(tmp_path, "mlx-lm==1 --hash=sha256:ab\n", monkeypatch)
    assert len(found.warnings) == 1
    assert "mlx is locked, but not in the environment: it is in extra metal;" in found.warnings[0]


def test_lock_that_is_no_toml_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"uv\.lock: cannot be read"):
        export(tmp_path, EXPORTED, monkeypatch, "nonsense")
