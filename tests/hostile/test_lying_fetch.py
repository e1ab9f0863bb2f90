"""A host that lies about files that are fetched. Its Python answers with a stranger's words; it runs on this machine, without a lab."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]
#: In place of a host's Python: it takes the agent's program, runs another, and gives prepared answers.
PYTHON = """#!{python}
import json, os, re, sys
if sys.argv[1] == "-V":
    sys.exit(print("Python 3.12.0"))
sys.path.insert(0, {collections!r})
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
sys.stdin.buffer.read(int(re.search(r"read\\((\\d+)\\)", sys.argv[-1])[1]))
answers = json.load(open({answers!r}))
os.write(1, wire.MARKER)
decoder = wire.Decoder()
while data := os.read(0, 65536):
    for frame in decoder.feed(data):
        if frame.kind == wire.CALL:
            os.write(1, wire.encode_json(wire.REPLY, {{"result": answers[frame.json()["do"]]}}))
"""
PLAY = """
- hosts: mlx
  gather_facts: false
  vars:
    mlx_result: {cwd: CWD, ranks: [{host: liar}]}
    mlx_fetch: ["out/**"]
    mlx_fetch_to: TO
  roles: [mlxlaunch.cluster.fetch]
"""
KEY = b"ssh-ed25519 of a stranger"


def file(name: str, **other: Any) -> list[Any]:
    """Return a file as a host reports it."""
    sizes: dict[str, Any] = {"size": len(KEY), "executable": False, "sha256": hashlib.sha256(KEY).hexdigest()}
    return [name, *(sizes | other).values()]


def fetch(here: Path, files: object, content: bytes = KEY) -> subprocess.CompletedProcess[str]:
    """Fetch from a host that answers so, to `here`/to/fetched."""
    answers = here / "answers.json"
    pieces = [base64.b64encode(content).decode()] * (len(files) if isinstance(files, list) else 1)
    answers.write_text(json.dumps({"fetch_find": files, "fetch_read": pieces}))
    python = here / "python"
    python.write_text(PYTHON.format(python=sys.executable, collections=str(CHECKOUT / ".ansible"), answers=str(answers)))
    python.chmod(0o755)
    liar = {"ansible_connection": "local", "ansible_python_interpreter": str(python)}
    (here / "hosts.json").write_text(json.dumps({"mlx": {"hosts": {"liar": liar}}}))
    (here / "play.yml").write_text(PLAY.replace("CWD", str(here / "job")).replace("TO", str(here / "to" / "fetched")))
    command = [Path(sys.executable).with_name("ansible-playbook"), "-i", here / "hosts.json", here / "play.yml"]
    return subprocess.run(command, cwd=here, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=200)


def written(here: Path) -> list[str]:
    """Return the files below the directory, but for those of the test itself and the user's cache."""
    own = {"python", "answers.json", "hosts.json", "play.yml"}
    found = [path for path in here.rglob("*") if not path.is_dir() and not path.is_relative_to(here / "cache")]
    return sorted(str(path.relative_to(here)) for path in found if path.name not in own)


def assert_refused(here: Path, done: subprocess.CompletedProcess[str], why: str) -> None:
    assert done.returncode == 2, done.stdout
    assert f"mlx_fetch: liar: {why}" in done.stdout
    assert written(here) == []


@pytest.mark.parametrize(
    "name",
    [
        "../../outside/keys",
        "x/../../../outside/keys",
        "/etc/cron.d/keys",
        "./../../outside/keys",
        "/../../outside/keys",
        "a/./keys",
        "..",
        "",
        ".ssh/authorized_keys",
        "keys\0",
    ],
)
def test_fetch_writes_nothing_outside_of_its_directory(name: str, tmp_path: Path) -> None:
    assert_refused(tmp_path, fetch(tmp_path, [file(name)]), "reports a file that it was not asked for")


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"a": 1}, "liar sent what is not our protocol (answer to fetch_find"),
        ([file("a", size=2**62)], "1 files, 4611686.0 TB, do not fit into"),
        ([file("a", size=-1)], "liar sent what is not our protocol (answer to fetch_find"),
        ([file("a"), file("a")], "reports a file twice"),
        ([file("a", sha256="0" * 64)], "{here}/job/out/a changed while it was read"),
        ([file("a", size=3)], "{here}/job/out/a changed while it was read"),
    ],
)
def test_fetch_refuses_files_that_cannot_be(files: object, why: str, tmp_path: Path) -> None:
    assert_refused(tmp_path, fetch(tmp_path, files), why.format(here=tmp_path))


def test_fetch_writes_through_no_link_in_its_directory(tmp_path: Path) -> None:
    outside, out = tmp_path / "outside", tmp_path / "to" / "fetched" / "out"
    outside.mkdir()
    out.mkdir(parents=True)
    (out / "ssh").symlink_to(outside)
    done = fetch(tmp_path, [file("ssh/authorized_keys")])
    assert done.returncode == 2, done.stdout
    assert f"cannot write {out}/ssh/authorized_keys here: {out}/ssh: is a link" in done.stdout
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_fetched_files_are_private_and_never_setuid(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        done = fetch(tmp_path, [file("a"), file("b", executable=True)])
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stdout
    out = tmp_path / "to" / "fetched" / "out"
    modes = [path.stat().st_mode & 0o7777 for path in (tmp_path / "to" / "fetched", out, out / "a", out / "b")]
    assert modes == [0o700, 0o700, 0o600, 0o700]


def test_names_of_a_host_reach_no_terminal_and_no_template(tmp_path: Path) -> None:
    name = "\033]0;title\007{{ lookup('pipe', 'touch marker') }}"
    assert fetch(tmp_path, [file(name)]).returncode == 0
    assert written(tmp_path) == [f"to/fetched/out/{name}"]
    done = fetch(tmp_path, [file(f"../{name}")])
    assert done.returncode == 2
    assert "\033]" not in done.stdout
    assert written(tmp_path) == [f"to/fetched/out/{name}"]
