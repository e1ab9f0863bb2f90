# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that are sent to a host, and the command that runs one there under any login shell."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from functools import cache

from ...module_utils.shared.names import BOOT, PYTHONS
from ..job.host_sources import HostSources
from .login_shell import in_sh, shell_word
from .programs.closure import source
from .programs.payload import program


@cache
def supervisor() -> bytes:
    """Return the program that runs the ranks of a host."""
    return program("launch.supervisor")


@cache
def agent() -> bytes:
    """Return the program that answers calls about a host, and changes what is deployed there."""
    return program("agent.main")


@cache
def host_sources() -> HostSources:
    """Return the programs that travel in a specification and run beside ranks."""
    return HostSources(**{name: source(f"launch.{name}") for name in ("sitecustomize_hook", "init_guard", "mpi_shim")})


def _path_word(path: str) -> str:
    """Return a path as a word for sh, with `~/` at its beginning as the home directory there."""
    return f'"$HOME"/{shell_word(path[2:])}' if path.startswith("~/") else shell_word(path)


_NONE = "no Python 3 was found to run mlxlaunch on this host"
_NO_TOOLS = "the command line tools are missing, without which /usr/bin/python3 opens a dialog; mlxlaunch prepare --apply installs them"
_NONE_FOR_ROOT = "no Python 3 was found to run mlxlaunch on this host that only root can change: install one, or set mlx_trust_owner"
# Tells the output of login shells, sshd and sudo from what the host has to say about the program.
STARTED = "mlxlaunch: started"
# A Python that cannot run here, such as another CPU's, or is too old, leaves the others their turn; -V starts no interpreter.
# On a Mac without the command line tools, Apple's opens a dialog, whatever its arguments. A path needs no search in a process.
_RUN = (
    "stub() { [ -x /usr/bin/xcode-select ] && ! /usr/bin/xcode-select -p >/dev/null 2>&1; };"
    ' old=; run() { case $1 in */*) [ -x "$1" ] || return 0; p=$1;; *) p=$(command -v "$1" 2>/dev/null) || return 0;; esac;'
    ' if [ "$p" = /usr/bin/python3 ] && stub; then none=TOOLS; return 0; fi;'
    ' v=$("$1" -V 2>&1 </dev/null); case $v in'
    ' "Python 3."[0-8]|"Python 3."[0-8].*|"Python 2."*)'
    ' old="$v at $1 is too old, 3.9 is needed; set ansible_python_interpreter to another, or install one";;'
    ' "Python "[3-9]*) exec "$1" -I -S -c BOOT;; esac; };'
    ' named() { run "$1"; [ -z "$old" ] || fail; }; fail() { echo "${old:-$none}" >&2; exit 127; }'
)
_SYSTEM = "run /usr/bin/python3"
# Whether nobody but root can change a program: all parts of its path, as the system walks it, links to programs and to
# directories and what they lead to included. The walk needs a process for each link only; then one looks at all parts.
_SAFE = (
    'safe() { case $1 in */*) r=$1;; *) r=$(command -v "$1") || return 1;; esac; [ -x "$r" ] || return 1;'
    ' case $r in /*) ;; *) r=$PWD/$r;; esac; d=; set -- /; while [ -n "$r" ]; do'
    " c=${r%%/*}; case $r in */*) r=${r#*/};; *) r=;; esac;"
    ' case $c in ""|.) ;; ..) d=${d%/*};; *) p=$d/$c; set -- "$@" "$p";'
    ' if [ -h "$p" ]; then l=$(readlink "$p") || return 1; case $l in /*) d=;; esac; r=$l/$r; else d=$p; fi;; esac; done;'
    r' [ -z "$(find "$@" -prune ! \( \( TRUSTED \) \( CLOSED \) \) 2>&1)" ]; }'
)
_CLOSED = "-type l -o ! -perm -020 ! -perm -002 -o -type d -perm -1000"  # or sticky, where others cannot touch what is not theirs


def boot_code(sent: bytes) -> str:
    """Return the code that Python is given with -c to run a program that is sent to its standard input.

    Called with -I and -S: nothing of the user's (PYTHONPATH, site-packages) can break it, and it starts faster. It
    names the program by its digest, so that equal command lines are for equal programs.
    """
    return f"import sys,zlib;z=zlib.decompressobj();{BOOT}{len(sent)})))#{_digest(sent)}"


@cache
def _digest(sent: bytes) -> str:
    return hashlib.sha256(sent).hexdigest()[:16]


def host_command(own: Sequence[str], sent: bytes, more: Sequence[str] = (), trust_owner: str = "") -> str:
    """Return the shell command that starts a program on a host, under any login shell.

    Root runs no interpreter that a plain user could change, and prefers the system's to those that somebody installed.

    Args:
        own: interpreters that the user has named for this, best first; one that is too old ends the search.
        sent: the program that will be sent to its standard input.
        more: interpreters that may be there; those that every host may have follow.
        trust_owner: name of a user whose interpreters root may run too; "" for none.
    """
    run = _RUN.replace("BOOT", shlex.quote(boot_code(sent))).replace("TOOLS", shlex.quote(_NO_TOOLS))
    tries = {_path_word(python): "named" if python in own else "run" for python in (*own, *more, *PYTHONS)}
    trusted = f"-user 0 -o -user {trust_owner}" if trust_owner else "-user 0"
    safe = [f"safe {python} && {run_it} {python}" for python, run_it in tries.items()]
    safe.insert(len(own), _SYSTEM)
    as_root = [f"none={shlex.quote(_NONE_FOR_ROOT)}", _SAFE.replace("TRUSTED", trusted).replace("CLOSED", _CLOSED), *safe]
    as_other = [f"none={shlex.quote(_NONE)}", *(f"{run_it} {python}" for python, run_it in tries.items())]
    script = f"echo {STARTED} >&2; {run}; if [ -O / ]; then {'; '.join(as_root)}; else {'; '.join(as_other)}; fi; fail"
    return in_sh(script)
