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
  - The mlxlaunch-ansible contributors (!UNKNOWN)
requirements:
  - Python 3.9 or newer on the hosts
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
  group:
    description:
      - Inventory group whose hosts run the ranks, in inventory order.
      - In a play for these hosts, only those that C(--limit) leaves take part.
    type: str
    default: mlx
  backend:
    description:
      - Distributed backend.
      - V(auto) is what mlx.launch would take, V(nccl) where MLX on the controller can use CUDA, else V(ring).
        A hostfile that is used as inventory sets C(mlx_backend).
    type: str
    choices: [auto, ring, mpi, nccl, jaccl, jaccl-ring]
    default: auto
  env:
    description:
      - Environment variables for the ranks, stronger than those of C(mlx_env) in inventory and playbook.
      - Their values never appear in output, results or records of this action.
      - What the backend needs is set last and cannot be replaced.
    type: dict
    default: {}
  cwd:
    description:
      - Working directory on the hosts; it must exist there.
      - Without it, the directory of the playbook run where a host has it, else the home directory.
    type: str
    default: ""
  python:
    description:
      - Python that runs the script, by its path on the hosts, for hosts without C(mlx_python).
      - Without it, the path of the Python that runs Ansible.
    type: str
    default: ""
  starting_port:
    description:
      - First port the ring listens on; counts up by rank, address and connection. With jaccl, rank 0 listens on it.
      - With V(auto), a range of ports is found that is free on every host, between 20000 and 32000.
    type: raw
    default: 32323
  connections_per_ip:
    description:
      - Connections between neighbours of the ring, per address.
    type: int
    default: 1
  mpirun:
    description:
      - Path of mpirun on the hosts.
      - Without it, mpirun beside the Python, in the environment for example, else Homebrew's or the system's.
    type: str
    default: ""
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
  nccl_port:
    description:
      - Port rank 0 listens on, with the backend nccl.
    type: int
    default: 12345
  prefix:
    description:
      - Put C([rank host]) before each line of output.
    type: bool
    default: false
  verbose:
    description:
      - "Tell more: hosts as they become ready, process ids, the ring's own messages."
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
  lease:
    description:
      - Seconds of silence after which a host, or the launcher, is given up.
    type: float
    default: 30.0
  connect_timeout:
    description:
      - Seconds a host may take until it is ready.
    type: float
    default: 30.0
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
  sync:
    description:
      - Bring script and environment to the hosts first, where they are not there yet.
      - A script that is not on the controller is taken for a path on the hosts.
    type: bool
    default: true
  project_dir:
    description:
      - Directory on the controller that goes to the hosts with the script in it.
      - What C(.gitignore) files name stays, as do C(.git), virtual environments and caches.
      - Without it, the script goes alone.
    type: path
    default: ""
  exclude:
    description:
      - Patterns, as in C(.gitignore), of what else stays on the controller.
    type: list
    elements: str
    default: []
  environment:
    description:
      - "Python environment to make on the hosts: a lock file with hashes (requirements format, or C(uv.lock) beside its
        C(pyproject.toml)), or V(copy) for the one that Ansible runs in."
      - Without it, ranks run with the Python of C(mlx_python) as it is.
    type: path
    default: ""
  wheelhouse:
    description:
      - Directory on the controller that is filled with the wheels of the lock and sent, for hosts that reach no index.
    type: path
    default: ""
  index_url:
    description:
      - Package index. Without it, what C(uv) or C(pip) is configured to use.
    type: str
    default: ""
  root:
    description:
      - Directory on the hosts for all that is deployed, the same on every host.
      - Without it, C(/Users/Shared/mlxlaunch) if all hosts are Macs, else C(/opt/mlxlaunch).
    type: str
    default: ""
  keep:
    description:
      - Earlier environments and project versions that stay on the hosts.
    type: int
    default: 2
  hostfile:
    description:
      - An MLX hostfile, as data, that says which hosts run which ranks. Its hosts must be in the inventory.
      - For programs that launch. Without it, ranks follow from the group and C(mlx_slots).
    type: raw
  job:
    description:
      - The job's id. For programs that launch; without it, one is made.
    type: str
  control:
    description:
      - Path of a socket on the controller to which output and events go, and from which input and signals come.
      - For programs that launch. Without it, output goes to the terminal.
    type: path
  terminal:
    description:
      - Columns and lines of the terminal on which the job is watched.
      - For programs that launch. Without it, those of Ansible's own terminal, if it has one.
    type: list
    elements: int
attributes:
  action:
    support: full
    description: Has an action plugin, and consists of nothing else.
    details: What runs on the hosts is sent over one connection per host that stays open as long as the job runs.
  async:
    support: none
    description: Supports being used with the C(async) keyword.
    details: The action is where the job's output goes; use C(timeout) and C(log_dir) for long jobs.
  become:
    support: partial
    description: Is usable alongside become keywords.
    details: Only where the method asks for no password.
  bypass_host_loop:
    support: full
    description: Runs once, not once per host.
    details: C(forks) would start a task per host for some hosts only, and no job runs with some of its ranks.
  check_mode:
    support: full
    description: Can run in check_mode and predict changes without making any.
    details: Tells what would run where, and how, without asking any host; see RV(plan). Whether a script would succeed it cannot tell.
  connection:
    support: partial
    description: Uses each host's configured connection to execute code on it.
    details: Only ssh without a password, and local, can carry a live stream in both directions.
  diff_mode:
    support: none
    description: Returns details on what has changed, in diff mode.
    details: What a script changes is not known.
  platform:
    support: full
    platforms: macOS, Linux
    description: Target systems that can be operated against.
    details: Tested on Linux. What only macOS does is tested against recorded output of its commands.
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
      MLX_METAL_FAST_SYNCH: "1"
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
"""

RETURN = r"""
job:
  description: The job's id.
  returned: always
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
  description: Why the job ended, in one word.
  returned: when the hosts were asked
  type: str
  sample: rank_failed
message:
  description: The same for a person.
  returned: when the hosts were asked
  type: str
  sample: rank 1 on studio-2 exited with code 1 after 12.3 s
problems:
  description: What keeps hosts from being ready, by host.
  returned: when the hosts were asked
  type: dict
  sample:
    studio-2:
      - "python: /opt/mlxlaunch/env/bin/python does not exist"
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
  description: How each rank ended, in rank order.
  returned: when the hosts were asked
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
  description: The working directory of rank 0 on its host; empty when the host did not become ready.
  returned: when the hosts were asked
  type: str
  sample: /opt/mlxlaunch/projects/llm/16c6e6ec73f5b79a
"""
