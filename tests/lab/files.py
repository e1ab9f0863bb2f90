"""The files a controller needs to reach a lab, as text. Pure."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from .spec import HostSpec, LabSpec


def ssh_config(spec: LabSpec, *, namespace: Path | None = None) -> str:
    """ssh client configuration.

    Args:
        spec: the lab.
        namespace: the controller's network; when given, ssh enters it by itself and works from anywhere.
    """
    blocks = [f"Host {host.name}\n  HostName {host.addresses[0]}\n" for host in spec.hosts]
    options = [
        "User root",
        f'IdentityFile "{spec.key}"',
        "IdentitiesOnly yes",
        f'UserKnownHostsFile "{spec.dir / "known_hosts"}"',
        "GlobalKnownHostsFile /dev/null",
        "StrictHostKeyChecking yes",
        "UpdateHostKeys no",
        "ConnectTimeout 30",  # for the exchange of keys too, which takes a busy machine some seconds
    ]
    if namespace:
        options += [f"ProxyCommand {_proxy_command(namespace)}", "ProxyUseFdpass yes"]
    everyone = "".join(f"  {option}\n" for option in options)
    return "".join(blocks) + f"Host {_all_names(spec)}\n{everyone}"


def known_hosts(spec: LabSpec, public_keys: dict[HostSpec, str]) -> str:
    """One line per host, under its name and each address."""
    lines = []
    for host in spec.hosts:
        kind, key = public_keys[host].split()[:2]
        lines.append(f"{','.join((host.name, *host.addresses))} {kind} {key}\n")
    return "".join(lines)


def inventory(spec: LabSpec) -> str:
    """Ansible inventory: group `mlx` with every host."""
    arguments = f"-F {shlex.quote(str(spec.dir / 'ssh_config'))}"
    hosts = "".join(f"    {host.name}: {{{_host_variables(host)}}}\n" for host in spec.hosts)
    return (
        "mlx:\n"
        "  vars:\n"
        "    ansible_user: root\n"
        "    ansible_host_key_checking: true\n"
        # Shared connections are named after the host's address, and every lab has the same addresses.
        f"    ansible_control_path_dir: {json.dumps(str(spec.dir / 'cp'))}\n"
        f"    ansible_ssh_common_args: {json.dumps(arguments)}\n"  # a JSON string is a YAML string
        f"    ansible_python_interpreter: {json.dumps(sys.executable)}\n"
        "  hosts:\n"
        f"{hosts}"
    )


def _host_variables(host: HostSpec) -> str:
    python = ", ansible_python_interpreter: /usr/bin/python3" if host.is_mac else ""
    return f"ansible_host: {host.addresses[0]}{python}"


def _all_names(spec: LabSpec) -> str:
    return " ".join(name for host in spec.hosts for name in (host.name, *host.addresses))


def _proxy_command(namespace: Path) -> str:
    script = Path(__file__).with_name("connect.py")
    command = ["nsenter", f"--net={namespace}", "--", sys.executable, "-I", "-S", str(script)]
    return f"{shlex.join(command)} %h %p"
