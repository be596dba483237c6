"""Lists of addresses around an old server: translated where they say "these may, nobody else", a blocker everywhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakelink.gateway.takeover.fences import fail2ban, tcp_wrappers
from lakelink.gateway.takeover.firewalld import firewalld
from lakelink.gateway.takeover.iptables import iptables
from lakelink.gateway.takeover.nft import nftables

PORTS = [22]


def outcome(fence):
    """The networks, or "blocked"."""
    return "blocked" if fence.findings else fence.networks


@pytest.mark.parametrize(
    ("allow", "deny", "expected"),
    [
        ("", "", []),
        ("sshd: 10.1.", "", []),  # nobody is denied, so that everybody may
        ("sshd: 10.1., 192.0.2.0/255.255.255.0", "ALL: ALL", ["10.1.0.0/16", "192.0.2.0/24"]),
        ("sshd: [2001:db8::]/32", "sshd: ALL", ["2001:db8::/32"]),
        ("vsftpd: 10.", "vsftpd: ALL", []),
        ("ALL: ALL", "ALL: ALL", []),
        ("", "ALL: ALL", None),
        ("sshd: .example.com", "ALL: ALL", "blocked"),
        ("sshd: ALL EXCEPT 10.0.0.1", "ALL: ALL", "blocked"),
        ("sshd: 10.0.0.1: spawn /bin/x", "ALL: ALL", "blocked"),
        ("", "sshd: 203.0.113.9", "blocked"),
    ],
)
def test_tcp_wrappers(allow, deny, expected):
    assert outcome(tcp_wrappers(allow, deny)) == expected


def chain(rules, policy="drop"):
    base = {"family": "inet", "table": "filter"}
    items = [{"chain": base | {"name": "input", "hook": "input", "policy": policy}}]
    return {"nftables": [*items, *({"rule": base | {"chain": "input", "expr": rule}} for rule in rules)]}


def match(protocol, key, right, op="=="):
    return {"match": {"op": op, "left": {"payload": {"protocol": protocol, "field": key}}, "right": right}}


ACCEPT, DROP = {"accept": None}, {"drop": None}
SSH = match("tcp", "dport", 22)
PARTNERS = match("ip", "saddr", {"prefix": {"addr": "203.0.113.0", "len": 24}})
ESTABLISHED = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}
LOOPBACK = {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "lo"}}


@pytest.mark.parametrize(
    ("rules", "policy", "expected"),
    [
        ([], "accept", []),
        ([[SSH, ACCEPT]], "drop", []),
        (
            [[ESTABLISHED, ACCEPT], [LOOPBACK, ACCEPT], [SSH, PARTNERS, {"counter": {}}, ACCEPT]],
            "drop",
            ["203.0.113.0/24"],
        ),
        (
            [[SSH, match("ip", "saddr", {"set": ["192.0.2.1", "198.51.100.7"]}), ACCEPT]],
            "drop",
            ["192.0.2.1/32", "198.51.100.7/32"],
        ),
        ([[SSH, PARTNERS, ACCEPT], [SSH, DROP]], "accept", ["203.0.113.0/24"]),
        ([[match("tcp", "dport", {"set": [80, {"range": [20, 30]}]}), PARTNERS, ACCEPT]], "drop", ["203.0.113.0/24"]),
        ([[match("tcp", "dport", 80), ACCEPT]], "accept", []),
        ([[PARTNERS, ACCEPT]], "drop", ["203.0.113.0/24"]),
        ([[SSH, PARTNERS, DROP]], "accept", "blocked"),
        ([[SSH, match("ip", "saddr", "@partners"), ACCEPT]], "drop", "blocked"),
        ([[SSH, {"limit": {"rate": 3}}, ACCEPT]], "drop", "blocked"),
        ([[SSH, {"jump": {"target": "ssh"}}]], "drop", "blocked"),
        ([[SSH, match("ip", "saddr", "10.0.0.0/8", "!="), ACCEPT]], "drop", "blocked"),
    ],
)
def test_nftables(rules, policy, expected):
    assert outcome(nftables(chain(rules, policy), PORTS)) == expected


@pytest.mark.parametrize(
    ("rules", "policy", "expected"),
    [
        ("", "ACCEPT", []),
        ("-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT", "DROP", []),
        (
            "-A INPUT -i lo -j ACCEPT\n-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT -s 203.0.113.0/24 -p tcp -m tcp --dport 22 -j ACCEPT",
            "DROP",
            ["203.0.113.0/24"],
        ),
        (
            "-A INPUT -s 203.0.113.9/32 -p tcp -m multiport --dports 22,80 -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 22 -j REJECT --reject-with tcp-reset",
            "ACCEPT",
            ["203.0.113.9/32"],
        ),
        ("-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT", "ACCEPT", []),
        ("-A INPUT -p tcp -m tcp --dport 22 -j f2b-sshd", "ACCEPT", "blocked"),
        ("-A INPUT ! -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -j DROP", "ACCEPT", "blocked"),
        ("-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -j DROP", "ACCEPT", "blocked"),
        ("-A ssh -p tcp -m tcp --dport 22 -j ACCEPT", "DROP", "blocked"),
    ],
)
def test_iptables(rules, policy, expected):
    assert outcome(iptables(f"*filter\n:INPUT {policy} [0:0]\n{rules}\nCOMMIT\n", PORTS)) == expected


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("<zone><service name='ssh'/></zone>", []),
        ("<zone><source address='203.0.113.0/24'/><service name='ssh'/></zone>", ["203.0.113.0/24"]),
        ("<zone><source address='203.0.113.0/24'/><port port='20-30' protocol='tcp'/></zone>", ["203.0.113.0/24"]),
        ("<zone><rule><source address='192.0.2.7'/><service name='ssh'/><accept/></rule></zone>", ["192.0.2.7/32"]),
        ("<zone><rule><source address='192.0.2.7'/><service name='http'/><accept/></rule></zone>", []),
        ("<zone><rule><source address='192.0.2.7'/><service name='ssh'/><drop/></rule></zone>", "blocked"),
        ("<zone><source ipset='partners'/><service name='ssh'/></zone>", "blocked"),
        ("<zone", "blocked"),
    ],
)
def test_firewalld(zone, expected):
    assert outcome(firewalld({"public.xml": zone}, PORTS)) == expected


def test_whom_fail2ban_never_bans():
    text = "[DEFAULT]\nignoreip = 127.0.0.1/8 ::1\n    203.0.113.0/24, example.com\n[sshd]\nenabled = true\n"
    assert fail2ban([text]) == ["127.0.0.0/8", "::1/128", "203.0.113.0/24"]


@given(st.text(), st.text())
def test_no_text_breaks_a_reader(one, two):
    tcp_wrappers(one, two)
    firewalld({"a.xml": one}, PORTS)
    fail2ban([one])
    iptables(f"*filter\n:INPUT DROP\n-A INPUT {one.replace(chr(34), '').replace(chr(39), '')}\n", PORTS)
