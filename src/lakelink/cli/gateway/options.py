"""What a user of the gateway can be told, as options of `user add` and `user update`. None = not said."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Group, Parameter

from lakelink.cli.parameters import Bandwidth, one
from lakelink.errors import UsageError
from lakelink.model.account import Account, Folder, Proof

FILES = Group("What the user sees", sort_key=1)
PROOF = Group("How the user proves who it is", sort_key=2)
BOUNDS = Group("Bounds", sort_key=3)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def _octal(text: str) -> int:
    try:
        return int(text, 8)
    except ValueError:
        raise ValueError(f"{text!r} is not octal") from None


def _moment(text: str) -> int:
    from lakelink.gateway.credentials.key_options import read_expiry

    if text in {"", "never"}:
        return 0
    try:
        return read_expiry(text.replace("-", ""))
    except UsageError as error:
        raise ValueError(error.message) from error


def _proof(text: str) -> Proof:
    try:
        return Proof(text)
    except ValueError:
        raise ValueError(f"{text!r} is none of {', '.join(Proof)}") from None


def _said(help_text: str, metavar: str, group: Group, parse: Any = None) -> Parameter:
    if parse is None:
        return Parameter(help=help_text, metavar=metavar, group=group, negative=(), show_default=False)
    return Parameter(
        help=help_text,
        metavar=metavar,
        group=group,
        converter=one(parse),
        n_tokens=1,
        accepts_keys=False,
        negative=(),
        show_default=False,
        show_choices=False,
    )


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class AccountOptions:
    """Settings of one user."""

    home: Annotated[
        str | None,
        _said("The location behind /: s3://BUCKET/PREFIX, a directory, or NAME:SUB/PATH.", "LOCATION", FILES),
    ] = None
    folder: Annotated[
        tuple[str, ...] | None,
        _said(
            "Another virtual directory, as PATH=LOCATION with :read-only, :write-only or :quota=SIZE behind it. May be repeated; replaces all but /.",
            "FOLDER",
            FILES,
        ),
    ] = None
    start: Annotated[
        str | None, _said("The virtual directory in which a session begins, / by default.", "PATH", FILES)
    ] = None
    uid: Annotated[int | None, _said("Owner of what the user stores.", "N", FILES, _count)] = None
    gid: Annotated[int | None, _said("Group of what the user stores.", "N", FILES, _count)] = None
    file_mode: Annotated[int | None, _said("Mode of new files, 0644 by default.", "MODE", FILES, _octal)] = None
    directory_mode: Annotated[int | None, _said("Mode of new directories, 0755 by default.", "MODE", FILES, _octal)] = (
        None
    )
    proof: Annotated[
        Proof | None,
        _said("What has to be shown: any (whichever there is), key, password, key+password.", "PROOF", PROOF, _proof),
    ] = None
    allow: Annotated[
        tuple[str, ...] | None,
        _said(
            "A network from which the user may come, as 203.0.113.0/24. May be repeated; replaces the list.",
            "CIDR",
            PROOF,
        ),
    ] = None
    expires: Annotated[
        int | None, _said("From then on nobody is let in: YYYYMMDD, or never.", "WHEN", PROOF, _moment)
    ] = None
    max_sessions: Annotated[int | None, _said("Sessions at once; 0 = as the gateway says.", "N", BOUNDS, _count)] = None
    bandwidth: Bandwidth = None
    comment: Annotated[str | None, _said("For people.", "TEXT", BOUNDS)] = None

    def apply(self, account: Account, config: str | None) -> Account:
        """The account with all that was said."""
        changes: dict[str, Any] = {
            "start": self.start,
            "uid": self.uid,
            "gid": self.gid,
            "file_mode": self.file_mode,
            "directory_mode": self.directory_mode,
            "proof": self.proof,
            "allow": self.allow,
            "expires_ns": self.expires,
            "max_sessions": self.max_sessions,
            "bandwidth_bytes_per_s": self.bandwidth,
            "comment": self.comment,
            "folders": self._folders(account, config),
        }
        return dataclasses.replace(account, **{name: value for name, value in changes.items() if value is not None})

    def _folders(self, account: Account, config: str | None) -> tuple[Folder, ...] | None:
        if self.home is None and self.folder is None:
            return None
        from lakelink.config.document import load_document
        from lakelink.gateway.accounts.folders import parse_folder
        from lakelink.links.places import absolute

        document = load_document(config)

        def remembered(folder: Folder) -> Folder:
            return dataclasses.replace(folder, location=absolute(folder.location, document))

        home = [folder for folder in account.folders if folder.path == "/"]
        if self.home is not None:
            home = [remembered(Folder(path="/", location=self.home))]
        more = [folder for folder in account.folders if folder.path != "/"]
        if self.folder is not None:
            more = [remembered(parse_folder(text)) for text in self.folder]
        return tuple(home + more)
