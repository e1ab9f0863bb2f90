"""A setting counts wherever Ansible lets a user set it: setting x place, against what a debug task of the same play sees.

All places that need no command line of their own are plays of one run. A play has its group of hosts in one inventory,
where every setting has another value already, so that the precedence shows.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab.start import CHECKOUT
from tests.support.controller import controller
from tests.support.delays import without_delays

__all__ = ["controller"]

PATIENCE = 200.0  # seconds after which a launch, or a play with some, hangs
LAUNCH = "mlxlaunch.cluster.launch"
SECRET = "open sesame"

#: The settings that the sweep sees in the plan of a dry run: per host, with templates that differ between hosts, and of the job.
PER_HOST = {
    "mlx_python": "/%s/{{ inventory_hostname }}",
    "mlx_slots": "{{ own + 1 }}",
    "mlx_ips": ["127.0.{{ own }}.%s"],
    "mlx_rdma": ["%s-{{ own }}"],
    "mlx_env": {"PLACE": "%s", "OTHER": "{{ hostvars[ansible_play_hosts[0]].own }}"},
}
OF_JOB = {"mlx_cwd": "/%s", "mlx_args": ["--place", "%s"], "mlx_connections_per_ip": 2}
NAMES = (*PER_HOST, *OF_JOB)


def values(place: str, number: int) -> dict[str, Any]:
    """Return every setting of the sweep with a value of this place's own."""

    def filled(value: Any, name: str) -> Any:
        if isinstance(value, dict):
            return {key: filled(item, name) for key, item in value.items()}
        if isinstance(value, list):
            return [filled(item, name) for item in value]
        return value.replace("%s", str(number) if name == "mlx_ips" else place) if isinstance(value, str) else value

    return {name: filled(value, name) for name, value in (PER_HOST | OF_JOB).items()}


# -- plays

ORACLE = {
    "ansible.builtin.debug": {"msg": {name: f"{{{{ {name} }}}}" for name in NAMES}},
    "register": "oracle",
}
LAUNCHED = {"ansible.builtin.import_role": {"name": LAUNCH}, "check_mode": True}
KEPT = {
    "ansible.builtin.set_fact": {
        "row": {
            "ranks": "{{ mlx_result.plan.ranks | default([]) }}",
            "rdma": "{{ mlx_result.plan.hostfile.hosts | default([]) }}",
            "oracle": "{{ oracle.msg }}",
        }
    },
}
TASKS = [ORACLE, LAUNCHED, KEPT]


@dataclass(frozen=True)
class Place:
    """A place where variables are set.

    Attributes:
        name: of the place, and of the group of its hosts.
        play: keywords of its play, `VALUES` standing for the settings.
        files: written beside the playbook, by path; also with `VALUES`.
        job: settings of the job count too. The launch's role has defaults of its own, which count for more than another's.
    """

    name: str
    play: Mapping[str, Any] = field(default_factory=lambda: {"tasks": TASKS})
    files: Mapping[str, Any] = field(default_factory=dict)
    job: bool = True


VALUES = "VALUES"


def with_vars(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**task, "vars": VALUES} for task in tasks]


PLACES = (
    Place("group_of_inventory"),
    Place("group_vars", files={"inventory/group_vars/group_vars.yml": VALUES}),
    Place("host_vars", files={f"inventory/host_vars/host_vars{number}.yml": VALUES for number in (1, 2)}),
    Place("group_vars_of_playbook", files={"group_vars/group_vars_of_playbook.yml": VALUES}),
    Place("host_vars_of_playbook", files={f"host_vars/host_vars_of_playbook{number}.yml": VALUES for number in (1, 2)}),
    Place("play_vars", {"vars": VALUES, "tasks": TASKS}),
    Place("vars_files", {"vars_files": ["own.yml"], "tasks": TASKS}, {"own.yml": VALUES}),
    Place("vaulted_file", {"vars_files": ["vaulted.yml"], "tasks": TASKS}, {"vaulted.yml": VALUES}),
    Place("include_vars", {"tasks": [{"ansible.builtin.include_vars": "included.yml"}, *TASKS]}, {"included.yml": VALUES}),
    Place("set_fact", {"tasks": [{"ansible.builtin.set_fact": VALUES}, *TASKS]}),
    Place("block_vars", {"tasks": [{"block": TASKS, "vars": VALUES}]}),
    Place("task_vars", {"tasks": [*with_vars([ORACLE, LAUNCHED]), KEPT]}),
    Place("role_vars", {"roles": [{"role": "job", "vars": VALUES}]}),
    Place("role_parameters", {"roles": [{"role": "job", "PARAMETERS": VALUES}]}),
    Place("include_role_vars", {"tasks": [{"ansible.builtin.include_role": {"name": "job"}, "vars": VALUES}]}),
    Place("import_role_vars", {"tasks": [{"ansible.builtin.import_role": {"name": "job"}, "vars": VALUES}]}),
    Place("include_tasks_vars", {"tasks": [{"ansible.builtin.include_tasks": "tasks.yml", "vars": VALUES}]}, {"tasks.yml": TASKS}),
    Place("vars_of_role", {"roles": ["strong"]}, {"roles/strong/vars/main.yml": VALUES, "roles/strong/tasks/main.yml": TASKS}),
    Place("defaults_of_role", {"roles": ["weak"]}, {"roles/weak/defaults/main.yml": VALUES, "roles/weak/tasks/main.yml": TASKS}, job=False),
    Place(
        "dependency",
        {"roles": ["above"]},
        {"roles/above/meta/main.yml": {"dependencies": [{"role": "job", "vars": VALUES}]}},
    ),
    Place("loop", {"tasks": [{"ansible.builtin.include_role": {"name": "job"}, "vars": VALUES, "loop": [1]}]}),
)


def fill(data: Any, settings: Mapping[str, Any]) -> Any:
    """Return data with the settings in the places that `VALUES` marks."""
    if data == VALUES:
        return dict(settings)
    if isinstance(data, dict):
        merged = {key: fill(item, settings) for key, item in data.items()}
        return {**merged.pop("PARAMETERS", {}), **merged}
    return [fill(item, settings) for item in data] if isinstance(data, list) else data


def write(path: Path, data: Any) -> None:
    """Write a file of data, which YAML reads as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def write_all(folder: Path) -> None:
    """Write the playbook, the inventory and all other files."""
    everything = {name: {"hosts": {f"{name}{number}": {"own": number} for number in (1, 2)}} for name in (place.name for place in PLACES)}
    everything["group_of_inventory"]["vars"] = values("group_of_inventory", 1)  # type: ignore[assignment]
    weak = values("weak", 200) | {"ansible_connection": "local", "mlx_script": "/x.py", "mlx_verbose": True}
    del weak["mlx_env"]
    weak["mlx_env"] = {"PLACE": "weak", "ALL": "all"}
    without = {name: weak[name] for name in ("ansible_connection", "mlx_script", "mlx_verbose", "mlx_env")}
    groups = {name: {**group, "vars": group.get("vars", {})} for name, group in everything.items()}
    for name, group in groups.items():
        # A role's defaults are weaker than any inventory.
        group["vars"] = {**(without if name == "defaults_of_role" else weak), **group["vars"]}  # type: ignore[dict-item]
    del groups["defaults_of_role"]["vars"]["mlx_env"]  # type: ignore[attr-defined]
    write(folder / "inventory/hosts.json", {"all": {"children": groups}})
    write(folder / "roles/job/tasks/main.yml", TASKS)
    plays = []
    for number, place in enumerate(PLACES, 1):
        settings = values(place.name, number)
        for path, data in place.files.items():
            write(folder / path, fill(data, settings))
        play = fill(dict(place.play), settings)
        play["vars"] = {"mlx_group": place.name, **play.get("vars", {})}
        plays.append({"hosts": place.name, "gather_facts": False, "ignore_errors": True, **play})
    report = {"content": "{{ rows | to_json }}", "dest": str(folder / "rows.json")}
    found = "hostvars | dict2items | selectattr('value.row', 'defined')"
    rows = f"{{{{ dict({found} | map(attribute='key') | zip({found} | map(attribute='value.row'))) }}}}"
    plays.append(
        {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {"rows": rows},
            "tasks": [{"ansible.builtin.copy": report}],
        }
    )
    write(folder / "playbook.yml", plays)


@dataclass(frozen=True)
class Swept:
    """The one run of all places: what a rank gets and what a debug task sees, by host."""

    output: str
    rows: Mapping[str, Any]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    folder = tmp_path_factory.mktemp("variables")
    write_all(folder)
    (folder / "secret").write_text(SECRET)
    vault = ["--vault-password-file", "secret"]
    done = ansible(folder, "ansible-vault", "encrypt", *vault, "vaulted.yml")
    assert done.returncode == 0, done.stderr
    done = ansible(folder, "ansible-playbook", *vault, "-i", "inventory", "playbook.yml")
    path = folder / "rows.json"
    return Swept(done.stdout + done.stderr, json.loads(path.read_text()) if path.exists() else {})


def ansible(folder: Path, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program of Ansible, or ours, in a folder."""
    import os
    import sys

    env = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MLX_", "XDG_"))}
    env |= {
        "PATH": f"{Path(sys.executable).parent}:{env['PATH']}",
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".ansible"),
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "XDG_STATE_HOME": str(folder / "state"),
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.run([program, *words], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=PATIENCE)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_settings_of_a_place_are_those_that_a_debug_task_sees(place: Place, swept: Swept) -> None:
    hosts = [f"{place.name}{number}" for number in (1, 2)]
    assert set(hosts) <= set(swept.rows), swept.output
    oracle = {host: swept.rows[host]["oracle"] for host in hosts}
    assert oracle[hosts[0]]["mlx_cwd"] == f"/{place.name}", "the place does not say anything"
    ranks = swept.rows[hosts[0]]["ranks"]
    for host in hosts:
        own = [rank for rank in ranks if rank["host"] == host]
        wanted, first = oracle[host], oracle[hosts[0]]
        assert len(own) == int(wanted["mlx_slots"])
        assert [rank["argv"][0] for rank in own] == [wanted["mlx_python"]] * len(own)
        assert [rank["ips"] for rank in own] == [wanted["mlx_ips"]] * len(own)
        assert {name: own[0]["env"].get(name) for name in wanted["mlx_env"]} == {n: str(v) for n, v in wanted["mlx_env"].items()}
        if place.job:
            assert [rank["cwd"] for rank in own] == [first["mlx_cwd"]] * len(own)
            assert own[0]["argv"][2:] == first["mlx_args"]
            assert len(own[0]["listen"]) == first["mlx_connections_per_ip"]
    devices = [entry.get("rdma") for entry in swept.rows[hosts[0]]["rdma"]]
    assert devices == [oracle[rank["host"]]["mlx_rdma"] for rank in ranks]


# -- the command line, which is stronger than every other place


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two local hosts in an INI inventory, whose lists and mappings are text, and a play that launches on them."""
    folder = tmp_path_factory.mktemp("texts")
    (folder / "hosts.ini").write_text(INI)
    shown = {"msg": "{{ mlx_result.plan.ranks | to_json }}"}
    tasks = [
        LAUNCHED,
        {
            "ansible.builtin.copy": {"content": shown["msg"], "dest": str(folder / "ranks.json")},
            "run_once": True,
            "delegate_to": "localhost",
        },
    ]
    write(folder / "play.yml", [{"hosts": "mlx", "gather_facts": False, "vars": {"mlx_cwd": "/play"}, "tasks": tasks}])
    return folder


# On the line of a host Ansible takes away quotes.
INI = """\
[mlx]
node[1:2] ansible_connection=local mlx_rdma=[null,"rdma_en2"] mlx_slots=2
[mlx:vars]
mlx_script=/x.py
mlx_verbose=yes
mlx_args=["--lr","1e-3"]
mlx_ips=["127.0.0.{{ inventory_hostname[-1] }}"]
mlx_env={"A":"1"}
mlx_python=/opt/{{ inventory_hostname }}
"""


def ranks_of(folder: Path, *words: str) -> list[dict[str, Any]]:
    """Return the ranks of the dry run of the play."""
    done = ansible(folder, "ansible-playbook", "-i", "hosts.ini", "play.yml", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    found: list[dict[str, Any]] = json.loads((folder / "ranks.json").read_text())
    return found


def test_lists_and_mappings_of_ini_are_read(folder: Path) -> None:
    ranks = ranks_of(folder)
    assert [(rank["host"], rank["ips"]) for rank in ranks[::2]] == [("node1", ["127.0.0.1"]), ("node2", ["127.0.0.2"])]
    assert [rank["argv"] for rank in ranks[::2]] == [[f"/opt/{host}", "/x.py", "--lr", "1e-3"] for host in ("node1", "node2")]
    assert {rank["env"]["A"] for rank in ranks} == {"1"}
    assert len(ranks) == 4


STRONGER = {"mlx_cwd": "/e", "mlx_args": ["a b", "c"], "mlx_env": {"B": "{x}"}, "mlx_slots": 1, "mlx_python": "/e/{{ inventory_hostname }}"}


@pytest.mark.parametrize("form", ["text", "json", "file"])
def test_command_line_counts_for_more_than_any_other_place(form: str, folder: Path) -> None:
    write(folder / "e.json", STRONGER)
    text = 'mlx_cwd=/e mlx_args=\'["a b","c"]\' mlx_env=\'{"B":"{x}"}\' mlx_slots=1 mlx_python=\'/e/{{ inventory_hostname }}\''
    given = {"text": text, "json": json.dumps(STRONGER), "file": "@e.json"}[form]
    first, second = ranks_of(folder, "-e", given)
    assert [rank["argv"] for rank in (first, second)] == [[f"/e/{rank['host']}", "/x.py", "a b", "c"] for rank in (first, second)]
    assert first["cwd"] == "/e"
    assert (first["env"]["A"], first["env"]["B"]) == ("1", "{x}"), "an environment is merged"


# -- text that is no list, and every setting


#: What is wrong in an inventory, and the line of the command, which asks no host.
REFUSED = {
    "list": ("mlx_exclude=[ab", "--exclude: this is text that begins with [ and is not JSON; use YAML or -e '{\"mlx_exclude\": [...]}'"),
    "addresses": ("mlx_ips=[127.0.0.1", "node1: mlx_ips: this is text that begins with [ and is not JSON; use YAML or"),
    "environment": ('mlx_env={"A":', "node1: mlx_env: this is text that begins with { and is not JSON; use YAML or"),
    "devices": ("mlx_rdma=rdma_en2", "node1: mlx_rdma: want a list of devices, one per rank, not 'rdma_en2'"),
    "number": ("mlx_slots=two", "node1: mlx_slots: 'two': want 1 or more ranks"),
    "template": ("mlx_python={{ nowhere }}", "node1: mlx_python: 'nowhere' is undefined"),
}


@pytest.mark.sweep
@pytest.mark.parametrize("case", REFUSED)
def test_wrong_value_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    line, message = REFUSED[case]
    (tmp_path / "hosts.ini").write_text(f"[mlx]\nnode1 ansible_connection=local\n[mlx:vars]\n{line}\n")
    done = ansible(tmp_path, "mlxlaunch", "run", "-i", "hosts.ini", "--dry-run", "/x.py")
    assert done.returncode == 2
    [refusal] = without_delays(done.stderr).splitlines()
    assert refusal.startswith(f"mlxlaunch: {message}")


#: Every setting of the job, and its value in the record.
EVERY: dict[str, tuple[Any, Any]] = {
    "command": (["true"], ["true"]),
    "backend": ("ring", "ring"),
    "cwd": ("/", "/"),
    "starting_port": ("41e3", 41000),
    "connections_per_ip": ("2", 2),
    "mpirun": ("/x/mpirun", "/x/mpirun"),
    "mpi_args": ('["--mca", "a"]', ["--mca", "a"]),
    "mpi_agent": ("ssh", "ssh"),
    "nccl_port": (4242, 4242),
    "prefix": ("on", True),
    "verbose": ("n", False),
    "stdin": ("none", "none"),
    "tty": ("no", False),
    "grace": ("1.5", 1.5),
    "lease": ("2e2", 200.0),
    "connect_timeout": (250, 250.0),
    "timeout": (999, 999.0),
    "keep_runs": (7, 7),
    "sync": ("off", False),
    "project_dir": (".", "."),
    "exclude": ("['a', 'b']", ["a", "b"]),
    "environment": ("copy", "copy"),
    "wheelhouse": ("w", "w"),
    "index_url": ("http://i.example/simple", "http://i.example/simple"),
    "root": ("/x/root", "/x/root"),
    "trust_owner": ("ada", "ada"),
    "keep": (5, 5),
    "share": ("group", "group"),
}


def test_every_setting_of_the_job_counts_in_the_vars_of_a_play(tmp_path: Path) -> None:
    given = {f"mlx_{name}": value for name, (value, _recorded) in EVERY.items()} | {"mlx_log_dir": str(tmp_path / "logs")}
    write(tmp_path / "hosts.json", {"mlx": {"hosts": {"node1": {"ansible_connection": "local", "mlx_ips": ["127.0.0.1"]}}}})
    write(tmp_path / "play.yml", [{"hosts": "mlx", "gather_facts": False, "vars": given, "roles": [LAUNCH]}])
    done = ansible(tmp_path, "ansible-playbook", "-i", "hosts.json", "play.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    [record] = (tmp_path / "logs").glob("*/job.json")
    settings = json.loads(record.read_text())["settings"]
    assert {name: settings[name] for name in EVERY} == {name: recorded for name, (_value, recorded) in EVERY.items()}


def test_another_value_for_another_host_is_not_ignored_silently(tmp_path: Path) -> None:
    hosts = {f"node{number}": {"ansible_connection": "local", "mlx_ips": [f"127.0.0.{number}"]} for number in (1, 2)}
    hosts["node2"]["mlx_grace"] = 7
    write(tmp_path / "hosts.json", {"mlx": {"hosts": hosts, "vars": {"mlx_cwd": "/{{ inventory_hostname }}"}}})
    done = ansible(tmp_path, "mlxlaunch", "run", "-i", "hosts.json", "--dry-run", "--lease", "20", "/x.py")
    assert done.returncode == 0
    for variable in ("mlx_cwd", "mlx_grace"):
        line = f"mlxlaunch: warning: {variable} is one value for the whole job: that of node1 counts, not the other one of node2"
        assert line in done.stderr.splitlines()


def test_all_actions_read_the_variables_of_the_play(tmp_path: Path) -> None:
    given = {"mlx_python": "/nowhere/{{ inventory_hostname }}", "mlx_slots": 2, "mlx_ips": ["127.0.0.{{ own }}"], "mlx_hostfile_path": ""}
    hosts = {f"node{number}": {"own": number} for number in (1, 2)}
    write(tmp_path / "hosts.json", {"mlx": {"hosts": hosts, "vars": {"ansible_host": "nowhere.invalid"}}})
    hostfile = {"ansible.builtin.import_role": {"name": "mlxlaunch.cluster.hostfile"}, "check_mode": True}
    texts = {"ansible.builtin.debug": {"msg": "{{ mlx_hostfile_result.text.splitlines() }}"}, "run_once": True}
    play = {"hosts": "mlx", "gather_facts": False, "vars": {**given, "ansible_connection": "local", "mlx_root": str(tmp_path / "root")}}
    checked = {"ansible.builtin.import_role": {"name": "mlxlaunch.cluster.check"}}
    write(tmp_path / "play.yml", [{**play, "tasks": [hostfile, texts, checked]}])
    done = ansible(tmp_path, "ansible-playbook", "-i", "hosts.json", "play.yml")
    for number in (1, 2):
        assert f"/nowhere/node{number} is not there" in done.stdout + done.stderr
        assert (done.stdout + done.stderr).count(f'\\"ips\\": [\\"127.0.0.{number}\\"]') == 2


def test_play_for_localhost_says_what_does_not_count(tmp_path: Path) -> None:
    hosts = {f"node{number}": {"ansible_connection": "local", "mlx_ips": [f"127.0.0.{number}"]} for number in (1, 2)}
    write(tmp_path / "hosts.json", {"mlx": {"hosts": hosts, "vars": {"mlx_grace": 7}}})
    facts = {"ansible.builtin.set_fact": {"mlx_python": "/fact", "mlx_script": "/x.py"}}
    write(tmp_path / "play.yml", [{"hosts": "localhost", "gather_facts": False, "tasks": [facts, LAUNCHED]}])
    done = ansible(tmp_path, "ansible-playbook", "-i", "hosts.json", "play.yml")
    assert done.returncode == 0, done.stdout
    assert "mlx_python of localhost does not count, as it runs no rank; set it for node1, node2" in done.stdout
    assert "mlx_grace is one value for the whole job: that of localhost counts, not the other one of node1, node2" in done.stdout
    assert "mlx_script is" not in done.stdout, "the others have the default"


# -- names of older versions of Ansible, and who logs in


@pytest.mark.parametrize("config", ["", "[defaults]\nremote_user = bob\n"], ids=["ssh", "ansible.cfg"])
def test_hostfile_names_hosts_as_ansible_reaches_them(config: str, tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text(config)
    (tmp_path / "hosts.ini").write_text("[mlx]\nnode1 ansible_ssh_host=127.0.0.1 ansible_ssh_user=ada\nnode2 ansible_host=127.0.0.2\n")
    done = ansible(tmp_path, "mlxlaunch", "hostfile", "-i", "hosts.ini")
    assert [entry["ssh"] for entry in json.loads(done.stdout)] == ["ada@127.0.0.1", "bob@127.0.0.2" if config else "127.0.0.2"]
    done = ansible(tmp_path, "mlxlaunch", "run", "-i", "hosts.ini", "--dry-run", "/x.py")
    assert f'{{"ssh": "{"bob@" if config else ""}127.0.0.2", "ips": ["127.0.0.2"]}}' in done.stdout
    assert '{"ssh": "ada@127.0.0.1", "ips": ["127.0.0.1"]}' in done.stdout
