"""ProxyCommand of a lab for people: connect inside the lab's network and hand the connection to ssh.

`nsenter` runs this script in the controller's network: connect.py ADDRESS PORT, with ProxyUseFdpass.
"""

from __future__ import annotations

import socket
import sys

if __name__ == "__main__":
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10) as connection:
        connection.settimeout(None)
        with socket.socket(fileno=1) as ssh:
            socket.send_fds(ssh, [b"\0"], [connection.fileno()])
