"""Credentials and signatures (AWS Signature Version 4) by awscrt: natively, and the secret never leaves the native side."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import os
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakelink.errors import CredentialsRefused
from lakelink.ports.crt_endpoint import profile_value
from lakelink.ports.crt_io import bootstrap, crt_error_name

if TYPE_CHECKING:
    from awscrt.auth import AwsCredentials, AwsCredentialsProvider, AwsSigningConfig
    from awscrt.http import HttpRequest

LOOKUP_TIMEOUT_S = 20.0  # the instance role's address hangs where there is none
RENEW_BEFORE_S = 300.0  # temporary credentials are renewed this long before they end
RETRY_RENEWAL_S = 30.0
EXPIRE_AFTER_S = 900.0  # credentials without an end are looked up again: shared files are edited


@dataclass(frozen=True, slots=True)
class CredentialSource:
    """Where credentials come from: given here, a named profile, nobody (`anonymous`), or the AWS chain when nothing is set."""

    access_key: str = ""
    secret_key: str = ""
    session_token: str = ""
    profile: str = ""
    anonymous: bool = False

    def __repr__(self) -> str:
        return f"CredentialSource({self.describe()})"

    def describe(self) -> str:
        """For people; never the secret."""
        if self.anonymous:
            return "anonymous"
        if self.access_key:
            return f"access key {self.access_key[:4]}***"
        return f"profile {self.profile}" if self.profile else "the AWS credential chain"


def _looked_for(source: CredentialSource, environ: Mapping[str, str]) -> str:
    home = str(Path.home())
    shared = environ.get("AWS_SHARED_CREDENTIALS_FILE") or f"{home}/.aws/credentials"
    config = environ.get("AWS_CONFIG_FILE") or f"{home}/.aws/config"
    profile = source.profile or environ.get("AWS_PROFILE") or "default"
    files = f"profile [{profile}] in {shared} and {config}"
    if source.profile:
        return f"Looked for {files}."
    return (
        f"Looked for AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, {files}, "
        "AWS_WEB_IDENTITY_TOKEN_FILE, AWS_CONTAINER_CREDENTIALS_*_URI and the instance role."
    )


class CrtSigner:
    """Signs requests for one store; keeps credentials fresh, and the region and the clock offset that the store asked for.

    `region` and `clock_offset_s` may be set at any time (a redirect to another region, a clock that is off).
    """

    def __init__(
        self,
        source: CredentialSource,
        region: str,
        *,
        service: str = "s3",
        sign_payload: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.source = source
        self.region = region
        self.clock_offset_s = 0.0
        self.generation = 0  # how often credentials were fetched anew
        self._service = service
        self._sign_payload = sign_payload
        self._environ = os.environ if environ is None else environ
        self._provider: AwsCredentialsProvider | None = None
        self._renew_at = 0.0
        self._valid_until = 0.0
        self._lookup = asyncio.Lock()
        self._config: AwsSigningConfig | None = None
        self._config_key: tuple[object, ...] = ()

    def refresh(self, seen_generation: int) -> None:
        """Forget the credentials, unless somebody else already did after `seen_generation` (0: before the first look-up)."""
        if max(seen_generation, 1) == self.generation:
            self._renew_at = self._valid_until = 0.0

    @cached_property
    def principal(self) -> str:
        """Equal for two signers of the same credentials; does not tell the secret."""
        return hashlib.sha256("\0".join(map(str, astuple(self.source))).encode()).hexdigest()

    @property
    def signs_payload(self) -> bool:
        """Whether the signature covers the body."""
        return self._sign_payload

    @property
    def renewable(self) -> bool:
        """Whether looking again could give other credentials."""
        return not (self.source.anonymous or self.source.access_key)

    async def sign(self, request: HttpRequest) -> None:
        """Add the signature headers to `request`.

        Raises:
            CredentialsRefused: no credentials could be found or refreshed.
        """
        if self.source.anonymous:
            return
        if self._provider is None or time.monotonic() >= self._renew_at:
            await self._fetch()
        from awscrt.auth import aws_sign_request
        from awscrt.exceptions import AwsCrtError

        signed: Future[Any] = aws_sign_request(request, self._signing_config())
        # With credentials at hand the native signer answers before it returns; a thread hop would cost more than the signature.
        try:
            if not signed.done():
                await asyncio.wrap_future(signed)
            signed.result()
        except AwsCrtError as error:
            raise CredentialsRefused(f"the request cannot be signed ({crt_error_name(error)})") from error

    def _signing_config(self) -> AwsSigningConfig:
        # A signature's date has seconds: one configuration serves all requests of the same second.
        now_s = int(time.time() + self.clock_offset_s)
        key = (now_s, self.region, self.generation)
        if self._config is None or key != self._config_key:
            from awscrt import auth

            self._config = auth.AwsSigningConfig(
                algorithm=auth.AwsSigningAlgorithm.V4,
                signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
                credentials_provider=self._provider,
                region=self.region,
                service=self._service,
                date=dt.datetime.fromtimestamp(now_s, dt.UTC),
                # S3 alone signs the path as it is on the wire (Amazon S3 API reference, Signature calculations).
                use_double_uri_encode=False,
                should_normalize_uri_path=False,
                signed_body_value=None if self._sign_payload else auth.AwsSignedBodyValue.UNSIGNED_PAYLOAD,
                signed_body_header_type=auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
            )
            self._config_key = key
        return self._config

    async def _fetch(self) -> None:
        async with self._lookup:
            if self._provider is not None and time.monotonic() < self._renew_at:
                return
            from awscrt.auth import AwsCredentialsProvider

            try:
                found = await self._look_up()
            except CredentialsRefused:
                if time.monotonic() >= self._valid_until:
                    raise
                # A file that is just being written, a metadata service that hiccups: the old ones still work.
                self._renew_at = time.monotonic() + RETRY_RENEWAL_S
                return
            lifetime_s = EXPIRE_AFTER_S
            if found.expiration is not None:
                left_s = (found.expiration - dt.datetime.now(dt.UTC)).total_seconds()
                lifetime_s = max(1.0, min(EXPIRE_AFTER_S, left_s - RENEW_BEFORE_S))
                self._valid_until = time.monotonic() + left_s
            else:
                self._valid_until = float("inf")
            self._provider = AwsCredentialsProvider.new_static(
                found.access_key_id, found.secret_access_key, found.session_token
            )
            self._renew_at = time.monotonic() + (lifetime_s if self.renewable else float("inf"))
            self.generation += 1

    async def _look_up(self) -> AwsCredentials:
        from awscrt.exceptions import AwsCrtError

        # A new provider each time: the native ones remember what they read.
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                return await asyncio.wrap_future(self._provider_of_source().get_credentials())
        except (
            AwsCrtError,
            RuntimeError,
            TimeoutError,
            ValueError,
            OSError,
        ) as error:  # what constructors raise varies
            raise CredentialsRefused(
                f"no credentials for S3 were found ({crt_error_name(error)})",
                hint=_looked_for(self.source, self._environ),
            ) from error

    def _provider_of_source(self) -> AwsCredentialsProvider:
        from awscrt.auth import AwsCredentialsProvider

        source = self.source
        if source.access_key:
            return AwsCredentialsProvider.new_static(source.access_key, source.secret_key, source.session_token or None)
        if source.profile and profile_value("credential_process", source.profile, self._environ):
            return AwsCredentialsProvider.new_process(source.profile)
        if source.profile:
            return AwsCredentialsProvider.new_profile(bootstrap(), source.profile)
        if os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY"):
            # The chain looks there first as well, but only after it has read the system's certificates for what it may have to ask.
            return AwsCredentialsProvider.new_environment()
        return AwsCredentialsProvider.new_default_chain(bootstrap())
