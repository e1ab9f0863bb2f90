"""What people type after `ansible-playbook -i X` means the same after `mlxlaunch`, in every command that takes an inventory.

The hosts are this machine, by local connections: a row is a line, its exit status, and what it prints.
"""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret

from mlxlaunch_ansible import plan_job
from tests.support.alone import run_alone
from tests.support.delays import without_delays

MLXLAUNCH = str(Path(sys.executable).with_name("mlxlaunch"))
PATIENCE = 200  # seconds after which a launch hangs
PASSWORD = "sesame-of-the-vault"
TOKEN = "token-that-nobody-shall-see"
SHOW = "-- sh -c 'echo $RANK $A'"

DYNAMIC = """#!/bin/sh
echo '{"mlx": {"hosts": ["d"]}, "_meta": {"hostvars": {"d": {"ansible_connection": "local", "mlx_ips": ["127.0.0.5"]}}}}'
"""
RDMA = {"a": [None, "ab", "ac"], "b": ["ba", None, "bc"], "c": ["ca", "cb", None]}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with inventories of every kind."""
    top = tmp_path_factory.mktemp("inventories")
    line = "{0} ansible_connection=local mlx_ips=127.0.0.{1}\n"
    (top / "hosts.ini").write_text("[mlx]\n" + line.format("a", 2) + line.format("b", 3))
    (top / "more").mkdir()
    (top / "more" / "hosts").write_text("[mlx]\n" + line.format("c", 4))
    (top / "made.sh").write_text(DYNAMIC)
    (top / "made.sh").chmod(0o755)
    (top / "hosts.yml").write_text(
        "plugin: ansible.builtin.constructed\nstrict: true\ngroups:\n  chosen: inventory_hostname == 'a'\n", encoding="utf-8"
    )
    (top / "rdma.json").write_text(
        json.dumps(
            {"mlx": {"hosts": {name: {"mlx_ips": [f"10.0.0.{at}"], "mlx_rdma": row} for at, (name, row) in enumerate(RDMA.items(), 1)}}}
        )
    )
    (top / "vars.yml").write_text("mlx_env: {A: from-file}\n")
    (top / "bad.yml").write_text("a: [\n")
    (top / "vault").write_text(PASSWORD)
    secret = VaultSecret(PASSWORD.encode())
    text = VaultLib([("default", secret)]).encrypt(f"mlx_env: {{A: {TOKEN}}}", secret=secret)
    (top / "sealed.yml").write_bytes(text)
    (top / "train.py").write_text("print(1)\n")
    return top


def run(here: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line without a terminal."""
    env = {**os.environ, "XDG_STATE_HOME": str(here / "state"), "ANSIBLE_NOCOLOR": "1"}
    return run_alone([MLXLAUNCH, *shlex.split(line)], here, env, PATIENCE)


#: A line, and the lines of its output in any order.
WORKS: list[tuple[str, list[str]]] = [
    ("run -i localhost, -- echo hi", ["hi"]),
    ("run -i 127.0.0.1, -n 2 " + SHOW, ["0", "1"]),
    ("run -i hosts.ini -i more -i made.sh " + SHOW, ["0", "1", "2", "3"]),
    ("run -i hosts.ini -i hosts.yml --group chosen " + SHOW, ["0"]),
    ("run -i hosts.ini -e mlx_group=chosen -i hosts.yml " + SHOW, ["0"]),
    ("run -i hosts.ini -i more -l a,c --prefix " + SHOW, ["[0 a] 0", "[1 c] 1"]),
    ("run -i hosts.ini --limit '!a' --prefix " + SHOW, ["[0 b] 0"]),
    ("run -i hosts.ini -n 2 " + SHOW, ["0", "1", "2", "3"]),
    ("run -i hosts.ini -n 2 -e mlx_slots=3 -l a " + SHOW, ["0", "1"]),
    ("run -i hosts.ini -l a -e mlx_slots=3 " + SHOW, ["0", "1", "2"]),
    ("run -i hosts.ini -l a -e @vars.yml " + SHOW, ["0 from-file"]),
    ("run -i hosts.ini -l a -e @vars.yml --env A=flag " + SHOW, ["0 flag"]),
    ('run -i hosts.ini -l a -e \'{"mlx_env": {"A": "json"}}\' -e mlx_backend=mpi --backend ring ' + SHOW, ["0 json"]),
    ("run -i hosts.ini -l a -e 'mlx_command=\"echo from -e\"'", ["from -e"]),
    ("run -i hosts.ini -l a -e mlx_script=train.py -e mlx_python=" + sys.executable, ["1"]),
    ("run -i hosts.ini -l a -e mlx_script=nowhere.py -- echo flag", ["flag"]),
    ("run -i hosts.ini -l a -e @sealed.yml --vault-password-file vault " + SHOW, [f"0 {TOKEN}"]),
    ("run -i hosts.ini -l a -e @sealed.yml --vault-id default@vault -u nobody " + SHOW, [f"0 {TOKEN}"]),
    ("run -i x,y -c local -e mlx_ips=127.0.0.1 -l x " + SHOW, ["0"]),
    ("hostfile -i hosts.ini -i more --limit '!b' -e mlx_slots=1", ['"127.0.0.2"', '"127.0.0.4"']),
    ("hostfile -i rdma.json -l a:c", ['[null, "ac"]', '["ca", null]']),
    ("hostfile -i hosts.ini -l a -n 2", ['"127.0.0.2"', '"127.0.0.2"']),
    ("check -i hosts.ini -l b -v -e mlx_group=mlx", ["b "]),
    ("sync -i hosts.ini -l a --root ROOT train.py", ["script "]),
    ("run -i hosts.ini -l a -vv --dry-run train.py", ["listens on"]),
    ("run -i rdma.json -l a,b --backend jaccl --dry-run train.py", ['[[null, "ab"],', '["ba", null]]']),
]


@pytest.mark.sweep
@pytest.mark.parametrize(("line", "printed"), WORKS, ids=[row[0] for row in WORKS])
def test_option_means_what_it_means_to_ansible(line: str, printed: list[str], here: Path) -> None:
    done = run(here, line.replace("ROOT", str(here / "root")))
    assert done.returncode == 0, done.stderr
    if line.startswith("run ") and "--dry-run" not in line:
        assert sorted(text.strip() for text in done.stdout.splitlines()) == printed
    else:
        assert [text for text in printed if text not in done.stdout] == []
    assert ("PLAY [" in done.stderr) is ("-vv" in line)
    for record in (here / "state").rglob("*.json*"):
        assert TOKEN not in record.read_text()
        assert PASSWORD not in record.read_text()


#: A line, its exit status, and what its one line of answer has.
REFUSED: list[tuple[str, int, str]] = [
    (
        "run -i hosts.ini -K -- true",
        2,
        "--ask-become-pass asks for a password on a terminal, and there is none; use --become-password-file",
    ),
    ("sync -i hosts.ini -k train.py", 2, "--ask-pass asks for a password on a terminal"),
    ("check -i hosts.ini -J", 2, "--ask-vault-pass asks for a password on a terminal"),
    ("hostfile -i hosts.ini --vault-id x@prompt", 2, "--vault-id asks for a password on a terminal"),
    ("run -i hosts.ini -n 2 -l a -e @slots.yml -- true", 2, "mlx_slots is 3, and -n (--repeat-hosts) says 2; leave one of them out"),
    ("run -i hosts.ini -e @nope.yml -- true", 2, "-e @nope.yml: no such file"),
    ("run -i hosts.ini -e @bad.yml -- true", 2, "bad.yml:2:1"),
    ("hostfile --hosts 10.0.0.1 -l x", 2, "--limit is for an inventory"),
]


@pytest.mark.sweep
@pytest.mark.parametrize(("line", "status", "answer"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_cannot_be_is_one_line(line: str, status: int, answer: str, here: Path) -> None:
    if "slots.yml" in line:
        (here / "slots").mkdir(exist_ok=True)
        (here / "slots" / "hosts").write_text("[mlx]\na ansible_connection=local mlx_slots=3\n")
        line = line.replace("-i hosts.ini", "-i slots").replace("-e @slots.yml ", "")
    done = run(here, line)
    said = without_delays(done.stderr).splitlines()
    assert (done.returncode, len(said)) == (status, 1), done.stderr
    assert answer in said[0]


WRONG = "Ansible: Failed to parse inventory with"
#: An inventory that Ansible does not read, or not all of it, and the reason in the one line.
UNREAD: dict[str, tuple[str, str]] = {
    "a key that is none": ("mlx:\n  host:\n    a:\n", "Ansible: Skipping unexpected key (host) in group (mlx)"),
    "hosts that are a list": ("mlx:\n  hosts: [a, b]\n", f'{WRONG} \'yaml\' plugin: Invalid "hosts" entry for "mlx" group'),
    "YAML that is none": ("mlx:\n  hosts:\n    a: {\n", "unread.yml:4:1)"),
    "a script that fails": ("#!/bin/sh\necho boo\nexit 3\n", f"{WRONG} 'script' plugin: Inventory script returned non-zero exit code 3"),
    "a group of nobody": ("mlx:\n  hosts:\n", "ansible-inventory --graph shows what Ansible reads there"),
}


@pytest.mark.sweep
@pytest.mark.parametrize("command", ["run -- true", "hostfile"])
@pytest.mark.parametrize("name", UNREAD)
def test_inventory_that_is_not_read_is_told_with_ansible_s_reason(name: str, command: str, tmp_path: Path) -> None:
    text, reason = UNREAD[name]
    path = tmp_path / ("unread.sh" if text.startswith("#!") else "unread.yml")
    path.write_text(text)
    path.chmod(0o755 if text.startswith("#!") else 0o600)
    verb, _space, rest = command.partition(" ")
    done = run(tmp_path, f"{verb} -i {path.name} {rest}")
    said = without_delays(done.stderr).splitlines()
    assert len(said) == 1, done.stderr
    assert "group 'mlx' has no hosts; the groups are: all, " in said[0]
    assert reason in said[0]


def test_misspelled_variable_of_an_inventory_is_told(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text(
        "mlx: {vars: {mlx_bakend: mpi}, hosts: {a: {ansible_connection: local, mlx_slot: 2, mlx_model: x}}}\n"
    )
    done = run(tmp_path, "run -i hosts.yml --starting-port auto -- echo hi")
    said = without_delays(done.stderr).splitlines()
    assert (done.returncode, done.stdout, len(said)) == (0, "hi\n", 2), done.stderr
    assert "mlx_bakend of a: there is no such variable; did you mean mlx_backend?" in done.stderr
    assert "mlx_slot of a: there is no such variable; did you mean mlx_slots?" in done.stderr


LOCAL = "ansible_connection: local"
FIRST = f"a: {{{LOCAL}, mlx_ips: [127.0.0.1]}}"
#: Variables of hosts by templates, the exit status, and what is printed; the hostfile is made of them as a launch is.
TEMPLATES: dict[str, tuple[str, int, str]] = {
    "another host's": (
        f'{FIRST}, b: {{{LOCAL}, mlx_slots: 2, mlx_ips: "{{{{ hostvars.a.mlx_ips }}}}"}}',
        2,
        "a and b both claim 127.0.0.1",
    ),
    "omitted": (f"a: {{{LOCAL}, mlx_ips: '{{{{ omit }}}}', mlx_slots: null, mlx_python: '{{{{ py | default(omit) }}}}'}}", 0, ""),
    "a circle": (f"a: {{{LOCAL}, mlx_ips: '{{{{ mlx_ips }}}}'}}", 2, "a: mlx_ips: Recursive loop detected in template"),
    "a fact": (f"a: {{{LOCAL}, mlx_ips: '{{{{ ansible_default_ipv4.address }}}}'}}", 2, "facts, if it is one, are known only in a play"),
    "a lookup that fails": (
        f"a: {{{LOCAL}, mlx_ips: \"{{{{ lookup('pipe', 'exit 3') }}}}\"}}",
        2,
        "a: mlx_ips: The lookup plugin 'pipe' failed",
    ),
    "no template": (f"a: {{{LOCAL}, mlx_ips: ['{{{{ x']}}", 2, "a: mlx_ips: Syntax error in template"),
}


@pytest.mark.sweep
@pytest.mark.parametrize("command", ["run --dry-run -- true", "hostfile"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_of_a_host_count_or_are_one_line(name: str, command: str, tmp_path: Path) -> None:
    text, status, printed = TEMPLATES[name]
    (tmp_path / "hosts.yml").write_text(f"mlx: {{hosts: {{{text}}}}}\n")
    verb, _space, rest = command.partition(" ")
    done = run(tmp_path, f"{verb} -i hosts.yml {rest}")
    if "both claim" in printed and verb == "hostfile":  # mlx.launch has a word on that
        status, printed = 0, ""
        assert done.stdout.count("127.0.0.1") == 6
    said = without_delays(done.stderr).splitlines()
    assert (done.returncode, len(said)) == (status, bool(status)), done.stderr
    assert printed in "".join(said)


NOTHING = "a program that gives a password finds nothing on standard input"
#: What a shell is asked to do with `$MLX`, its exit status, and what it prints.
STREAMS: list[tuple[str, int, str]] = [
    ("cat vars.yml | $MLX run -i hosts.ini -l a -e @/dev/stdin -- sh -c 'cat; echo $A'", 0, "from-file\n"),
    ("$MLX run -i hosts.ini -l a -e @/dev/stdin -- sh -c 'echo $A' <vars.yml", 0, "from-file\n"),
    ("$MLX run -i hosts.ini -l a -e @<(cat sealed.yml) --vault-password-file vault -- sh -c 'echo $A'", 0, f"{TOKEN}\n"),
    ("$MLX run -i hosts.ini -l a -e @/dev/stdin -- true <&-", 2, "mlxlaunch: -e @/dev/stdin: there is nothing to read\n"),
    (
        "cat vault | $MLX run -i hosts.ini -l a -e @sealed.yml --vault-password-file /bin/cat -- true",
        2,
        f"mlxlaunch: Ansible: Invalid vault password was provided from script (/bin/cat); {NOTHING}\n",
    ),
]


@pytest.mark.sweep
@pytest.mark.parametrize(("line", "status", "printed"), STREAMS, ids=[row[0] for row in STREAMS])
def test_standard_input_is_read_once_and_never_waited_for(line: str, status: int, printed: str, here: Path) -> None:
    done = subprocess.run(
        ["/bin/bash", "-c", line],
        cwd=here,
        env={**os.environ, "MLX": MLXLAUNCH, "XDG_STATE_HOME": str(here / "state")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    said = "".join(without_delays(done.stderr))
    assert (done.returncode, said if status else done.stdout) == (status, printed), done.stderr
    for record in (here / "state").rglob("*.json*"):
        assert TOKEN not in record.read_text()


def test_arguments_of_python_mean_the_same(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    variables = {"mlx_env": {"A": "x"}, "mlx_slots": 2}
    plan = plan_job(["hosts.ini", here / "more"], command=["true"], limit="a,c", extra_vars=variables, verbose=True)
    assert [rank["host"] for rank in plan["ranks"]] == ["a", "a", "c", "c"]
    assert {rank["env"]["A"] for rank in plan["ranks"]} == {"x"}


def test_no_host_is_left_by_a_limit(here: Path) -> None:
    done = run(here, "run -i hosts.ini -l nobody -- true")
    assert done.returncode == 2
    assert "no hosts to target. No host matches nobody; ansible-inventory --graph lists them." in done.stderr


def on_terminal(here: Path, line: str, answer: str) -> tuple[int, str]:
    """Run a line on a terminal of its own, and answer the first question that ends in `password: `."""
    child, terminal = pty.fork()
    if not child:
        env = {**os.environ, "XDG_STATE_HOME": str(here / "state")}
        os._exit(subprocess.call([MLXLAUNCH, *shlex.split(line)], cwd=here, env=env))
    said, asked = b"", False
    try:
        while data := os.read(terminal, 65536):
            said += data
            if not asked and re.search(rb"assword[^\n]*: $", said):
                asked = True
                os.write(terminal, answer.encode() + b"\n")
    except OSError:  # Linux, at the end of the other side
        pass
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.decode()


@pytest.mark.parametrize("line", ["run -J", "run --vault-id default@prompt"])
def test_password_is_asked_on_the_terminal(line: str, here: Path) -> None:
    status, said = on_terminal(here, f"{line} -i hosts.ini -l a -e @sealed.yml {SHOW}", PASSWORD)
    assert (status, said.count("assword")) == (0, 1), said
    assert TOKEN in said
    assert PASSWORD not in said


def test_wrong_password_ends_it(here: Path) -> None:
    status, said = on_terminal(here, f"run -J -i hosts.ini -l a -e @sealed.yml {SHOW}", "wrong")
    assert status
    assert "Decryption failed" in said


def test_repetition_has_the_options_and_wants_the_values_again(here: Path) -> None:
    state = "--log-dir runs"
    assert run(here, f"run {state} -i hosts.ini -i more -l c -n 2 -e hidden={TOKEN} {SHOW}").returncode == 0
    [run_dir] = (here / "runs").iterdir()
    assert TOKEN not in (run_dir / "job.json").read_text()
    refused = run(here, f"run {state} --from-run {run_dir.name}")
    assert refused.returncode == 2
    assert "that run was given -e hidden for Ansible; values are not recorded, so give it again" in refused.stderr
    again = run(here, f"run {state} --from-run {run_dir.name} -e hidden=x --prefix")
    assert sorted(again.stdout.split()) == sorted(["[0", "c]", "0", "[1", "c]", "1"]), again.stderr
