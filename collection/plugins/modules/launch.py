# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: launch
version_added: 1.0.0
short_description: Launch a distributed MLX job on a group of hosts
description:
  - Starts one process per rank on the hosts of an inventory group, forwards what they print as they print it, and ends
    all of them when one fails, when a time limit is over, or when the playbook is interrupted.
  - No rank starts anywhere unless every host has said that it is ready.
  - One task is one job, however many hosts the play has; it drives all of them itself, over the connection that
    Ansible is configured to use. Of connection plugins it can use P(ansible.builtin.ssh#connection) with a key or an
    agent, and P(ansible.builtin.local#connection).
  - Settings of single hosts (C(mlx_ips), C(mlx_slots), C(mlx_python) and C(mlx_env)) are read from each host's variables.
author:
  - The mlxlaunch-ansible contributors (@mlxlaunch)
requirements:
  - Python 3.9 or newer on the hosts
extends_documentation_fragment:
  - mlxlaunch.cluster.hosts
  - mlxlaunch.cluster.project
  - mlxlaunch.cluster.project.root
  - mlxlaunch.cluster.job
  - mlxlaunch.cluster.job.control
  - mlxlaunch.cluster.attributes
options:
  script:
    description:
      - Script to run on every rank.
      - One that is on the controller is brought to the hosts, see O(sync); any other is a path on the hosts.
      - Exactly one of O(script) and O(command) is needed.
    type: str
    default: ""
  args:
    description:
      - Arguments for the script.
      - A text is split into words as a shell splits them; a list is taken as it is.
    type: list
    elements: str
    default: []
  command:
    description:
      - Any command to run in place of Python and a script.
    type: list
    elements: str
    default: []
  env:
    description:
      - Environment variables for the ranks, stronger than those of C(mlx_env) in inventory and playbook.
      - Their values never appear in output, results or records of this action.
      - What the backend needs is set last and cannot be replaced.
    type: dict
    default: {}
  mpi_args:
    description:
      - Arguments for mpirun, each split as a shell splits words.
    type: list
    elements: raw
    default: []
  mpi_agent:
    description:
      - How mpirun reaches the other hosts.
      - C(channel) takes the connections that are there; no host has to reach another by ssh.
      - C(ssh) has the first host connect to the others, as each is set up for it.
    type: str
    choices: [channel, ssh]
    default: channel
  prefix:
    description:
      - Put C([rank host]) before each line of output.
    type: bool
    default: false
  stdin:
    description:
      - Who reads what is written to the standard input of C(mlxlaunch run), or to C(Job.write) of a program.
      - One of V(all), V(none), or a rank.
      - Default V(all) on the command line, when it is a terminal or has something, and V(none) in Python.
      - With C(ansible-playbook) always V(none), as Ansible gives its workers no standard input.
    type: str
    default: ""
  tty:
    description:
      - Give the rank that reads standard input a terminal; its stderr then comes with its stdout.
    type: bool
    default: false
  grace:
    description:
      - Seconds a rank has between C(TERM) and C(KILL).
    type: float
    default: 10.0
  timeout:
    description:
      - Seconds the ranks may run; V(0) for no limit.
    type: float
    default: 0.0
  log_dir:
    description:
      - Directory on the controller that gets one run directory per job, with every rank's output in a file of its own.
      - Without it, C(mlxlaunch/runs) in the user's state directory.
    type: path
    default: ""
  keep_runs:
    description:
      - Run directories that stay on the controller, the newest ones, up to 180 days; V(0) for all and always.
      - The records of running jobs stay, and directories that hold anything else.
    type: int
    default: 200
  sync:
    description:
      - 'Bring script and environment to the hosts first.'
      - A script that is not on the controller is taken for a path on the hosts.
    type: bool
    default: true
  share:
    description:
      - Who else on a host may read what is deployed, V(private) for nobody.
      - It is the mode of the directories that environments and versions are in; files in them keep the modes they have here.
    type: str
    default: private
    choices: [private, group, world]
  job:
    description:
      - The job's id. For programs that launch; without it, one is made.
    type: str
attributes:
  action:
    details: What runs on the hosts is sent over one connection per host that stays open as long as the job runs.
  async:
    details: The action is where the job's output goes; use C(timeout) and C(log_dir) for long jobs.
  bypass_host_loop:
    details: C(forks) would start a task per host for some hosts only, and no job runs with some of its ranks.
  check_mode:
    details: Tells what would run where, and how, without asking any host; see RV(plan). Whether a script would succeed it cannot tell.
  diff_mode:
    support: none
    details: What a script changes is not known.
seealso:
  - plugin: mlxlaunch.cluster.stream
    plugin_type: callback
    description: The stdout callback that lets output pass unchanged.
  - plugin: mlxlaunch.cluster.hostfile
    plugin_type: filter
    description: Renders the hostfile for other programs.
"""

EXAMPLES = r"""
- name: Train on all Macs of the group
  mlxlaunch.cluster.launch:
    script: /opt/mlxlaunch/projects/llm/train.py
    args: [--lr, "1e-3", --steps, "1000"]
    python: /opt/mlxlaunch/env/bin/python

- name: Give the job a time limit, and its own variables
  mlxlaunch.cluster.launch:
    group: studios
    script: /opt/mlxlaunch/projects/llm/evaluate.py
    cwd: /opt/mlxlaunch/projects/llm
    env:
      HF_HOME: /Users/Shared/huggingface
      HF_TOKEN: "{{ vault_hf_token }}"
    timeout: 3600
    prefix: true
  register: evaluation

- name: Run any command, one per rank
  mlxlaunch.cluster.launch:
    command: [/usr/sbin/system_profiler, SPThunderboltDataType]

- name: Look at why a job failed
  block:
    - name: Try it
      mlxlaunch.cluster.launch:
        script: /opt/mlxlaunch/projects/llm/train.py
      register: training
  rescue:
    - name: Show the first failure
      ansible.builtin.debug:
        var: training.first_failure
      run_once: true
"""

RETURN = r"""
job:
  description: The job's id.
  returned: when a job was started or planned
  type: str
  sample: 20260131-142501-9c41f0
returncode:
  description:
    - What C(mlxlaunch run) would exit with.
    - V(0) when every rank returned 0, else the code of the rank that failed first, or 128 + n for signal n.
    - V(2) for a mistake in what was asked for, V(3) for a host out of reach or not ready, V(124) for a time limit,
      V(130) or V(143) for an interrupt or termination.
  returned: always
  type: int
  sample: 0
cause:
  description: Why the job ended, in one word; V(planned) in check mode.
  returned: when the hosts were asked, and in check mode
  type: str
  sample: rank_failed
message:
  description: The same for a person.
  returned: when the hosts were asked, and in check mode
  type: str
  sample: rank 1 on studio-2 exited with code 1 after 12.3 s
problems:
  description: What keeps hosts from being ready, by host.
  returned: when the hosts were asked
  type: dict
  sample:
    studio-2:
      - "python: /opt/mlxlaunch/env/bin/python does not exist"
hint:
  description: What to do about the first failure, or nothing.
  returned: when the hosts were asked
  type: str
  sample: helper is not among what went with the script; if it is yours, name its directory with --project-dir (mlx_project_dir)
written:
  description: By host, one of the files that the job has written into its version of the project.
  returned: when the hosts were asked
  type: dict
  sample:
    studio-2: /opt/mlxlaunch/projects/llm/16c6e6ec73f5b79a/out/adapters.safetensors
first_failure:
  description: The rank that failed first, or V(none).
  returned: when the hosts were asked
  type: dict
  contains:
    rank:
      description: Its rank.
      type: int
      returned: success
    host:
      description: Its host.
      type: str
      returned: success
    returncode:
      description: Its exit status, 128 + n for signal n.
      type: int
      returned: success
    signal:
      description: The signal's name, or V(none).
      type: str
      returned: success
    duration:
      description: Seconds it ran.
      type: float
      returned: success
    stopped:
      description: Whether it ended because it was told to; false here.
      type: bool
      returned: success
    error:
      description: Why it could not be started, else empty.
      type: str
      returned: success
    tail:
      description: Its last lines of standard error, or of standard output when it said nothing there.
      type: list
      elements: str
      returned: success
ranks:
  description: How each rank ended, in rank order. In check mode, the ranks that there would be.
  returned: when the hosts were asked, and in check mode
  type: list
  elements: dict
  contains:
    rank:
      description: The rank.
      type: int
      returned: success
    host:
      description: Its host.
      type: str
      returned: success
    returncode:
      description: Its exit status, 128 + n for signal n; V(none) when it is not known or the rank never ran.
      type: int
      returned: success
    signal:
      description: The name of the signal that ended it, or V(none).
      type: str
      returned: success
    duration:
      description: Seconds it ran.
      type: float
      returned: success
    stopped:
      description: Whether it ended because it was told to, after another one failed.
      type: bool
      returned: success
duration:
  description: Seconds from the first connection to the last confirmation.
  returned: when the hosts were asked
  type: float
  sample: 73.204
plan:
  description:
    - What would run, in check mode.
    - Values of the user's variables are C(***) in it unless O(verbose).
    - What only the hosts could tell stands in angle brackets, and RV(plan.unknown) says what that would be.
  returned: in check mode
  type: dict
  contains:
    backend:
      description: The backend.
      type: str
      returned: success
    world_size:
      description: How many ranks there would be.
      type: int
      returned: success
    ranks:
      description:
        - By rank its C(host), C(local_rank) and C(local_size), C(ips), C(listen) (what it listens on), C(argv), the same as a C(command)
          of a shell, C(cwd), whether that is to be there or else the home directory (C(cwd_or_home)), and C(env).
      type: list
      elements: dict
      returned: success
    hostfile:
      description: The hostfile for C(mlx.launch), without variables.
      type: dict
      returned: success
    files:
      description: Content of the files that ranks read, by the variable that tells them where.
      type: dict
      returned: success
    deploy:
      description: The C(project) and the C(environment) that hosts would get where they lack it, or V(none).
      type: dict
      returned: success
    mpirun:
      description: Where mpirun is looked for (C(candidates)), and how Open MPI 5 and 4 are called (C(commands)), or V(none).
      type: dict
      returned: success
    unknown:
      description: What the words in angle brackets stand for.
      type: dict
      returned: success
run_dir:
  description: The run directory on the controller, with every rank's output.
  returned: when the hosts were asked
  type: str
  sample: /home/ada/.local/state/mlxlaunch/runs/20260131-142501-9c41f0
cwd:
  description:
    - The working directory of rank 0 on its host; empty when the host did not become ready.
    - In check mode, that of the plan.
  returned: when the hosts were asked, and in check mode
  type: str
  sample: /opt/mlxlaunch/projects/llm/16c6e6ec73f5b79a
"""
