"""The zones of firewalld. Pure: files in, networks and findings out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from lakelink.gateway.takeover.fences import Fence, not_understood, port_in
from lakelink.gateway.takeover.words import network_of


def firewalld(zones: Mapping[str, str], ports: Sequence[int]) -> Fence:
    """Zone files by name. A zone without sources that opens the service lets anybody in; zones with sources, and rich rules, name networks."""
    fence = Fence()
    networks: list[str] = []
    is_open = False
    for name, text in sorted(zones.items()):
        try:
            zone = ET.fromstring(text)  # noqa: S314  # the server's own settings; ElementTree expands nothing from outside
        except ET.ParseError as error:
            fence.findings.append(not_understood(f"firewalld:{name}", str(error), ""))
            continue
        sources = [source.get("address", "") for source in zone.findall("source")]
        if _opens(zone, ports):
            is_open = is_open or not sources
            networks += _known(fence, name, sources)
        for rule in zone.findall("rule"):
            networks += _rich_rule(fence, name, rule, ports)
    fence.networks = [] if is_open else networks
    return fence


def _opens(element: ET.Element, ports: Sequence[int]) -> bool:
    if 22 in ports and any(service.get("name") == "ssh" for service in element.findall("service")):
        return True
    return any(
        port.get("protocol") == "tcp"
        and any(port_in(port.get("port", "").replace("-", ":"), wanted) for wanted in ports)
        for port in element.findall("port")
    )


def _rich_rule(fence: Fence, zone: str, rule: ET.Element, ports: Sequence[int]) -> list[str]:
    if not _opens(rule, ports) and (rule.find("service") is not None or rule.find("port") is not None):
        return []
    source = rule.find("source")
    known = {"source", "service", "port", "accept", "log", "audit"}
    if (
        source is None
        or rule.find("accept") is None
        or source.get("invert")
        or any(child.tag not in known for child in rule)
    ):
        fence.findings.append(not_understood(f"firewalld:{zone}", "a rich rule", ET.tostring(rule, "unicode").strip()))
        return []
    return _known(fence, zone, [source.get("address", "")])


def _known(fence: Fence, zone: str, sources: Sequence[str]) -> list[str]:
    found = [str(network) for text in sources if (network := network_of(text))]
    if len(found) != len(sources):
        fence.findings.append(not_understood(f"firewalld:{zone}", "a source that is no network", list(sources)))
    return found
