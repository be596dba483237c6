"""Metrics as Prometheus reads them, and the port where they are read."""

import asyncio
import dataclasses
import re
import socket

import pytest

from lakelink.daemon.metrics import render
from lakelink.daemon.process import Usage, usage
from lakelink.daemon.scrape import MetricsServer
from lakelink.errors import ConfigError
from lakelink.model.linkspec import LATENCY_BOUNDS_S, Flow, LinkState, LinkStatus

SAMPLE = re.compile(r'[a-z_]+(\{[a-z]+="(\\.|[^"\\])*"(,[a-z]+="(\\.|[^"\\])*")*\})? -?[0-9.e+-]+')
USED = Usage(open_files=30, max_open_files=1024, threads=5, rss_bytes=1 << 20, cpu_s=1.5)
COUNTS = (1, 2) + (0,) * (len(LATENCY_BOUNDS_S) - 2) + (4,)
LINK = LinkStatus(
    name="logs",
    ident="i",
    files="/srv",
    lake="s3://lake",
    state=LinkState.MISCONFIGURED,
    paused=True,
    declared=False,
    conflicts=3,
    exports=Flow(pending=7, oldest_queued_s=2.5, bytes=1000, latency_counts=COUNTS, latency_sum_s=9.25),
    errors=(("LL300", 2),),
)


def page(*links):
    return render(links, USED, started_s=1.0, version="1.0")


def test_every_line_is_a_comment_or_a_sample_and_every_sample_has_its_help():
    helped = set()
    for line in page(LINK).splitlines():
        if line.startswith("# HELP "):
            helped.add(line.split()[2])
        elif not line.startswith("# TYPE "):
            assert SAMPLE.fullmatch(line), line
            name = re.split(r"[{ ]", line)[0]
            assert {name, re.sub("_(bucket|sum|count)$", "", name)} & helped, line


def test_the_figures_of_a_link_are_there():
    lines = page(LINK).splitlines()
    for expected in (
        'lakelink_link_state{link="logs",state="MISCONFIGURED"} 1',
        'lakelink_link_state{link="logs",state="AVAILABLE"} 0',
        'lakelink_link_paused{link="logs"} 1',
        'lakelink_open_conflicts{link="logs"} 3',
        'lakelink_pending_changes{link="logs",direction="export"} 7',
        'lakelink_age_of_oldest_queued_seconds{link="logs",direction="export"} 2.5',
        'lakelink_bytes_total{link="logs",direction="export"} 1000',
        'lakelink_errors_total{link="logs",code="LL300"} 2',
        "lakelink_open_files 30",
    ):
        assert expected in lines


def test_histograms_are_cumulative():
    lines = page(LINK).splitlines()
    buckets = [
        int(line.split()[-1])
        for line in lines
        if line.startswith("lakelink_latency_seconds_bucket") and "export" in line
    ]
    assert buckets == [1, 3, *[3] * (len(LATENCY_BOUNDS_S) - 2), 7]
    assert 'lakelink_latency_seconds_count{link="logs",direction="export"} 7' in lines
    assert 'lakelink_latency_seconds_sum{link="logs",direction="export"} 9.25' in lines
    assert 'lakelink_latency_seconds_count{link="logs",direction="import"} 0' in lines


def test_names_are_escaped():
    odd = dataclasses.replace(LINK, name='a"b\\c\nd')
    assert 'lakelink_held_paths{link="a\\"b\\\\c\\nd"} 0' in page(odd).splitlines()


def test_this_process_is_measured():
    used = usage()
    assert used.open_files > 2
    assert used.threads >= 1
    assert used.rss_bytes > 1 << 20


@pytest.mark.parametrize(
    ("request_bytes", "beginning"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 OK"),
        (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK"),
        (b"GET /healthz HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK"),
        (b"HEAD /healthz HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK"),
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 "),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 "),
        (b"rubbish\r\n\r\n", b"HTTP/1.1 400 "),
        (b"", b""),
    ],
)
def test_the_port_answers_scrapes_and_nothing_else(request_bytes, beginning):
    async def main():
        server = MetricsServer("127.0.0.1", 0, lambda: page(LINK))
        await server.start()
        port = int(server.url.split(":")[2].split("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_bytes)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()
        await server.aclose()
        await server.aclose()
        return answer

    answer = asyncio.run(main())
    assert answer.startswith(beginning)
    if b"/metrics" in request_bytes and b"200" in beginning:
        assert answer.endswith(page(LINK).encode())


def test_a_port_that_is_taken_is_told():
    async def main(port):
        await MetricsServer("127.0.0.1", port, str).start()

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="cannot be served"):
            asyncio.run(main(taken.getsockname()[1]))
