"""Writes the parts of the reference that the program knows best: docs/reference/cli.md and docs/reference/errors.md.

python docs/reference/generate.py writes both; a test compares them with what is committed.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from lakelink.cli.main import build
from lakelink.errors import LakelinkError, Retry, all_errors

HERE = Path(__file__).parent

RETRY = {
    Retry.NEVER: "no: the same call gives the same answer",
    Retry.LATER: "yes, after a pause",
    Retry.AFTER_RESCAN: "by running the command again: it looks anew and decides anew",
}

ADVICE = {
    "LL000": "The root of all errors; it is never shown itself.",
    "LL100": "Read the sentence; it names what is wrong in the command. `--help` shows examples.",
    "LL101": "Read the sentence; it names the setting and the file and line, or the variable, that it came from. "
    "[All settings](configuration.md).",
    "LL200": "Do not reach for the override first. Is the source mounted, spelled right, complete? Look at the plan with `--dry-run`. If it "
    "is what you want, pass what the hint names (`--max-delete`, `--allow-empty-source`).",
    "LL201": "Another run writes to the same target; the message names its process. Wait for it. If that process is gone, so is the lock: there is "
    "nothing to remove by hand.",
    "LL202": "The SFTP gateway told its client why it does not do what was asked; nothing was changed. The sentence is in the client's display and in the "
    "audit log.",
    "LL210": "The root of the halts below; it is never shown itself.",
    "LL211": "Is the file system mounted, the server up, the path spelled right? The link looks again every few seconds and goes on by itself; nothing "
    "was concluded from what could not be seen.",
    "LL212": "Most often the file system is not mounted, and the path shows the empty directory below it: mount it, and the link goes on. If the directory "
    "was restored or replaced on purpose, resume the link with `--accept-root`: both sides are then merged anew, and nothing is deleted.",
    "LL213": "Look whether the directory is empty on purpose. If it is, resume the link with `--allow-deletes`; if not, put the files back, and the link "
    "goes on.",
    "LL214": "Two links, or two daemons, want the same directory. Remove one of them. If the other link no longer exists anywhere, remove "
    "`.lakelink/link.json` from the directory that the message names.",
    "LL215": "Mount the file system for writing, or give the daemon's user the right to write; the link goes on by itself.",
    "LL216": "Is the bucket spelled right, in this account, at this endpoint? When it is there again, the link goes on by itself. A bucket made anew is "
    "empty: the brake (LL218) then keeps the local files until you decide.",
    "LL217": "The credentials lack a right on the bucket, or are no longer valid. When they are right again, the link goes on by itself.",
    "LL218": "Look at what would go: `lakelink link check NAME` lists what is missing on a side. If it is right, resume the link with `--allow-deletes`, "
    "which lets exactly these deletes pass. If not, undo what removed the files on the other side. The share is set with `max_delete`.",
    "LL300": "The store or the file server did not answer within our patience (retries with growing pauses are behind us). `lakelink "
    "doctor` tells whether it is the name, the network or the server. What was done stays done: run it again.",
    "LL301": "The side answered and refused. For S3 the hint names the permission, such as `s3:PutObject`. Check the policy, and with `lakelink "
    "doctor` which credentials were used.",
    "LL302": "Check the name. `lakelink ls` shows what is there.",
    "LL303": "The bucket or the directory itself is missing, so nothing is known about what it holds and nothing was concluded from that. Is "
    "the disk mounted, the bucket spelled right, in this account?",
    "LL304": "No credentials were found, or the store does not know them. `lakelink doctor` shows where was looked.",
    "LL305": "The store's certificate was not accepted, or it speaks no TLS there. Does the endpoint begin with the right `https://` or `http://`? For a "
    "certificate authority of your own name its bundle (`ca_bundle` of the location, or `AWS_CA_BUNDLE`). Do not switch the check off to get on.",
    "LL308": "The queue that carries a lake's events was removed, or the credentials belong to another account. Nothing is lost: changes of the lake are "
    "found by listing until it is back, and once more when it is. `lakelink link events NAME --check` says what is missing.",
    "LL420": "Nothing is wrong: what was to be read here has to be loaded first. Open the file, or `lakelink hsm restore PATH`; the link looks again by "
    "itself.",
    "LL421": "Typical of a tree that was restored or copied without its extended attributes. `lakelink hsm restore PATH` takes the lake's version; if "
    "zeros are meant, as in an empty disk image, `lakelink hsm accept PATH` says so. Until then neither side is changed, and whoever reads it "
    "gets an I/O error.",
    "LL422": "Somebody removed or replaced the object, and the store keeps no versions, or the credentials do not reach them. If the store has an older "
    "version or a backup, put it back at the path that the message names; else remove the file.",
    "LL310": "Start the daemon: `lakelink serve`, or its unit. Does it use the same state directory (`LAKELINK_STATE_DIR`), and run as the same user? "
    "`lakelink doctor` says which directory is looked at.",
    "LL400": "Somebody else changed the target between our look and our write. Their version was kept. Run it again; if it comes back, find "
    "the other writer. A link looks again by itself; where it lists this as a problem, something of another kind is in the way.",
    "LL401": "The file was written to while it was read, again and again. Nothing torn was stored. Run it when the writer rests, or sync a "
    "snapshot.",
    "LL402": "Bytes arrived that do not match their checksum or length, and were thrown away. Once is the line; again and again is a disk, a proxy "
    "or memory.",
    "LL403": "Make room at the target, or raise the quota. What was stored before stays; run it again.",
    "LL404": "This side cannot do that at all; the sentence says what. Leave the path out with `--exclude`, or accept that it is reported.",
    "LL405": "The message carries the words of the operating system or the store. For a disk, look at the kernel's log. For the journal of a link, see "
    "[when links fail](../how-to/when-links-fail.md#the-journal-is-lost-or-damaged).",
    "LL406": "The name cannot exist on the other side: rename it, or leave it out with `--exclude`. Nothing else is affected.",
    "LL407": "Pass `--delete` if the file should take the directory's place, or move the directory away.",
    "LL408": "The user, or all users together, watch as many directories as the kernel allows. Raise the setting that the hint names (`sysctl -w`, and a "
    "file in `/etc/sysctl.d` to keep it). Until then what is not watched is scanned at the scan interval: later, but nothing is missed.",
    "LL409": "Let the client upload in order: one connection per file, no segments. A file of up to 8 MiB may be written in any order, and a larger "
    "one whose first bytes come last too, as long as the gateway's spool has room.",
    "LL430": "A file of a lazy link was a stub, and somebody wrote into it while nothing guarded it (holder, worker and daemon were all dead at once), or its "
    "attribute was damaged. Whoever opens it gets an I/O error. Copy it from the backing directory as root if what was written matters, and remove it; "
    "the link makes the stub anew.",
    "LL900": "A defect of lakelink. Nothing partial is visible at the target. Run it again with `--debug` and report what it prints.",
}


def errors_page() -> str:
    """docs/reference/errors.md.

    Raises:
        KeyError: an error has no advice; write some.
    """
    lines = [
        "# Errors",
        "",
        "<!-- written by docs/reference/generate.py from src/lakelink/errors.py -->",
        "",
        "A message is `error[CODE]: sentence`, and `hint: what to do` where something can be done. Codes are stable: scripts may rely on",
        "them. Trouble with one path does not stop a run: the path is listed under `failed`, with the same codes, and the exit code is 1.",
        "",
        "| code | name | exit code | again? |",
        "| --- | --- | --- | --- |",
    ]
    classes = [cls for cls in all_errors() if cls is not LakelinkError]
    lines += [f"| [{c.code}](#{c.code.lower()}) | {c.__name__} | {c.exit_code} | {RETRY[c.retry]} |" for c in classes]
    for cls in classes:
        lines += ["", f"## {cls.code}", "", f"**{cls.__name__}.** {_sentence(cls)}", "", ADVICE[cls.code]]
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """docs/reference/cli.md."""
    text = build(["sync"]).generate_docs(output_format="markdown", usage_name="lakelink")
    text = text.replace("```console\n", "```text\n")  # usage lines are no sessions
    head, _, rest = text.partition("\n")
    return f"{head}\n\n<!-- written by docs/reference/generate.py from the commands themselves -->\n{rest.rstrip()}\n"


def _sentence(cls: type[LakelinkError]) -> str:
    return " ".join((inspect.getdoc(cls) or "").split())


PAGES = {"errors.md": errors_page, "cli.md": commands_page}


def main() -> None:
    """Write the pages, or with --check say which are out of date."""
    for name, page in PAGES.items():
        path = HERE / name
        if "--check" not in sys.argv[1:]:
            path.write_text(page(), encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != page():
            sys.exit(f"{path} is out of date: run python docs/reference/generate.py")


if __name__ == "__main__":
    main()
