"""Keywords of a play of the user's own, around our roles: each works, is honoured, or is refused in one line.

All rows are plays of one playbook, and one run of it on this machine; but for one that waits, which has a run of its own beside.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab.start import CHECKOUT

ANSIBLE_PLAYBOOK = str(Path(sys.executable).parent / "ansible-playbook")
#: Seconds for the run of all rows, each of which is a launch.
PATIENCE = 840.0
pytestmark = pytest.mark.timeout(900)  # the first test waits for that run

#: What a rank leaves behind: a line with the variable that some rows set.
MARK = 'echo "$GREETING" > OUT.$MLX_RANK'

LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
HOSTS = {
    "mlx": {"hosts": {f"n{each}": {**LOCAL, "mlx_ips": [f"127.0.0.{each}"]} for each in (1, 2)}},
    "greeted": {"hosts": {"g1": {**LOCAL, "mlx_ips": ["127.0.0.4"]}}, "vars": {"mlx_env": {"GREETING": "hello"}}},
    "failing": {"hosts": {f"f{each}": {**LOCAL, "mlx_ips": [f"127.0.1.{each}"]} for each in (1, 2)}},
    "plain": {"hosts": {"p1": {"mlx_ips": ["127.0.0.3"]}}},
}


@dataclass(frozen=True)
class Row:
    """A play with some keywords, and what comes of it.

    Attributes:
        play, task: its keywords, and those of the task that imports the role.
        vars: settings of the job.
        role: how the task comes to the role; empty for one that is ours itself.
        before: tasks of the play before it.
        everywhere: whether every host has the result.
        rescues: whether the task stands in the rescue of a block in which one of ours fails.
        result: what the registered result has.
        said: a part of its message.
        absent: what the line on hosts that take no part says of them.
        greetings: what each rank printed; None where no rank may run.
        apart: whether it has a run of its own, at the same time as that of the others.
    """

    play: Mapping[str, Any] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)
    vars: Mapping[str, Any] = field(default_factory=dict)
    role: str = "import_role"
    before: Sequence[Mapping[str, Any]] = ()
    everywhere: bool = True
    rescues: bool = False
    result: Mapping[str, Any] = field(default_factory=lambda: {"returncode": 0, "changed": True, "failed": False})
    said: str = ""
    absent: str = ""
    greetings: tuple[str, ...] | None = ("", "")
    apart: bool = False


LEFT = "(left the play: failed, unreachable or ended)"
REFUSED = {"returncode": 2, "changed": False, "failed": True}


def end(host: str) -> dict[str, Any]:
    """Return the task that ends a play for a host."""
    return {"meta": "end_host", "when": f"inventory_hostname == '{host}'"}


ROWS = {
    "nothing": Row(),
    "serial in one batch": Row({"serial": "100%"}),
    "serial": Row({"serial": 1}, result=REFUSED, said="serial: this task drives all hosts at once, and n", greetings=None),
    "the order of hosts and tasks": Row({"order": "reverse_inventory", "strategy": "linear", "throttle": 1, "tags": ["train"]}),
    "the treatment of failures": Row({"any_errors_fatal": True, "max_fail_percentage": 0, "debugger": "never"}),
    "names and defaults": Row({"collections": ["ansible.builtin"], "module_defaults": {"mlxlaunch.cluster.launch": {"grace": 1}}}),
    "diff, and the way to other hosts": Row({"diff": True, "remote_user": "nobody", "port": 2222}),
    "run_once": Row(task={"run_once": True}),
    "gather_facts": Row({"gather_facts": True, "gather_subset": ["!all", "!min"]}),
    "hosts: localhost": Row({"hosts": "localhost"}),
    "hosts: all": Row({"hosts": "all"}),
    "a part of the hosts": Row({"hosts": "mlx[1]"}, greetings=("",)),
    "no_log": Row({"no_log": True}),
    "check_mode": Row({"check_mode": True}, result={"returncode": 0, "cause": "planned", "failed": False}, greetings=None),
    "environment of the play": Row({"environment": {"GREETING": "hi"}}, greetings=("hi", "hi")),
    "environment of the task": Row({"environment": {"GREETING": "hi"}}, {"environment": {"GREETING": "ho"}}, greetings=("ho", "ho")),
    "environment under mlx_env": Row(
        {"hosts": "greeted", "environment": {"GREETING": "hi"}}, vars={"mlx_group": "greeted"}, greetings=("hello",)
    ),
    "environment that is a template": Row({"environment": [{"GREETING": "{{ 1 + 1 }}"}]}, greetings=("2", "2")),
    "environment with no text": Row(
        {"environment": {"GREETING": ["hi"]}}, result=REFUSED, said="environment of the play: the value of GREETING is", greetings=None
    ),
    "connection": Row({"hosts": "plain", "connection": "local"}, vars={"mlx_group": "plain"}, greetings=("",)),
    "connection that carries no stream": Row(
        {"hosts": "plain", "connection": "winrm"},
        vars={"mlx_group": "plain"},
        result=REFUSED,
        said="p1: connection type 'winrm'",
        greetings=None,
    ),
    "async at a role": Row(task={"async": 600}),
    "async": Row(task={"async": 600}, role="", everywhere=False, result={"failed": True}, said="does not support async", greetings=None),
    "delegate_to this machine": Row(task={"delegate_to": "localhost"}),
    "delegate_to": Row(
        task={"delegate_to": "n2"}, result=REFUSED, said="delegate_to: n2: this task runs where Ansible runs", greetings=None
    ),
    "timeout that is long": Row({"timeout": 600}),
    # Long enough for ranks to be ready on a busy machine: Ansible counts from the begin of the task.
    "timeout": Row(
        {"timeout": 40},
        vars={"mlx_command": ["sh", "-c", f"trap 'GREETING=bye; {MARK}; exit 0' TERM; sleep 600 & wait"]},
        result={"returncode": 124, "cause": "timeout", "changed": True, "failed": True},
        said="the task has had its time",
        greetings=("bye", "bye"),
        apart=True,
    ),
    "refused before it started": Row(
        vars={"mlx_cwd": "/no/such/directory"},
        result={"returncode": 3, "cause": "not_ready", "changed": False, "failed": True},
        said="not ready",
        greetings=None,
    ),
    "a host that has failed": Row(
        {"hosts": "failing"},
        vars={"mlx_group": "failing"},
        before=[{"fail": {"msg": "disk is bad"}, "when": "inventory_hostname == 'f2'"}],
        absent=f"f2 {LEFT}",
        greetings=("",),
    ),
    "a host that was ended": Row(before=[end("n2")], absent=f"n2 {LEFT}", greetings=("",)),
    "the first host was ended": Row(before=[end("n1")], absent=f"n1 {LEFT}", greetings=("",)),
    "a host of a hostfile was ended": Row(
        before=[end("n2")],
        vars={"mlx_hostfile": [{"ssh": f"n{each}", "ips": [f"127.0.0.{each}"]} for each in (1, 2)]},
        absent=f"n2 {LEFT}",
        greetings=("",),
    ),
    "all hosts of the group were ended": Row(
        {"hosts": "mlx:localhost"},
        before=[end("n1"), end("n2")],
        result=REFUSED,
        said=f"group 'mlx': no host is left; hosts that take no part: n1, n2 {LEFT}",
        greetings=None,
    ),
    "when": Row(task={"when": "inventory_hostname == 'n1'"}, absent="n2 (when is false there)", greetings=("",)),
    "when that is true": Row(task={"when": ["mlx_ips | length == 1", "not ansible_check_mode"]}),
    "when that is false for the first host": Row(task={"when": "inventory_hostname == 'n2'"}, result={}, greetings=None),
    "when with a variable that another host lacks": Row(
        task={"when": "inventory_hostname == 'n1' or spare"},
        result=REFUSED,
        said="n2: when: inventory_hostname == 'n1' or spare: ",
        greetings=None,
    ),
    "when at an included role": Row(
        task={"when": "inventory_hostname == 'n2'"},
        role="include_role",
        absent="n1 (Ansible does not run this task there)",
        greetings=("",),
    ),
    "loop": Row(
        task={"loop": ["n2", "n1"], "when": "item == inventory_hostname"},
        role="",
        result={"changed": True},
        absent="n2 (when is false there)",
        greetings=("",),
    ),
    "a rank that fails": Row(
        vars={"mlx_command": ["sh", "-c", f"{MARK}; exit 5"]}, result={"returncode": 5, "changed": True, "failed": True}, greetings=("", "")
    ),
    # The last one: Ansible leaves the other hosts out of later plays.
    "rescue": Row(rescues=True),
}


def play(number: int, row: Row, out: Path) -> dict[str, Any]:
    """Return a row's play; its task adds the result to a fact, and goes on after a failure."""
    command = row.vars.get("mlx_command", ["sh", "-c", MARK])
    command = [word.replace("OUT", f"{out}/{number}") for word in command]
    job = {"mlx_backend": "ring", "mlx_starting_port": "auto", **row.vars, "mlx_command": command}
    role = {row.role: {"name": "mlxlaunch.cluster.launch"}, "vars": job}
    own = {"mlxlaunch.cluster.launch": {name.removeprefix("mlx_"): value for name, value in job.items()}, "register": "mlx_result"}
    task = {**(role if row.role else own), "ignore_errors": True, **row.task}
    reader = "ansible_play_hosts[-1]" if row.everywhere else "inventory_hostname"
    broken = {"mlxlaunch.cluster.launch": {"command": ["false"], "backend": "ring", "starting_port": "auto"}}
    return {
        "name": f"row {number}",
        "hosts": "mlx",
        "gather_facts": False,
        **row.play,
        "tasks": [
            *row.before,
            {"block": [broken], "rescue": [task]} if row.rescues else task,
            {
                "set_fact": {"found": "{{ hostvars.localhost.found | default({}) | combine({number: result}) }}"},
                "vars": {"number": str(number), "result": f"{{{{ hostvars[{reader}].mlx_result | default({{}}) }}}}"},
                "delegate_to": "localhost",
                "delegate_facts": True,
                "run_once": True,
                "check_mode": False,
                "timeout": 0,
            },
        ],
    }


Printed = dict[str, str]


def start(here: Path, name: str, rows: Mapping[int, Row], out: Path) -> subprocess.Popen[str]:
    """Start the run of some rows, by number; it leaves their results in NAME.found."""
    dump = {"copy": {"content": "{{ found | to_json }}", "dest": f"{here}/{name}.found"}}
    last = {"hosts": "localhost", "gather_facts": False, "tasks": [dump]}
    (here / f"{name}.yml").write_text(json.dumps([*(play(number, row, out) for number, row in rows.items()), last]))
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".ansible"), "XDG_STATE_HOME": str(here / "state")}
    argv = [ANSIBLE_PLAYBOOK, "-i", "hosts.yml", f"{name}.yml"]
    return subprocess.Popen(argv, cwd=here, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str], here: Path, name: str) -> tuple[dict[str, Any], Printed]:
    """Wait for the end of a run; return the results and the output by number."""
    try:
        stdout, stderr = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    path = here / f"{name}.found"
    assert path.exists(), stdout + stderr
    results: dict[str, Any] = json.loads(path.read_text())
    return results, dict(piece.split("]", 1) for piece in stdout.split("PLAY [row ")[1:])


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], Printed]:
    """Run all rows; return the directory with what ranks left, and the results and the output by number."""
    here = tmp_path_factory.mktemp("plays")
    out = here / "out"
    out.mkdir()
    (here / "hosts.yml").write_text(json.dumps(HOSTS))
    (here / "ansible.cfg").write_text("")
    rows = {apart: {at: row for at, row in enumerate(ROWS.values()) if row.apart is apart} for apart in (True, False)}
    with start(here, "apart", rows[True], out) as beside, start(here, "plays", rows[False], out) as plays:
        results, printed = finish(plays, here, "plays")
        more_results, more_printed = finish(beside, here, "apart")
    return out, results | more_results, printed | more_printed


@pytest.mark.parametrize(("number", "name"), [*enumerate(ROWS)], ids=[*ROWS])
def test_keyword_works_or_is_refused(number: int, name: str, found: tuple[Path, dict[str, Any], Printed]) -> None:
    row, (out, results, printed) = ROWS[name], found
    result = results[str(number)]
    assert {key: result.get(key) for key in row.result} == row.result, result
    assert row.said in result.get("msg", "")
    assert "\n" not in result["msg"] if row.result is REFUSED else True
    told = [line.partition("hosts that take no part: ")[2] for line in printed[str(number)].splitlines() if "warning: hosts that" in line]
    assert set(told) == {row.absent} - {""}
    left = sorted(out.glob(f"{number}.*"))
    assert [path.read_text().strip() for path in left] == list(row.greetings or ())
