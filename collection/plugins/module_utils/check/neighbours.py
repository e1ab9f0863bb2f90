# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe of connections between ranks that are neighbours in the ring.

Its sockets belong to a program run by the ranks' own Python. On a Mac, a firewall or the Local Network permission stops
that program and no other. Its standard input is a pipe from the agent, so the end of the agent ends the listening.
"""

from __future__ import annotations

import os
import sys

_PATIENCE = 5.0  # seconds a listener may take to see that it is over
_listening = []  # process ids

# Both programs say names of errnos, as the numbers differ between systems: "" where there is none.

# Listens, says [errno, text] or null by address, and gives the token to whoever connects, until its input ends.
_LISTENER = r"""
import errno, json, select, socket, sys
addresses, token = json.loads(sys.argv[1])
said, sockets = {}, []
for address in addresses:
    ip, _, port = address.rpartition(":")
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind((ip, int(port)))
        one.listen(16)
    except OSError as exc:
        said[address] = [errno.errorcode.get(exc.errno, ""), exc.strerror]
        one.close()
        continue
    one.setblocking(False)
    sockets.append(one)
    said[address] = None
print(json.dumps(said), flush=True)
while True:
    ready = select.select([0, *sockets], [], [])[0]
    if 0 in ready:
        break
    for one in ready:
        try:
            with one.accept()[0] as met:
                met.sendall(token.encode())
        except OSError:
            pass
"""

# Connects to all at once; says [errno, text], null when the token came, for each.
_DIALER = r"""
import errno, json, os, select, socket, struct, sys, time
targets, token, patience = json.loads(sys.argv[1])
said, open_, got = [["ETIMEDOUT", "no answer"] for _ in targets], {}, {}
def problem(number):
    return [errno.errorcode.get(number, ""), os.strerror(number)]
for at, (address, source) in enumerate(targets):
    ip, _, port = address.rpartition(":")
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # leaves nothing in TIME_WAIT
    one.setblocking(False)
    try:
        if source:
            one.bind((source, 0))
        number = one.connect_ex((ip, int(port)))
    except OSError as exc:
        number = exc.errno
    if number in (0, errno.EINPROGRESS):
        open_[one], got[one] = at, b""
    else:
        said[at] = problem(number)
        one.close()
deadline, writing = time.monotonic() + patience, set(open_)
while open_ and time.monotonic() < deadline:
    reading, connected, _ = select.select(set(open_) - writing, writing, [], max(0.0, deadline - time.monotonic()))
    for one in connected:
        number = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        writing.discard(one)
        if number:
            said[open_.pop(one)] = problem(number)
            one.close()
        else:
            said[open_[one]] = ["", "connected, and nothing came"]
    for one in reading:
        try:
            data = one.recv(1000)
        except OSError as exc:
            data, said[open_[one]] = b"", problem(exc.errno)
        got[one] += data
        if got[one] == token.encode():
            said[open_.pop(one)] = None
            one.close()
        elif not data or not token.startswith(got[one].decode("latin-1")):
            said[open_.pop(one)] = ["", "connected, but to something else"]
            one.close()
print("DIALED " + json.dumps(said))
"""


def listen(agent, python, addresses, token):
    """Listen at addresses until `hush`, or the end of this agent; return by address None, or [errno, text].

    Args:
        python: interpreter to do it with; empty for the one that runs this.
        addresses: ["ip:port"].
        token: text that a caller is given, so that it knows whom it has reached.
    """
    import json
    import subprocess

    process = subprocess.Popen(
        [python or sys.executable, "-I", "-S", "-c", _LISTENER, json.dumps([addresses, token])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    agent.at_end[process.pid] = lambda: _end(process)
    _listening.append(process.pid)
    line = process.stdout.readline()
    if not line:
        hush(agent)
        return {address: ["", "%s ended at once" % (python or sys.executable)] for address in addresses}
    return json.loads(line.decode())


def hush(agent):
    """Stop listening."""
    while _listening:
        agent.at_end.pop(_listening.pop())()


def _end(process):
    import select

    process.stdin.close()
    if not select.select([process.stdout], [], [], _PATIENCE)[0]:  # its end
        process.kill()
    process.wait()
    process.stdout.close()


def dial(agent, python, targets, token, patience):
    """Connect to where neighbours listen; return for each target None, or [errno, text].

    Args:
        python: interpreter to do it with; empty for the one that runs this.
        targets: [["ip:port", own address to connect from, or empty]].
        token: what they answer.
        patience: seconds for all of them together.
    """
    import json

    argv = [python or sys.executable, "-I", "-S", "-c", _DIALER, json.dumps([targets, token, patience])]
    status, text = agent.run(argv, timeout=patience + 30.0, cwd=os.sep)
    answers = [line[len("DIALED ") :] for line in text.splitlines() if line.startswith("DIALED ")]
    if not answers:
        lines = text.strip().splitlines() or ["it ended with status %d" % status]
        return [["", lines[-1]] for _target in targets]
    return json.loads(answers[-1])
