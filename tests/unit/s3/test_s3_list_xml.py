"""The fast reading of listings is proven equal to expat's, or declines."""

from __future__ import annotations

from html import escape
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakelink.errors import StorageError
from lakelink.locations.s3 import list_xml
from lakelink.locations.s3.list_xml import key_of, next_token, parse_page, text_of

HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'


def page(contents: bytes, extra: bytes = b"", *, truncated: bytes = b"false") -> bytes:
    return (
        HEAD
        + b"<Name>b</Name><IsTruncated>"
        + truncated
        + b"</IsTruncated>"
        + extra
        + contents
        + b"</ListBucketResult>"
    )


def row(key: str, etag: str = '"e"', size: int = 1, order: tuple[int, ...] = (0, 1, 2, 3)) -> bytes:
    children = [
        f"<Key>{escape(key)}</Key>",
        "<LastModified>2026-11-23T10:00:00.000Z</LastModified>",
        f"<ETag>{escape(etag)}</ETag>",
        f"<Size>{size}</Size>",
        "<StorageClass>STANDARD</StorageClass>",
        "<Owner><ID>me</ID><DisplayName>Me</DisplayName></Owner>",
    ]
    tail = [*children[4:]] if len(order) == 4 else []
    return ("<Contents>" + "".join([children[i] for i in order] + tail) + "</Contents>").encode()


def meaning(parsed: list_xml.Page):
    """What a page says, whatever way it was read."""
    return (
        [
            (key_of(key, url_encoded=parsed.url_encoded), text_of(modified), text_of(etag), int(text_of(size)))
            for key, modified, etag, size in parsed.objects
        ],
        parsed.truncated,
        parsed.token,
    )


writable = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff", min_codepoint=32), max_size=30
)


@given(
    st.lists(st.tuples(writable, writable, st.integers(0, 1 << 42)), max_size=8),
    st.permutations(range(6)),
    st.booleans(),
)
def test_the_fast_path_reads_what_expat_reads(rows, order, encoded):
    body = page(
        b"".join(
            row(quote_plus(key, safe="/") if encoded else key, etag, size, tuple(order)) for key, etag, size in rows
        ),
        (b"<EncodingType>url</EncodingType>" if encoded else b"")
        + b"<NextContinuationToken>a&amp;b</NextContinuationToken>",
        truncated=b"true",
    )

    fast = list_xml._parse_fast(body)

    assert fast is not None
    assert meaning(fast) == meaning(list_xml._parse_expat(body))
    assert [found[0] for found in meaning(fast)[0]] == [key for key, _, _ in rows]
    assert next_token(body) == "a&b"


@given(st.binary(max_size=200))
def test_any_bytes_are_read_as_expat_reads_them_or_refused_by_both(noise):
    body = page(row("a") + noise + row("b"))
    try:
        expected = meaning(list_xml._parse_expat(body))
    except (StorageError, ValueError):
        expected = None
    fast = list_xml._parse_fast(body)

    if fast is not None and expected is not None:
        assert meaning(fast) == expected


@pytest.mark.parametrize(
    "body",
    [
        page(b"<Contents><Key><![CDATA[a<b]]></Key>" + row("x")[len(b"<Contents><Key>x</Key>") :]),
        page(b"<!-- <Contents><Key>no</Key></Contents> -->" + row("a")),
        page(row("a") + b"<?php <Contents> ?>"),
        page(
            row("a") + b"<Contents><Key>b</Key><Size>1</Size><ETag>e</ETag><LastModified>2026</LastModified></Contents>"
        ),
        page(row("a"), b"<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>"),
        page(row("a\rb")),
        HEAD.replace(b"<ListBucketResult ", b"<s3:ListBucketResult xmlns:s3='x' ")
        + b"<IsTruncated>false</IsTruncated></s3:ListBucketResult>",
    ],
    ids=["cdata", "comment", "instruction", "other-order", "prefixes", "carriage-return", "prefixed-root"],
)
def test_whatever_is_unusual_is_left_to_the_parser(body):
    assert list_xml._parse_fast(body) is None


def test_pages_the_fast_path_declines_are_read_all_the_same():
    body = page(
        b"<Contents><Size>7</Size><Key><![CDATA[a<b]]></Key><ETag>e</ETag><LastModified>2026-11-23T10:00:00Z</LastModified></Contents>",
        b"<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>",
    )

    parsed = parse_page(body)

    assert meaning(parsed)[0] == [("a<b", "2026-11-23T10:00:00Z", "e", 7)]
    assert parsed.prefixes == [b"p/"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not xml",
        page(row("a"))[:-5],
        page(row("a"))[:200],
        b"<Error><Code>SlowDown</Code></Error>",
        page(b"<Contents><Key>a</Key></Contents>"),
    ],
)
def test_a_cut_or_foreign_answer_is_an_error_never_an_empty_listing(body):
    with pytest.raises(StorageError):
        parse_page(body)


@pytest.mark.parametrize(
    ("raw", "encoded", "key"),
    [
        (b"a+b", True, "a b"),
        (b"a%2Bb", True, "a+b"),
        (b"a+b", False, "a+b"),
        (b"tab%09nl%0Ax%01", True, "tab\tnl\nx\x01"),
        (b"%C3%A9&amp;", True, "é&"),
        (b"a&lt;b&#10;", False, "a<b\n"),
        (b"a%2525", True, "a%25"),
        (b"%FF", True, "\udcff"),
    ],
)
def test_keys_come_back_byte_for_byte(raw, encoded, key):
    assert key_of(raw, url_encoded=encoded) == key


def test_a_token_is_only_read_ahead_where_it_is_certain():
    token = b"<NextContinuationToken>t</NextContinuationToken>"

    assert next_token(page(row("a"), token, truncated=b"true")) == "t"
    assert next_token(page(row("a"), token)) == ""
    assert next_token(page(b"<!-- x -->", token, truncated=b"true")) == ""
