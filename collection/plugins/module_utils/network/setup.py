# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set the ports of this Mac up, and undo that. One port a call, so that the controller knows how far it has come.

Before a port is changed for the first time, its state is written down, for root alone to write and outside of all that
is deployed; and before every change, all that is going to be set. Undoing goes back to that state, also after a setup
that broke off. A setting that is in neither is somebody else's, and is left alone.
"""

from __future__ import annotations

import time

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.reached import unmapped
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.record import MAC_FOLDER, Record
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network import ports
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.network import port_setup

_SETTLE, _LOOK = 5.0, 0.1  # seconds until a port has its address, and between two looks


def set_up(agent, port, keep, check, folder=MAC_FOLDER):
    """Let a port have one address, and be in no bridge.

    Args:
        port: {"interface", "ip", "mask"}.
        keep: addresses that must stay, as the connection with the controller uses them.
        check: change nothing, only tell.

    Returns:
        {"interface", "before": text, "after": text, "steps": [argv], "persistent": bool, "rejoins": bridge,
         "note": text}. A port that failed on the way has "error", and its steps are those that were done.

    Raises:
        CallFailed: it cannot be changed, or must not be, and nothing was.
    """
    now = ports.read_port(agent, port["interface"])
    wanted = port_setup.wanted_state(now, port["ip"], port["mask"])
    steps = port_setup.steps(now, wanted)
    if steps:
        _refuse_services(now)
        _refuse_cut(agent, now, keep)
    if steps and not check:
        with _record(folder) as record:
            return _change(agent, record, now, wanted)
    return _told(now, wanted, steps)


def undo(agent, keep, check, folder=MAC_FOLDER):
    """Return every recorded port to its state; the record goes when all are there.

    Returns:
        As `set_up`, a list; a port that cannot be changed has "interface", no steps and "error".
    """
    recorded = _record(folder).read().entries
    if check:
        return [_undo_port(agent, each, keep, check) for each in recorded.values()]
    if not recorded:
        return []
    with _record(folder) as record:
        done = []
        for key, each in list(record.entries.items()):
            done.append(_undo_port(agent, each, keep, check))
            if not done[-1].get("error"):
                record.forget(key)
        return done


def _record(folder):
    return Record(folder, "network", "ports", "set the ports back by hand")


def _remember(agent, record, now, wanted):
    """Write down what was there before, unless something older is, and what is going to be there."""
    found = _hardware(agent) if record.entries else {}
    here = [key for key, each in record.entries.items() if _interface_now(found, each["before"]) == now["interface"]]
    key = here[0] if here else _free_key(record.entries, now)
    entry = record.entries.get(key, {"before": now, "set": {}})
    given = {
        name: earlier + [each for each in more if each not in earlier]
        for name, more in port_setup.settings_of(now, wanted).items()
        for earlier in [entry["set"].get(name, [])]
    }
    record.put(key, dict(entry, set=given))


def _undo_port(agent, entry, keep, check):
    try:
        now, wanted, notes = _way_back(agent, entry)
        steps = port_setup.steps(now, wanted)
        if steps:
            _refuse_cut(agent, now, keep)
    except CallFailed as exc:
        return {"interface": entry["before"]["interface"], "steps": [], "error": str(exc)}
    told = dict(_told(now, wanted, steps), note="; ".join(notes) or ("" if steps else "it was so already"))
    done = []
    try:
        if steps and not check:
            _run(agent, steps, done)
            if not _comes(lambda: _is_back(agent, entry)):
                raise CallFailed("it is not as it was before")
    except CallFailed as exc:
        return _failed(agent, told, done, str(exc))
    return told


def _way_back(agent, entry):
    """Return the state of a recorded port, the one to go back to, and lines about what is not taken back."""
    before = entry["before"]
    own = [each["name"] for each in [before["service"], *entry["set"]["services"]] if each]
    now = ports.read_port(agent, _interface_now(_hardware(agent), before), own)
    wanted, notes = port_setup.taken_back(now, before, entry["set"])
    if wanted["bridge"] != now["bridge"] and not ports.has_interface(agent, wanted["bridge"]):
        notes = [*notes, "there is no %s any more, so it is not put back in" % wanted["bridge"]]
        wanted = dict(wanted, bridge=now["bridge"])
    return now, wanted, notes


def _is_back(agent, entry):
    """Return whether a recorded port is as it was. It may be waiting for DHCP: nobody may answer."""
    now, wanted, _notes = _way_back(agent, entry)
    return not port_setup.steps(now, dict(wanted, leased=[]))


def _hardware(agent):
    """Return {interface: name of its hardware port}."""
    return ports.parse_ports(ports.run(agent, ["networksetup", "-listallhardwareports"])[0])


def _interface_now(found, recorded):
    """Return the interface that a recorded port has now, by the hardware ports: macOS may number them anew."""
    name = recorded["interface"]
    if not recorded["hardware"] or found.get(name) == recorded["hardware"]:  # two ports may have one name
        return name
    return next((device for device, port in found.items() if port == recorded["hardware"]), name)


def _free_key(entries, port):
    """Return a key for a port; an earlier one may have had its interface."""
    return port["interface"] if port["interface"] not in entries else "%s, %s" % (port["interface"], port["hardware"])


def _refuse_services(now):
    """Raise CallFailed when a port would not have one address alone, or its service could not be set back."""
    if now["others"]:
        names = " and ".join('"%s"' % name for name in [now["service"]["name"], *now["others"]])
        raise CallFailed("%s has the services %s; switch all but one off, then run this again" % (now["interface"], names))
    if now["service"] and now["service"]["method"] == port_setup.OTHER:
        text = '%s has the service "%s", set in a way that could not be set back; let it use DHCP, then run this again'
        raise CallFailed(text % (now["interface"], now["service"]["name"]))


def _refuse_cut(agent, now, keep):
    """Raise CallFailed when a change of a port would take away an address that the controller's connection uses."""
    names = [name for name in (now["interface"], now["bridge"]) if name]
    here = ports.addresses_of(agent, names) if keep else set()
    cut = [address for address in keep if _is_here(address, here, names)]
    if cut:
        text = "%s carries the connection by which it would be changed (%s); connect over another network, then run this again"
        raise CallFailed(text % (now["interface"], cut[0]))


def _is_here(address, here, names):
    """Return whether an address as sshd tells it, IPv6 with a zone and IPv4 mapped, is one of an interface's."""
    plain, _percent, zone = address.partition("%")
    return zone in names if zone else unmapped(plain) in here


def _change(agent, record, now, wanted):
    _remember(agent, record, now, wanted)
    name, done, note = now["interface"], [], ""
    steps = port_setup.steps(now, wanted)
    try:
        try:
            _run(agent, steps, done)
        except CallFailed as exc:
            if steps[len(done)][0] != "networksetup":
                raise
            # No service can be had: an address until the next restart. A service that was made halfway goes.
            note = "its service could not be set: %s" % exc
            wanted = port_setup.without_service(now, wanted)
            _remember(agent, record, now, wanted)
            _run(agent, port_setup.steps(ports.read_port(agent, name), wanted), done)
        if not _comes(lambda: ports.read_port(agent, name)["addresses"] == wanted["addresses"]):
            raise CallFailed("it has not got %s alone" % wanted["addresses"][0][0])
    except CallFailed as exc:
        return _failed(agent, _told(now, wanted, done), done, "; ".join(part for part in (note, str(exc)) if part))
    return dict(_told(now, wanted, done), note=note)


def _run(agent, steps, done):
    """Run programs, and add each to those that are done; raise CallFailed at the first that fails."""
    for argv in steps:
        reason = ports.run(agent, argv)[1]
        if reason:
            raise CallFailed(reason)
        done.append(argv)


def _failed(agent, told, done, reason):
    """Return the answer about a port whose change has failed, with its state as it is now."""
    try:
        after = port_setup.describe(ports.read_port(agent, told["interface"]))
    except CallFailed:
        after = "%s: not known" % told["interface"]
    return dict(told, after=after, steps=done, error="%s; now %s" % (reason, after))


def _comes(look):
    """Return whether something comes about in time; a service takes a moment to give an address."""
    deadline = time.monotonic() + _SETTLE
    while not look():
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK)
    return True


def _told(now, wanted, steps):
    return {
        "interface": now["interface"],
        "before": port_setup.describe(now),
        "after": port_setup.describe(wanted),
        "steps": steps,
        "persistent": port_setup.is_persistent(wanted),
        "rejoins": now["bridge"] if not wanted["bridge"] else "",
        "note": "",
    }
