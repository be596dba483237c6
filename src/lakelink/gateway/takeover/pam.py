"""What PAM adds to a login: modules that ask for more than a password of shadow(5), or keep people out. Pure, apart from reading its files."""

from __future__ import annotations

from collections.abc import Iterator

from lakelink.gateway.takeover.facts import Finding, blocker, note
from lakelink.gateway.takeover.source import Source

HARMLESS = {
    "pam_cap", "pam_debug", "pam_deny", "pam_env", "pam_faildelay", "pam_faillock", "pam_gnome_keyring", "pam_keyinit", "pam_lastlog", "pam_limits",
    "pam_localuser", "pam_loginuid", "pam_mail", "pam_mkhomedir", "pam_motd", "pam_namespace", "pam_nologin", "pam_permit",
    "pam_rootok", "pam_selinux", "pam_sepermit", "pam_succeed_if", "pam_systemd", "pam_tally2", "pam_umask", "pam_unix", "pam_warn",
    "pam_usertype", "pam_systemd_home", "pam_fprintd", "pam_cracklib", "pam_pwquality",
}  # fmt: skip
NOT_DONE = "what the module does is not done by the gateway"
DEPTH = 8


def pam_findings(source: Source, service: str = "sshd") -> list[Finding]:
    """Modules of /etc/pam.d/sshd, includes followed, that the gateway has nothing for."""
    found: dict[str, Finding] = {}
    for kind, module in _modules(source, service, 0):
        name = module.rsplit("/", 1)[-1].removesuffix(".so")
        if kind not in {"auth", "account"} or name in HARMLESS:
            continue
        if name == "pam_access" and not _rules(source, "/etc/security/access.conf"):
            continue
        ident = f"pam:{kind}:{name}"
        what = "takes part in checking who somebody is" if kind == "auth" else "decides who may come"
        found[ident] = blocker(ident, f"PAM: {name} {what}", hint="Is it used for these users?", accepting=NOT_DONE)
    if source.look(f"/etc/pam.d/{service}") is None:
        found["pam:none"] = note("pam:none", f"PAM is on, and there is no /etc/pam.d/{service}")
    return list(found.values())


def _modules(source: Source, service: str, depth: int) -> Iterator[tuple[str, str]]:
    raw = source.read(service if service.startswith("/") else f"/etc/pam.d/{service}")
    if raw is None or depth > DEPTH:
        return
    for line in raw.decode("utf-8", "replace").replace("\\\n", " ").splitlines():
        words = line.split("#", 1)[0].split()
        if len(words) >= 2 and words[0] == "@include":
            yield from _modules(source, words[1], depth + 1)
        elif len(words) >= 3:
            kind = words[0].lstrip("-")
            rest = " ".join(words[1:])
            after = rest.partition("]")[2] if rest.startswith("[") else rest.partition(" ")[2]
            name = after.split()[0] if after.split() else ""
            if words[1] in {"include", "substack"}:
                yield from ((one, module) for one, module in _modules(source, name, depth + 1) if one == kind)
            elif name:
                yield kind, name


def _rules(source: Source, path: str) -> bool:
    raw = source.read(path) or b""
    return any(line.strip() and not line.lstrip().startswith(b"#") for line in raw.splitlines())
