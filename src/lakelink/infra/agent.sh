#!/bin/bash
# Installs lakelink into an environment of its own and runs it as a service; running it again changes nothing.
set -euo pipefail
#VALUES#
ROOT=${LAKELINK_ROOT:-} # a prefix for trying the script out; empty on a real machine

dnf install -y python3.11 python3.11-pip
if [ ! -x "$ROOT/opt/lakelink/bin/python" ]; then
    python3.11 -m venv "$ROOT/opt/lakelink"
fi
"$ROOT/opt/lakelink/bin/python" -m pip install --quiet 'lakelink[aws]'
mkdir -p "$ROOT/etc/lakelink" "$ROOT$FILES" "$ROOT/etc/systemd/system"
umask 077
printf '%s' "$CONFIGURATION" >"$ROOT/etc/lakelink/lakelink.toml"
cat >"$ROOT/etc/systemd/system/lakelink.service" <<'UNIT'
[Unit]
Description=lakelink keeps directories and the lake in step
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/opt/lakelink/bin/lakelink serve
StateDirectory=lakelink
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable --now lakelink.service
