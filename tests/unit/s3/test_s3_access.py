"""Where a store is, in which region, through which proxy; and what a client follows."""

from __future__ import annotations

import asyncio

import pytest

from lakelink.errors import (
    ConfigError,
    CredentialsRefused,
    NameUnsupported,
    NoSpace,
    NotFound,
    NotPermitted,
    PreconditionFailed,
    RootMissing,
    StorageError,
    Unreachable,
    Unsupported,
    UsageError,
)
from lakelink.locations.s3.client import S3Client
from lakelink.locations.s3.multipart import EVEN_PARTS, GROWTH_BYTES
from lakelink.locations.s3.open import S3Access, open_s3, split_url
from lakelink.locations.s3.options import MAX_OBJECT_BYTES, MAX_PARTS, MIB, SMALL_BYTES, S3Options
from lakelink.locations.s3.translate import Refusal, error_of
from lakelink.ports.clock import SystemClock
from lakelink.ports.crt_auth import CredentialSource, CrtSigner
from lakelink.ports.crt_endpoint import parse_endpoint, resolve_endpoint, resolve_region
from lakelink.ports.crt_io import Endpoint, proxy_url
from lakelink.ports.wire import WireResponse


@pytest.mark.parametrize(
    ("explicit", "environ", "value", "origin"),
    [
        ("eu-west-1", {"AWS_REGION": "x"}, "eu-west-1", "the location's settings"),
        ("", {"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b"}, "a", "AWS_REGION"),
        ("", {"AWS_DEFAULT_REGION": "b"}, "b", "AWS_DEFAULT_REGION"),
        ("", {}, "us-east-1", "default"),
    ],
)
def test_the_region_comes_from_the_first_that_names_one(tmp_path, explicit, environ, value, origin):
    environ = environ | {"AWS_CONFIG_FILE": str(tmp_path / "none")}

    assert resolve_region(explicit, "", environ) == (value, origin)


def test_the_profile_names_the_region_when_nothing_else_does(tmp_path):
    config = tmp_path / "config"
    config.write_text(
        "[default]\nregion = us-west-2\n[profile work]\nregion = ap-south-1\n[profile work]\noutput = json\n"
    )
    environ = {"AWS_CONFIG_FILE": str(config)}

    assert resolve_region("", "", environ).value == "us-west-2"
    assert resolve_region("", "work", environ).value == "ap-south-1"
    assert resolve_region("", "", environ | {"AWS_PROFILE": "work"}).origin == f"[profile work] in {config}"
    config.write_bytes(b"no section\n")
    with pytest.raises(ConfigError, match="config"):
        resolve_region("", "", environ)


def test_the_endpoint_comes_from_the_first_that_names_one():
    both = {"AWS_ENDPOINT_URL_S3": "http://s3only", "AWS_ENDPOINT_URL": "http://all"}

    assert resolve_endpoint("http://here", "r", both).value == "http://here"
    assert resolve_endpoint("", "r", both).value == "http://s3only"
    assert resolve_endpoint("", "r", {"AWS_ENDPOINT_URL": "http://all"}).value == "http://all"
    assert resolve_endpoint("", "eu-west-3", {}).value == "https://s3.eu-west-3.amazonaws.com"
    assert resolve_endpoint("", "cn-north-1", {}).value == "https://s3.cn-north-1.amazonaws.com.cn"


@pytest.mark.parametrize(
    ("url", "endpoint", "authority"),
    [
        ("http://h", Endpoint("h", 80, tls=False), "h"),
        ("https://h/", Endpoint("h", 443, tls=True), "h"),
        ("http://h:9000", Endpoint("h", 9000, tls=False), "h:9000"),
        ("https://[::1]:8443", Endpoint("::1", 8443, tls=True), "[::1]:8443"),
    ],
)
def test_endpoints_are_scheme_host_and_port(url, endpoint, authority):
    assert parse_endpoint(url) == endpoint
    assert endpoint.authority == authority


@pytest.mark.parametrize(
    "url", ["", "h:9000", "ftp://h", "http://", "http://h/bucket", "http://h:port", "http://h?x=1"]
)
def test_what_is_no_endpoint_is_refused(url):
    with pytest.raises(ConfigError):
        parse_endpoint(url)


@pytest.mark.parametrize(
    ("host", "tls", "environ", "proxy"),
    [
        ("s3.x.com", True, {"https_proxy": "http://p"}, "http://p"),
        ("s3.x.com", True, {"HTTPS_PROXY": "http://p"}, "http://p"),
        ("s3.x.com", False, {"https_proxy": "http://p"}, ""),
        ("s3.x.com", False, {"http_proxy": "http://p"}, "http://p"),
        ("s3.x.com", False, {"HTTP_PROXY": "http://p"}, ""),
        ("s3.x.com", True, {"https_proxy": "http://p", "no_proxy": "y.com, .x.com"}, ""),
        ("s3.x.com", True, {"https_proxy": "http://p", "NO_PROXY": "*"}, ""),
        ("s3.x.com", True, {"https_proxy": "http://p", "no_proxy": "x.com:80"}, "http://p"),
        ("s3.x.com", True, {"https_proxy": "http://p", "no_proxy": "3.x.com"}, "http://p"),
    ],
)
def test_proxies_are_taken_from_the_environment_as_curl_does(host, tls, environ, proxy):
    assert proxy_url(Endpoint(host, 443, tls), None, environ) == proxy
    assert proxy_url(Endpoint(host, 443, tls), "", environ) == ""
    assert proxy_url(Endpoint(host, 443, tls), "http://set", environ) == "http://set"


def test_urls_name_a_bucket_and_a_prefix():
    assert split_url("s3://b") == ("b", "")
    assert split_url("s3://b/") == ("b", "")
    assert split_url("s3://b/a/b/") == ("b", "a/b")
    for url in ("s3://", "b/a", "http://b/a"):
        with pytest.raises(UsageError):
            split_url(url)


def test_nothing_is_sent_before_the_first_verb_and_secrets_do_not_print():
    location = open_s3("s3://b/p", S3Access(credentials=CredentialSource("AKIDEXAMPLE", "hush", "token")), environ={})

    assert location.spec.url == "s3://b/p"
    assert "hush" not in repr(S3Access(credentials=CredentialSource("AKIDEXAMPLE", "hush", "token")))
    assert "token" not in repr(CredentialSource("AKIDEXAMPLE", "hush", "token"))
    assert CredentialSource(anonymous=True).describe() == "anonymous"


class RegionalAws:
    """Answers as AWS does: only the region of the bucket serves it."""

    def __init__(self):
        self.hosts = []

    async def send(self, request):
        self.hosts.append((request.host, request.path))
        if "eu-west-3" in request.host:
            return WireResponse(200)
        headers = {"x-amz-bucket-region": "eu-west-3"}
        return WireResponse(
            301, headers, b"" if request.method == "HEAD" else b"<Error><Code>PermanentRedirect</Code></Error>"
        )

    async def aclose(self):
        return


@pytest.mark.parametrize(
    ("bucket", "place"), [("lake", ("lake.s3.{}.amazonaws.com", "/k")), ("la.ke", ("s3.{}.amazonaws.com", "/la.ke/k"))]
)
def test_a_bucket_of_aws_in_another_region_is_found_there_and_stays_found(bucket, place):
    wire = RegionalAws()
    signer = CrtSigner(CredentialSource("a", "b"), "us-east-1", environ={})
    client = S3Client(
        wire, bucket, parse_endpoint("https://s3.us-east-1.amazonaws.com"), SystemClock(), S3Options(), signer
    )

    async def main():
        assert (await client.call(client.request("HeadObject", "HEAD", "k"), "k")).status == 200
        assert (await client.call(client.request("GetObject", "GET", "k"), "k")).status == 200

    asyncio.run(main())
    host, path = place
    assert wire.hosts[1:] == [(host.format("eu-west-3"), path)] * 2
    assert signer.region == "eu-west-3"


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("NoSuchBucket", 404, RootMissing),
        ("NoSuchKey", 404, NotFound),
        ("PreconditionFailed", 412, PreconditionFailed),
        ("ConditionalRequestConflict", 409, PreconditionFailed),
        ("InvalidAccessKeyId", 403, CredentialsRefused),
        ("AccessDenied", 403, NotPermitted),
        ("SlowDown", 503, Unreachable),
        ("Whatever", 503, Unreachable),
        ("QuotaExceeded", 403, NoSpace),
        ("KeyTooLongError", 400, NameUnsupported),
        ("InvalidObjectState", 403, Unsupported),
        ("NotImplemented", 501, Unsupported),
        ("PermanentRedirect", 301, StorageError),
        ("InternalError", 500, StorageError),
    ],
)
def test_each_refusal_has_its_error(code, status, kind):
    error = error_of(Refusal(code, "said so"), "PutObject", "lake", "key", status)

    assert type(error) is kind
    assert error.message


@pytest.mark.parametrize("size", [0, 1, 8 * MIB, 1 << 30, 100 << 30, 1 << 40, MAX_OBJECT_BYTES])
def test_every_size_up_to_5_tib_fits_in_its_parts(size):
    part = S3Options().part_size(size)

    assert part >= 5 * MIB
    assert -(-size // part) <= MAX_PARTS
    assert S3Options(part_bytes=1).part_size(size) >= 5 * MIB


def test_a_stream_of_5_tib_fits_in_its_parts_as_well():
    sizes = [SMALL_BYTES + max(0, number - EVEN_PARTS) * GROWTH_BYTES for number in range(1, MAX_PARTS + 1)]

    assert sum(sizes) >= MAX_OBJECT_BYTES
    assert max(sizes) <= 5 << 30


def test_encryption_and_storage_class_become_headers():
    assert dict(S3Options(storage_class="GLACIER_IR", sse="AES256").placement_headers()) == {
        "x-amz-storage-class": "GLACIER_IR",
        "x-amz-server-side-encryption": "AES256",
    }
    assert dict(S3Options(sse="aws:kms:arn:aws:kms:r:1:key/k").placement_headers()) == {
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:r:1:key/k",
    }
