# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The selector that the module `selectors` would choose, on Linux without that module.

What it imports, `collections` above all, costs a start there as much as all files of ours. Elsewhere it is used as it
is.
"""

from __future__ import annotations

import select

EVENT_READ, EVENT_WRITE = 1, 2  # as those of `selectors`


class _Key:
    """What was registered: file, descriptor, events and data."""

    __slots__ = ("data", "events", "fd", "fileobj")

    def __init__(self, fileobj, fd, events, data):
        self.fileobj = fileobj
        self.fd = fd
        self.events = events
        self.data = data


class EpollSelector:
    """The part of `selectors.EpollSelector` that a supervisor uses, with the same results and errors."""

    def __init__(self):
        self._epoll = select.epoll()
        self._keys = {}

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()

    def close(self):
        """Watch nothing any more."""
        self._epoll.close()
        self._keys.clear()

    def get_map(self):
        """Return what is registered, by descriptor."""
        return self._keys

    def register(self, fileobj, events, data=None):
        """Watch a file, or a descriptor, for events.

        Raises:
            KeyError: its descriptor is watched already.
            OSError: it cannot be watched.
        """
        fd = _descriptor(fileobj)
        if fd in self._keys:
            raise KeyError("%r (descriptor %d) is registered already" % (fileobj, fd))
        wanted = (select.EPOLLIN if events & EVENT_READ else 0) | (select.EPOLLOUT if events & EVENT_WRITE else 0)
        self._epoll.register(fd, wanted)
        self._keys[fd] = key = _Key(fileobj, fd, events, data)
        return key

    def unregister(self, fileobj):
        """Watch a file no longer; raise KeyError when it was not watched."""
        key = self._keys.pop(_descriptor(fileobj))
        try:
            self._epoll.unregister(key.fd)
        except OSError:
            pass  # it was closed meanwhile
        return key

    def select(self, timeout=None):
        """Return what is ready, as [(what was registered, events)].

        Args:
            timeout: seconds to wait for it at most, None for as long as it takes.
        """
        wait = -1 if timeout is None else max(0.0, timeout)  # epoll rounds up to a millisecond itself
        found = self._epoll.poll(wait, max(1, len(self._keys)))
        # An error, or the end, is for whoever waits, whatever for.
        masks = [(fd, (event & ~select.EPOLLOUT and EVENT_READ) | (event & ~select.EPOLLIN and EVENT_WRITE)) for fd, event in found]
        return [(self._keys[fd], mask & self._keys[fd].events) for fd, mask in masks if fd in self._keys]


def _descriptor(fileobj):
    return fileobj if isinstance(fileobj, int) else fileobj.fileno()


if hasattr(select, "epoll"):
    DefaultSelector = EpollSelector
else:
    from selectors import DefaultSelector

__all__ = ["EVENT_READ", "EVENT_WRITE", "DefaultSelector", "EpollSelector"]
