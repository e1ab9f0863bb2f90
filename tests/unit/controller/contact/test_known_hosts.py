"""The file of known hosts gets whole lines, and only those that were confirmed."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.known_hosts import add_keys, as_kept, fetched, fetching
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.ssh_config import SshConfig
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import LaunchError

LINE = "10.0.0.1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAID81UPHG0vimB2n3+NWN3bCQ5EqixMvpfFCq8VQPtfeR"


def run(argv: Sequence[str]) -> tuple[int, str]:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(("before", "after"), [(None, ""), ("a b c\n", "a b c\n"), ("a b c", "a b c\n")])
def test_lines_are_added_for_this_user_alone(before: str | None, after: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / "known_hosts"
    if before is not None:
        path.parent.mkdir()
        path.write_text(before)
    add_keys(str(path), [LINE, "x"])
    assert path.read_text() == f"{after}{LINE}\nx\n"
    if before is None:
        assert [oct(stat.S_IMODE(each.stat().st_mode)) for each in (path.parent, path)] == ["0o700", "0o600"]


def test_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"^/dev/full: cannot add the host's key: "):
        add_keys("/dev/full", [LINE])
    with pytest.raises(LaunchError, match="cannot add the host's key"):
        add_keys(str(tmp_path), [LINE])


def test_line_is_hashed_where_ssh_is_configured_so(tmp_path: Path) -> None:
    assert as_kept(LINE, SshConfig.of("hashknownhosts no"), run) == LINE
    hashed = as_kept(LINE, SshConfig.of("hashknownhosts yes"), run)
    assert hashed.startswith("|1|")
    (tmp_path / "known").write_text(hashed + "\n")
    assert run(["ssh-keygen", "-F", "10.0.0.1", "-f", str(tmp_path / "known")])[0] == 0


def test_only_a_key_is_fetched(tmp_path: Path) -> None:
    path = tmp_path / "fetched"
    assert fetched(str(path)) is None
    path.write_text("# nothing\n")
    assert fetched(str(path)) is None
    path.write_text(f"{LINE}\n")
    found = fetched(str(path))
    assert found
    assert (found[0], found[1].kind) == (LINE, "ssh-ed25519")


def test_fetching_sends_nothing_and_accepts_nothing_for_good() -> None:
    options = fetching("/tmp/a b", "ssh-rsa")
    assert 'UserKnownHostsFile="/tmp/a b"' in options
    assert {"PreferredAuthentications=none", "GlobalKnownHostsFile=/dev/null", "HostKeyAlgorithms=ssh-rsa"} <= set(options)
