"""The key by which ssh logs in: one that it can use, and a new one only where there is none."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.identity import expanded_home, find_identity
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.ssh_config import SshConfig
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError


def run_with_agent(*lines: str) -> Callable[[Sequence[str]], tuple[int, str]]:
    """Return a function that runs ssh-keygen, and answers for ssh-add as an agent with these keys."""

    def run(argv: Sequence[str]) -> tuple[int, str]:
        if argv[0] == "ssh-add":
            return (0, "\n".join(lines)) if lines else (2, "Could not open a connection to your authentication agent.")
        done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout + done.stderr

    return run


def make(path: Path, passphrase: str = "") -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", path], check=True)
    return path.with_suffix(".pub").read_text().strip()


def config(*paths: Path, **others: str) -> SshConfig:
    return SshConfig.of("\n".join([*(f"identityfile {path}" for path in paths), *(f"{name} {value}" for name, value in others.items())]))


def test_first_key_that_is_there_is_taken(tmp_path: Path) -> None:
    line = make(tmp_path / "second")
    found = find_identity(config(tmp_path / "first", tmp_path / "second"), run_with_agent(), make=True)
    assert found
    assert (found.path, found.public, found.made) == (str(tmp_path / "second"), line, False)


def test_public_half_may_be_missing(tmp_path: Path) -> None:
    line = make(tmp_path / "key")
    (tmp_path / "key.pub").unlink()
    found = find_identity(config(tmp_path / "key"), run_with_agent(), make=True)
    assert found
    assert found.public.split()[:2] == line.split()[:2]


def test_key_is_made_where_there_is_none(tmp_path: Path) -> None:
    paths = (tmp_path / "id_rsa", tmp_path / "new" / "id_ed25519")
    assert find_identity(config(*paths), run_with_agent(), make=False) is None
    assert not paths[1].exists()
    found = find_identity(config(*paths), run_with_agent(), make=True)
    assert found
    assert (found.path, found.made) == (str(paths[1]), True)
    assert [oct(stat.S_IMODE(path.stat().st_mode)) for path in (paths[1].parent, paths[1])] == ["0o700", "0o600"]
    again = find_identity(config(*paths), run_with_agent(), make=True)
    assert again
    assert again == found


def test_configured_key_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{tmp_path}/mine: ssh is to use this key, and it is not there; .* ssh-keygen -t ed25519 -f"):
        find_identity(config(tmp_path / "mine"), run_with_agent(), make=True)


def test_key_with_a_passphrase_wants_an_agent(tmp_path: Path) -> None:
    line = make(tmp_path / "key", "geheim")
    with pytest.raises(UsageError, match="ssh cannot use this key without a person: run ssh-add"):
        find_identity(config(tmp_path / "key"), run_with_agent(), make=True)
    for run, more in ((run_with_agent(line), {}), (run_with_agent(), {"usekeychain": "yes"})):
        found = find_identity(config(tmp_path / "key", **more), run, make=True)
        assert found
        assert found.public == line


def test_key_of_the_agent_alone_does(tmp_path: Path) -> None:
    line = make(tmp_path / "elsewhere")
    found = find_identity(config(tmp_path / "id_ed25519"), run_with_agent(line), make=True)
    assert found
    assert (found.path, found.public) == ("", line)
    only = find_identity(config(tmp_path / "id_ed25519", identitiesonly="yes"), run_with_agent(line), make=True)
    assert only
    assert only.made


def test_home_is_that_of_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/elsewhere")
    assert not expanded_home("~/.ssh/x").startswith(("~", "/elsewhere"))
    assert expanded_home("/x") == "/x"
