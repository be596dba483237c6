"""What the service manager is told, and that nobody is waited for."""

import os
import socket

from lakelink.daemon.notify import ServiceManager


def test_without_a_manager_nothing_happens():
    manager = ServiceManager({})
    manager.ready("2 links")
    assert manager.watchdog_s == 0


def test_a_manager_that_is_gone_does_no_harm(tmp_path):
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).stopping()


def test_messages_on_an_abstract_socket():
    name = f"lakelink-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        manager.settimeout(30)
        told = ServiceManager({"NOTIFY_SOCKET": f"@{name}"})
        told.ready("2 links")
        assert manager.recv(4096) == b"READY=1\nSTATUS=2 links"
        told.reloading()
        assert manager.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        told.alive()
        assert manager.recv(4096) == b"WATCHDOG=1"


def test_the_watchdog_of_another_process_is_not_ours(tmp_path):
    environ = {"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "30000000"}
    assert ServiceManager(environ).watchdog_s == 30
    assert ServiceManager(environ | {"WATCHDOG_PID": str(os.getpid())}).watchdog_s == 30
    assert ServiceManager(environ | {"WATCHDOG_PID": "1"}).watchdog_s == 0
