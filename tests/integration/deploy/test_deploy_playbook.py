"""playbooks/deploy.yml: the second time, --check, --diff, become, and where it may not write."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from tests.integration.cluster import Done
from tests.integration.deploying import ROOT, TELL, Site, rows, tree, where
from tests.lab.spec import USER


def changed(done: Done) -> dict[str, int]:
    """What the recap says of each host; nothing may have failed."""
    assert done.returncode == 0, done.stdout + done.stderr
    recap = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", done.stdout, re.MULTILINE)
    return {host: int(count) for host, count in recap if host != "localhost"}


def test_check_mode_and_second_run_change_nothing(site: Site) -> None:
    site.file("llm/train.py")
    site.file("llm/two\nlines")
    inventory = site.inventory(2, ansible_python_interpreter=sys.executable)
    variables = {"script": site.here / "llm/train.py", "project_dir": site.here / "llm", "hostfile_path": site.here / "hosts.json"}

    foretold = site.playbook("deploy.yml", "--check", "--diff", inventory=inventory, **variables)
    assert changed(foretold)["node1"] >= 1
    assert "+ train.py" in foretold.stdout
    assert "+ 'two\\nlines'" in foretold.stdout
    assert not (site.here / "hosts.json").exists()
    assert [host.name for host in site.hosts if host.path(ROOT).exists()] == []

    first = site.playbook("deploy.yml", inventory=inventory, **variables)
    # A check does not know that the directory for the hostfile will be there by then.
    assert all(0 < count <= changed(foretold)[host] for host, count in changed(first).items())
    assert json.loads((site.here / "hosts.json").read_text())
    for host in site.hosts[:2]:
        assert len(site.versions(host, "llm")) == 1
        assert host.path(ROOT).joinpath("hostfile.json").read_bytes() == (site.here / "hosts.json").read_bytes()

    second = site.playbook("deploy.yml", "--diff", inventory=inventory, **variables)
    assert set(changed(second).values()) == {0}
    assert "+ train.py" not in second.stdout


def test_diff_names_what_is_added_changed_and_removed(site: Site) -> None:
    script = site.file("llm/train.py")
    gone = site.file("llm/gone.txt")
    words = {"script": script, "project_dir": script.parent}
    done = site.playbook("sync.yml", **words)
    assert done.returncode == 0, done.stdout + done.stderr
    site.file("llm/new.txt")
    script.write_text(TELL + "#")
    gone.unlink()
    before = [tree(host.path(ROOT)) for host in site.hosts[:2]]
    done = site.playbook("sync.yml", "--check", "--diff", **words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {line for line in done.stdout.splitlines() if line[:2] in {"+ ", "~ ", "- "}} == {"+ new.txt", "~ train.py", "- gone.txt"}
    assert "on node1, node2" in done.stdout
    assert [tree(host.path(ROOT)) for host in site.hosts[:2]] == before


def test_a_root_that_is_not_ours_takes_become(site: Site) -> None:
    script = site.file("train.py")
    plain = site.inventory(2, ansible_user=USER)
    refused = site.sync("-i", plain, script)
    assert refused.returncode == 3
    (text,) = rows(refused).values()
    assert list(rows(refused)) == ["node1, node2"]
    own = f"{ROOT}-root"  # after the user who launches, whoever he is on the hosts
    assert text.startswith(f"{own}: Permission denied; make it once (sudo install -d -m 700 -o {USER} {own}), or set mlx_root to ")
    assert "become" in text
    assert [host.name for host in site.hosts if host.path(ROOT).exists() or host.path(own).exists()] == []

    become = site.inventory(2, ansible_user=USER, ansible_become=True, mlx_share="world")
    project = where(site.sync("-i", become, script))["project"]
    for host in site.hosts[:2]:
        assert host.path(project).joinpath("train.py").stat().st_uid == 0
    # Who runs jobs may be another user than who deploys: it only has to read.
    ran = site.cluster.mlxlaunch("-i", site.inventory(2, ansible_user=USER), "--root", ROOT, script)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count(project) == 2


def test_own_root_with_a_space_needs_no_become(site: Site) -> None:
    root = f"/home/{USER}/my models"
    inventory = site.inventory(2, ansible_user=USER, mlx_root=root)
    done = site.playbook("sync.yml", inventory=inventory, script=site.file("train.py"))
    assert done.returncode == 0, done.stdout + done.stderr
    ran = site.cluster.mlxlaunch("-i", inventory, "--root", root, site.here / "train.py")
    assert ran.returncode == 0, ran.stderr
    assert "brought" not in ran.stderr
    assert ran.stdout.count(f" {root}/projects/train/") == 2


def test_the_task_s_result_tells_where_all_is(site: Site) -> None:
    play = f"""
- hosts: mlx
  gather_facts: false
  tasks:
    - mlxlaunch.cluster.deploy:
        script: {site.file("train.py")}
      register: done
    - ansible.builtin.copy:
        content: "{{{{ done }}}}"
        dest: {site.here}/result.json
      delegate_to: localhost
      run_once: true
      vars:
        ansible_connection: local
        ansible_python_interpreter: {sys.executable}
"""
    site.file("play.yml", play)
    argv = [Path(sys.executable).with_name("ansible-playbook"), "-i", site.inventory(2), site.here / "play.yml"]
    done = site.cluster._run(argv)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((site.here / "result.json").read_text())
    assert result["changed"]
    assert result["hosts_changed"] == {"node1": ["project"], "node2": ["project"]}
    assert site.hosts[1].path(result["script"]).read_text() == TELL
    assert result["project_digest"].startswith(Path(result["project"]).name)
    assert (result["returncode"], result["problems"]) == (0, {})


def test_site_deploys_checks_and_launches(site: Site) -> None:
    site.file("llm/train.py", "import os\nprint('rank', os.environ['MLX_RANK'], os.getcwd(), flush=True)\n")
    inventory = site.inventory(2, ansible_python_interpreter=sys.executable)
    variables = {"script": site.here / "llm/train.py", "project_dir": site.here / "llm", "hostfile_path": site.here / "hosts.json"}
    done = site.playbook("site.yml", inventory=inventory, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    ranks = sorted(line for line in done.stdout.splitlines() if line.startswith("rank "))
    (version,) = site.versions(site.hosts[0], "llm")
    assert ranks == [f"rank {rank} {ROOT}/projects/llm/{version}" for rank in range(2)]
    assert "all 2 hosts are ready" in done.stderr
