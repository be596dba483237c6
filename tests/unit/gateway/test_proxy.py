"""The PROXY protocol: what balancers say, and what is a forgery or a fragment."""

import ipaddress
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakelink.gateway.server.proxy import LONGEST_V1_BYTES, SIGNATURE, BadHeader, Header, parse_header

V4 = ipaddress.ip_address("192.0.2.7")
V6 = ipaddress.ip_address("2001:db8::7")


def v1(address, port, balancer="10.0.0.1"):
    family = "TCP4" if address.version == 4 else "TCP6"
    other = balancer if address.version == 4 else "2001:db8::1"
    return f"PROXY {family} {address} {other} {port} 22\r\n".encode()


def v2(address, port, tail=b"", command=1, kind=None):
    kind = kind if kind is not None else (0x11 if address.version == 4 else 0x21)
    body = address.packed + address.packed + struct.pack(">HH", port, 22) + tail
    return SIGNATURE + bytes([0x20 | command, kind]) + struct.pack(">H", len(body)) + body


addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6).filter(lambda each: each.ipv4_mapped is None))
ports = st.integers(0, 65535)


@given(addresses, ports, st.binary(max_size=50), st.sampled_from([v1, v2]))
def test_what_a_balancer_says_is_read_and_the_stream_begins_behind_it(address, port, rest, write):
    header = write(address, port)
    assert parse_header(header + rest) == Header(str(address), port, len(header))


@given(addresses, ports, st.sampled_from([v1, v2]), st.data())
def test_a_header_that_has_not_come_whole_is_waited_for(address, port, write, data):
    header = write(address, port)
    assert parse_header(header[: data.draw(st.integers(0, len(header) - 1))]) is None


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(data):
    try:
        header = parse_header(data)
    except BadHeader:
        return
    assert header is None or header.size_bytes <= len(data)


@given(st.binary(max_size=80))
def test_no_bytes_behind_the_signature_do_more_than_be_refused(data):
    try:
        header = parse_header(SIGNATURE + data)
    except BadHeader:
        return
    assert header is None or header.size_bytes <= len(SIGNATURE + data)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 1\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",
        b"PROXY TCP6 192.0.2.7 10.0.0.1 1 2\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 70000 22\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 -1 22\r\n",
        b"PROXY UDP4 192.0.2.7 10.0.0.1 1 22\r\n",
        b"PROXY TCP4 example.com 10.0.0.1 1 22\r\n",
        b"PROXY " + b"x" * LONGEST_V1_BYTES,
        v2(V4, 1).replace(b"\x21\x11", b"\x31\x11"),
        v2(V4, 1, command=5),
        v2(V4, 1, kind=0x21),
        v2(V4, 1, kind=0x12),
        v2(V4, 1, kind=0x31),
        v2(V4, 1, tail=b"x" * 5000),
    ],
)
def test_what_is_no_header_drops_the_connection(data):
    with pytest.raises(BadHeader):
        parse_header(data)


def test_a_balancers_own_connections_have_no_client():
    assert parse_header(v2(V4, 1, command=0)) == Header("", 0, len(v2(V4, 1)))
    assert parse_header(b"PROXY UNKNOWN\r\nSSH-") == Header("", 0, 15)
    assert parse_header(b"PROXY UNKNOWN a b c\r\n") == Header("", 0, 21)


def test_what_else_a_balancer_tells_is_passed_over():
    header = v2(V6, 5, tail=b"\x02\x00\x04host")
    assert parse_header(header + b"SSH-2.0") == Header(str(V6), 5, len(header))


def test_an_address_of_ipv4_in_the_clothes_of_ipv6_is_one_of_ipv4():
    mapped = ipaddress.ip_address("::ffff:192.0.2.7")
    assert parse_header(v2(mapped, 5)).address == "192.0.2.7"
    assert socket.inet_pton(socket.AF_INET6, str(mapped)) == mapped.packed
