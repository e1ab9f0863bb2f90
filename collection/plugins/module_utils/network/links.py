# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections over links, to verify and to measure them, by the ranks' own Python: a firewall may stop that one alone.

Each connection is bound to the address and to the interface of its link, so that nothing can take another way.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

_PATIENCE = 5.0  # seconds that a listener may take to end
_MOST = 120.0  # seconds for a rank of the ring
_LISTENER_KEY = "links"

# Part of both programs: the next bytes of a connection.
_EXACTLY = r"""
def exactly(one, count):
    data = b""
    while len(data) < count:
        piece = one.recv(count - len(data))
        if not piece:
            raise OSError(errno.ECONNRESET, "the other end has closed")
        data += piece
    return data
"""

# Listens on addresses, says port or [errno, text] of each, then serves until its input ends. A connection begins with
# the token and a letter: e echoes, b counts bytes until they end. It answers with the token.
_LISTENER = (
    r"""
import errno, json, os, socket, struct, sys, threading
addresses, token = json.loads(sys.argv[1])
token = token.encode()
"""
    + _EXACTLY
    + r"""
def serve(one):
    try:
        one.settimeout(30)
        with one:
            if exactly(one, len(token)) != token:
                return
            mode = exactly(one, 1)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.sendall(token)
            if mode == b"e":
                while True:
                    one.sendall(exactly(one, 1))
            room, total = bytearray(1 << 20), 0
            while True:
                count = one.recv_into(room)
                if not count:
                    break
                total += count
            one.sendall(struct.pack("!Q", total))
    except OSError:
        pass
def listen(one):
    while True:
        try:
            met = one.accept()[0]
        except OSError:
            return
        threading.Thread(target=serve, args=(met,), daemon=True).start()
said = {}
for address in addresses:
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        one.bind((address, 0))
        one.listen(16)
    except OSError as exc:
        said[address] = [errno.errorcode.get(exc.errno, ""), exc.strerror]
        continue
    said[address] = one.getsockname()[1]
    threading.Thread(target=listen, args=(one,), daemon=True).start()
print(json.dumps(said), flush=True)
sys.stdin.buffer.read()
os._exit(0)
"""
)

# Connects over all links at once. Says for each {"error": [errno, text]} or {"latency": s, "bandwidth": bits/s}.
_CALLER = (
    r"""
import errno, json, os, socket, struct, sys, threading, time
targets, token, seconds, patience = json.loads(sys.argv[1])
token = token.encode()
"""
    + _EXACTLY
    + r"""
def connect(target, mode):
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    one.settimeout(patience)
    if target["interface"]:
        if sys.platform == "darwin":
            one.setsockopt(socket.IPPROTO_IP, 25, socket.if_nametoindex(target["interface"]))  # IP_BOUND_IF of <netinet/in.h>
        elif hasattr(socket, "SO_BINDTODEVICE"):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, target["interface"].encode() + b"\0")
    one.bind((target["source"], 0))
    one.connect((target["address"], target["port"]))
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    one.sendall(token + mode)
    if exactly(one, len(token)) != token:
        raise OSError(errno.EPROTO, "something else answers")
    return one
def latency(target):
    times = []
    with connect(target, b"e") as one:
        end = time.monotonic() + min(0.3, seconds)
        while not times or (seconds and time.monotonic() < end and len(times) < 1000):
            begun = time.monotonic()
            one.sendall(b".")
            exactly(one, 1)
            times.append(time.monotonic() - begun)
    return sorted(times)[len(times) // 2]
def bandwidth(target):
    with connect(target, b"b") as one:
        data, begun = bytes(1 << 20), time.monotonic()
        while time.monotonic() < begun + seconds:
            one.send(data)
        one.shutdown(socket.SHUT_WR)
        total = struct.unpack("!Q", exactly(one, 8))[0]
        return 8 * total / (time.monotonic() - begun)
def measure(at, target):
    try:
        said[at] = {"latency": latency(target)}
        if seconds:
            said[at]["bandwidth"] = bandwidth(target)
    except (TimeoutError, socket.timeout):
        said[at] = {"error": ["ETIMEDOUT", "no answer"]}
    except OSError as exc:
        said[at] = {"error": [errno.errorcode.get(exc.errno, ""), exc.strerror or str(exc)]}
said = [{"error": ["ETIMEDOUT", "no answer"]} for _ in targets]
threads = [threading.Thread(target=measure, args=each, daemon=True) for each in enumerate(targets)]
for thread in threads:
    thread.start()
end = time.monotonic() + 3 * patience + 2 * seconds
for thread in threads:
    thread.join(max(0.0, end - time.monotonic()))
print("LINKS " + json.dumps(said), flush=True)
os._exit(0)
"""
)

# One rank of MLX's ring: sums, and the time of a round with much data.
_RANK = r"""
import json, sys, time
import mlx.core as mx
group = mx.distributed.init(strict=True, backend="ring")
def once(size):
    begun = time.perf_counter()
    mx.eval(mx.distributed.all_sum(mx.ones((size,)), group=group, stream=mx.cpu))
    return time.perf_counter() - begun
total = mx.distributed.all_sum(mx.array(float(group.rank() + 1)), group=group, stream=mx.cpu).item()
small = sorted(once(1) for _ in range(20))[10]
size = 1 << 20
large = min(once(size) for _ in range(3))
print("RING " + json.dumps({"size": group.size(), "sum": total, "latency": small, "bytes": 4 * size, "seconds": large}), flush=True)
"""


def _python(wanted):
    return wanted if wanted and os.access(wanted, os.X_OK) else sys.executable


def answer(agent, python, addresses, token):
    """Listen on addresses until `silence`, or the end of this agent; return by address its port, or [errno, text].

    Args:
        python: interpreter to do it with, where it is on this host.
        addresses: own IPv4 addresses.
        token: what a caller has to say, and is answered.
    """
    process = subprocess.Popen(
        [_python(python), "-I", "-S", "-c", _LISTENER, json.dumps([addresses, token])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    agent.at_end[_LISTENER_KEY, process.pid] = lambda: _end(process)
    line = process.stdout.readline()
    if not line:
        silence(agent)
        return {address: ["", "%s ended at once" % _python(python)] for address in addresses}
    return json.loads(line.decode())


def silence(agent):
    """Stop listening."""
    for key in [key for key in agent.at_end if isinstance(key, tuple) and key[0] == _LISTENER_KEY]:
        agent.at_end.pop(key)()


def _end(process):
    process.stdin.close()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


def attempt(agent, python, targets, token, seconds, patience):
    """Connect over links; return for each {"error": [errno, text]} or {"latency": s, "bandwidth": bits/s}.

    Args:
        python: as for `answer`.
        targets: [{"address", "port", "source", "interface"}].
        token: what to say.
        seconds: how long to send; 0 to connect only.
        patience: seconds for a connection.
    """
    argv = [_python(python), "-I", "-S", "-c", _CALLER, json.dumps([targets, token, seconds, patience])]
    _status, text = agent.run(argv, timeout=4 * patience + 3 * seconds + 10.0, cwd="/")
    found = [line[len("LINKS ") :] for line in text.splitlines() if line.startswith("LINKS ")]
    if found:
        return json.loads(found[-1])
    last = (text.strip().splitlines() or ["it ended without an answer"])[-1][:200]
    return [{"error": ["", last]} for _target in targets]


def ring_sum(agent, python, rank, ring):
    """Be a rank of MLX's ring; return {"size", "sum", "latency", "bytes", "seconds"} or {"error": text}.

    Args:
        python: interpreter with MLX.
        rank: its number.
        ring: the text of MLX's hostfile.
    """
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".json") as hostfile:
        hostfile.write(ring)
        hostfile.flush()
        env = dict(os.environ, MLX_RANK=str(rank), MLX_HOSTFILE=hostfile.name)
        _status, text = agent.run([_python(python), "-c", _RANK], env=env, timeout=_MOST, cwd="/")
    found = [line[len("RING ") :] for line in text.splitlines() if line.startswith("RING ")]
    if found:
        return json.loads(found[-1])
    return {"error": (text.strip().splitlines() or ["it ended without an answer"])[-1][:300]}
