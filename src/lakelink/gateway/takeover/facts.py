"""What a scan found, as it is written to `facts.json` and `secrets.json`: docs/FORMAT.md describes both."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct, field

FORMAT = 1


class Severity(StrEnum):
    """How far a finding stands in the way."""

    BLOCKER = "blocker"  # nothing is applied until it is answered
    WARNING = "warning"  # something becomes different; read it
    NOTE = "note"  # something is said, nothing becomes different


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that a person has to know. `ident` is stable over scans: an answer to it is kept."""

    ident: str
    severity: Severity
    message: str
    hint: str = ""
    accepting: str = ""  # what happens if it is accepted; "" = it cannot be, and has to be put right


class KeyFact(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of authorized_keys. The line itself is with the secrets, under the same number."""

    number: int
    fingerprint: str
    type: str
    comment: str = ""
    options: list[str] = []
    file: str = ""
    refused: str = ""  # why the gateway cannot take it as it is
    ignored: str = ""  # why the old server did not take it
    sources: list[str] = []  # from=, the patterns as they stand there
    expires_ns: int = 0


class PasswordFact(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a password stands; the hash is with the secrets."""

    standing: str = "none"  # as people.Standing, or unknown: no entry could be read
    scheme: str = ""
    refused: str = ""  # why the gateway cannot take the hash


class TopFolder(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The root of what a user sees, or a directory right below it, and what the modes let that user do there."""

    path: str  # "" = the root itself
    can_read: bool
    can_write: bool


class HomeFact(Struct, kw_only=True, omit_defaults=True):
    """What is in a tree. Counts, and up to five examples of each; names that are not UTF-8 are percent-escaped."""

    tree: str
    files: int = 0
    directories: int = 0
    size_bytes: int = 0
    largest_bytes: int = 0
    longest_path_bytes: int = 0
    newest_ns: int = 0
    counts: dict[str, int] = {}
    examples: dict[str, list[str]] = {}
    folders: list[TopFolder] = []
    is_missing: bool = False


class TrafficFact(Struct, kw_only=True, omit_defaults=True):
    """What the logs tell about a user."""

    logins: int = 0
    failures: int = 0
    last: str = ""
    methods: dict[str, int] = {}
    addresses: dict[str, int] = {}
    fingerprints: list[str] = []
    clients: list[str] = []
    largest_bytes: int = 0
    most_at_once: int = 0


class Way(StrEnum):
    """What became of a user of the old server."""

    SFTP = "sftp"  # it is for file transfer
    SHELL = "shell"  # it has a shell
    DENIED = "denied"  # Allow and Deny rules keep it out
    CLOSED = "closed"  # no key and no password, or no way to SFTP


class UserFact(Struct, kw_only=True, omit_defaults=True):
    """A user and what sshd does with it."""

    name: str
    way: Way
    reason: str = ""
    uid: int = 0
    gid: int = 0
    comment: str = ""
    tree: str = ""  # the directory that it sees as its root, or its home where there is no chroot
    root: str = "/"  # where that tree is in its view: "/" with a chroot, else the home's own path
    start: str = "/"  # the directory of a new session, in its view
    umask: int = 0o022
    is_read_only: bool = False
    proof: str = "any"
    wants_password: bool = True
    wants_keys: bool = True
    allow: list[str] = []
    is_locked: bool = False
    expires_ns: int = 0
    password: PasswordFact = field(default_factory=PasswordFact)
    keys: list[KeyFact] = []
    home: HomeFact | None = None
    traffic: TrafficFact | None = None
    findings: list[Finding] = []


class HostKeyFact(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A host key in the order of the old server; the private half is with the secrets."""

    path: str
    type: str
    fingerprint: str
    needs_passphrase: bool = False
    certificate: str = ""  # path of its certificate


class ServerFact(Struct, kw_only=True, omit_defaults=True):
    """The server as a whole."""

    read_by: str = ""  # "sshd -T" or "own reading"
    ports: list[int] = []
    listen: list[str] = []
    settings: dict[str, list[str]] = {}
    algorithms: dict[str, list[str]] = {}  # ciphers, macs, kexalgorithms, hostkeyalgorithms, pubkeyacceptedalgorithms
    banner: str = ""
    allow: list[str] = []  # of everybody; [] = anywhere
    never_banned: list[str] = []


class Facts(Struct, kw_only=True, omit_defaults=True):
    """All that a scan found, without a secret."""

    format: int = FORMAT
    source: str = ""
    scanned_at: str = ""
    server: ServerFact = field(default_factory=ServerFact)
    host_keys: list[HostKeyFact] = []
    users: list[UserFact] = []
    findings: list[Finding] = []


class UserSecret(Struct, kw_only=True, omit_defaults=True):
    """`keys` by the number of the fact."""

    hash: str = ""
    keys: dict[str, str] = {}

    def __repr__(self) -> str:
        return "UserSecret(***)"


class Secrets(Struct, kw_only=True, omit_defaults=True):
    """What nobody else may see."""

    format: int = FORMAT
    users: dict[str, UserSecret] = {}
    host_keys: dict[str, str] = {}  # private halves by path, as they are in the file
    certificates: dict[str, str] = {}

    def __repr__(self) -> str:
        return "Secrets(***)"


def blocker(ident: str, message: str, *, hint: str = "", accepting: str = "") -> Finding:
    return Finding(ident=ident, severity=Severity.BLOCKER, message=message, hint=hint, accepting=accepting)


def warning(ident: str, message: str, *, hint: str = "", accepting: str = "") -> Finding:
    return Finding(ident=ident, severity=Severity.WARNING, message=message, hint=hint, accepting=accepting)


def note(ident: str, message: str) -> Finding:
    return Finding(ident=ident, severity=Severity.NOTE, message=message)
