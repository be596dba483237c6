"""The keys by which clients know the server: generated, or taken over from another with their order and types. `STATE/gateway/hostkeys/NN-NAME` (0600).

The first key of a type is the one that is shown; others of it are announced, so that clients learn them before it goes (OpenSSH's UpdateHostKeys).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakelink.config.secret import Secret
from lakelink.errors import NotFound, Refused, StorageError, UsageError
from lakelink.gateway.accounts.store import gateway_dir

if TYPE_CHECKING:
    import asyncssh

DIRECTORY = "hostkeys"
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "ed25519": ("ssh-ed25519", {}),
    "rsa": ("ssh-rsa", {"key_size": 3072}),
    "ecdsa": ("ecdsa-sha2-nistp256", {}),
}
GENERATED = ("ed25519", "rsa")
_NAME = re.compile(r"[0-9]{2}-[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class HostKey:
    """One key, as it may be shown."""

    name: str
    path: Path
    type: str
    fingerprint: str
    public: str  # as in known_hosts, without a host
    has_certificate: bool = False


class HostKeys:
    """The keys of a state directory, or the files that the settings name."""

    def __init__(self, state_dir: Path, files: Sequence[str] = ()) -> None:
        self._directory = gateway_dir(state_dir) / DIRECTORY
        self._files = tuple(Path(file) for file in files)

    @property
    def is_declared(self) -> bool:
        return bool(self._files)

    def list(self) -> Sequence[HostKey]:
        """In their order.

        Raises:
            StorageError: one cannot be read. UsageError: one is no key.
        """
        return [_shown(path) for path in self._paths()]

    def load(self) -> Sequence[tuple[asyncssh.SSHKey, asyncssh.SSHCertificate | None]]:
        """The keys themselves, with the certificates that lie beside them (`FILE-cert.pub`).

        Raises:
            StorageError, UsageError: as `list`.
            NotFound: there is none.
        """
        found = [(_read(path), _certificate(path)) for path in self._paths()]
        if not found:
            raise NotFound("the gateway has no host key", hint="lakelink gateway hostkey generate")
        return found

    def generate(self, kinds: Sequence[str] = GENERATED) -> Sequence[HostKey]:
        """A new key of each kind, behind those that are there.

        Raises:
            UsageError: a kind that is not known. Refused: the settings name the keys. StorageError: they cannot be written.
        """
        import asyncssh

        self._check_ours()
        for kind in kinds:
            if kind not in KINDS:
                raise UsageError(f"{kind!r} is no kind of key", hint=f"Known: {', '.join(KINDS)}.")
        made = []
        for kind in kinds:
            algorithm, options = KINDS[kind]
            key = asyncssh.generate_private_key(algorithm, **options)
            made.append(self._store(key.export_private_key("openssh"), kind))
        return made

    def ensure(self) -> bool:
        """There is at least one key afterwards; whether they were made just now. Two processes at once make them once."""
        if self.is_declared or self._paths():
            return False
        self.generate()
        return True

    def take_over(self, file: Path, passphrase: Secret | None = None) -> HostKey:
        """Store the private key of a file behind those that are there, and its certificate if one lies beside it; the file stays.

        Raises:
            UsageError: it is no private key, or one with another passphrase. Refused: it is here already, or the settings name the keys.
            StorageError: it cannot be read or written.
        """
        self._check_ours()
        key = _read(file, passphrase)
        fingerprint = key.get_fingerprint()
        for there in self.list():
            if there.fingerprint == fingerprint:
                raise Refused(
                    f"{file} is here already as {there.name}", hint="lakelink gateway hostkey list shows all."
                )
        stored = self._store(
            key.export_private_key("openssh"), file.name.removeprefix("ssh_host_").removesuffix("_key")
        )
        certificate = file.with_name(file.name + "-cert.pub")
        if certificate.is_file():
            _write(stored.path.with_name(stored.path.name + "-cert.pub"), certificate.read_bytes())
        return _shown(stored.path)

    def remove(self, names: Sequence[str]) -> None:
        """Forget keys and their certificates. What is not there is gone already.

        Raises:
            Refused: the settings name the keys. StorageError: one cannot be removed.
        """
        self._check_ours()
        try:
            for name in names:
                for path in (self._directory / name, self._directory / f"{name}-cert.pub"):
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{path} cannot be removed: {error.strerror}", hint="Run as its owner.") from error

    def _paths(self) -> Sequence[Path]:
        if self._files:
            return self._files
        if not self._directory.is_dir():
            return ()
        return sorted(
            path for path in self._directory.iterdir() if _NAME.fullmatch(path.name) and path.suffix != ".pub"
        )

    def _check_ours(self) -> None:
        if self._files:
            raise Refused("the settings name the host keys", hint="Change host_keys in [gateway], or take it out.")

    def _store(self, private: bytes, kind: str) -> HostKey:
        self._directory.mkdir(mode=0o700, exist_ok=True)
        number = max((int(path.name[:2]) for path in self._paths()), default=0) + 1
        clean = re.sub(r"[^A-Za-z0-9._-]", "_", kind) or "key"
        path = self._directory / f"{number:02}-{clean}"
        _write(path, private)
        return _shown(path)


def _shown(path: Path) -> HostKey:
    key = _read(path)
    public = " ".join(key.export_public_key("openssh").decode("ascii").split()[:2])
    kind = key.get_algorithm()
    return HostKey(path.name, path, kind, key.get_fingerprint(), public, _certificate(path) is not None)


def _read(path: Path, passphrase: Secret | None = None) -> asyncssh.SSHKey:
    import asyncssh

    try:
        return asyncssh.read_private_key(str(path), passphrase.reveal() if passphrase else None)
    except OSError as error:
        raise StorageError(
            f"the host key {path} cannot be read: {error.strerror}", hint="Host keys belong to root; run as root."
        ) from error
    except (asyncssh.KeyEncryptionError, asyncssh.KeyImportError) as error:
        if not isinstance(error, asyncssh.KeyEncryptionError) and "assphrase" not in str(error):
            raise UsageError(
                f"{path} is no private key: {error}", hint="It begins with -----BEGIN … PRIVATE KEY-----."
            ) from error
        raise UsageError(
            f"{path} has a passphrase, and not this one", hint="lakelink gateway hostkey import FILE --passphrase-stdin"
        ) from error


def _certificate(path: Path) -> asyncssh.SSHCertificate | None:
    import asyncssh

    file = path.with_name(path.name + "-cert.pub")
    if not file.is_file():
        return None
    try:
        return asyncssh.read_certificate(str(file))
    except (OSError, asyncssh.KeyImportError) as error:
        raise UsageError(f"{file} is no host certificate", hint="Take it away, or put a good one there.") from error


def _write(path: Path, data: bytes) -> None:
    """A new file, whole or not there; never over another."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fd = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        os.link(staged, path)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror}", hint="Is another command just doing this?"
        ) from error
    finally:
        staged.unlink(missing_ok=True)
