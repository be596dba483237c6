#!/bin/bash
# Installs the Lustre client and mounts the file system; running it again changes nothing.
# Exit codes: 0 mounted, 1 an installation step failed, 3 unknown operating system, 4 the mount did not succeed in time.
set -euo pipefail
#VALUES#
ROOT=${LAKELINK_ROOT:-}             # a prefix for trying the script out; empty on a real machine
MOUNT_ATTEMPTS=${LAKELINK_MOUNT_ATTEMPTS:-30}
MOUNT_PAUSE_S=${LAKELINK_MOUNT_PAUSE_S:-10}
KEYS=https://fsx-lustre-client-repo-public-keys.s3.amazonaws.com
REPO=https://fsx-lustre-client-repo.s3.amazonaws.com

say() { echo "lakelink: $*"; }

os_field() { sed -n "s/^$1=//p" "$ROOT/etc/os-release" | tr -d "\"'"; }

install_client() {
    local id version codename
    id=$(os_field ID)
    version=$(os_field VERSION_ID)
    case "$id:$version" in
    amzn:2023*)
        dnf install -y "${LUSTRE_PACKAGE:-lustre-client}"
        ;;
    amzn:2)
        say "Amazon Linux 2 has reached its end; its successor is Amazon Linux 2023 (dnf install lustre-client)"
        amazon-linux-extras install -y lustre
        ;;
    ubuntu:*)
        codename=$(os_field VERSION_CODENAME)
        export DEBIAN_FRONTEND=noninteractive
        mkdir -p "$ROOT/etc/apt/sources.list.d" "$ROOT/usr/share/keyrings"
        curl -fsS --retry 5 "$KEYS/fsx-ubuntu-public-key.asc" | gpg --batch --yes --dearmor -o "$ROOT/usr/share/keyrings/fsx-ubuntu-public-key.gpg"
        echo "deb [signed-by=/usr/share/keyrings/fsx-ubuntu-public-key.gpg] $REPO/ubuntu $codename main" >"$ROOT/etc/apt/sources.list.d/fsxlustreclientrepo.list"
        apt-get update
        apt-get install -y "${LUSTRE_PACKAGE:-lustre-client-modules-$(uname -r)}"
        ;;
    rhel:8* | rocky:8* | almalinux:8* | centos:8*)
        curl -fsS --retry 5 "$KEYS/fsx-rpm-public-key.asc" -o "$ROOT/tmp/fsx-rpm-public-key.asc"
        rpm --import "$ROOT/tmp/fsx-rpm-public-key.asc"
        curl -fsS --retry 5 "$REPO/el/8/fsx-lustre-client.repo" -o "$ROOT/etc/yum.repos.d/aws-fsx.repo"
        dnf install -y kmod-lustre-client "${LUSTRE_PACKAGE:-lustre-client}"
        ;;
    *)
        say "unknown operating system '$id' '$version': known are Amazon Linux 2023 and 2, Ubuntu, and Enterprise Linux 8" >&2
        exit 3
        ;;
    esac
}

write_fstab() {
    local source="$FSX_DNS_NAME@tcp:/$FSX_MOUNT_NAME"
    local line="$source $MOUNT_POINT lustre $MOUNT_OPTIONS,_netdev,x-systemd.automount,x-systemd.requires=network-online.target 0 0"
    local fstab="$ROOT/etc/fstab" staged="$ROOT/etc/.fstab.lakelink"
    # Whatever stands at this mount point is replaced, so that a changed option or file system leaves one line, not two.
    awk -v point="$MOUNT_POINT" '$1 ~ /^#/ || $2 != point' "$fstab" >"$staged"
    echo "$line" >>"$staged"
    if ! cmp -s "$staged" "$fstab"; then
        chmod 0644 "$staged"
        sync "$staged" # a machine that loses power now boots with the old table or the new one, not with an empty one
        mv "$staged" "$fstab"
        systemctl daemon-reload
    fi
    rm -f "$staged"
}

mount_it() {
    local attempt
    for ((attempt = 1; attempt <= MOUNT_ATTEMPTS; attempt++)); do
        if mountpoint -q "$MOUNT_POINT" || mount -t lustre -o "$MOUNT_OPTIONS" "$FSX_DNS_NAME@tcp:/$FSX_MOUNT_NAME" "$MOUNT_POINT"; then
            say "$FSX_DNS_NAME is mounted at $MOUNT_POINT"
            return 0
        fi
        say "attempt $attempt of $MOUNT_ATTEMPTS to mount failed"
        sleep "$MOUNT_PAUSE_S"
    done
    say "could not mount $FSX_DNS_NAME: check that ports 988 and 1018-1023 are open both ways" >&2
    exit 4
}

install_client
modprobe lustre
mkdir -p "$ROOT$MOUNT_POINT"
write_fstab
mount_it
