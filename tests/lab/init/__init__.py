"""What runs inside a lab: its init, and how a host, a network and a slow line come to be there."""

from __future__ import annotations
