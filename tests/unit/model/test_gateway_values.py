"""What lives in a gateway, as values: what holds for those of which nothing was counted yet."""

from lakelink.model.gateway import GatewayStatus, LiveSession


def test_a_new_session_has_moved_nothing():
    session = LiveSession(id="s1", user="acme", address="192.0.2.7", port=50022, client="SSH-2.0-x", since_ns=1)
    assert (session.uploaded_bytes, session.downloaded_bytes, session.operations, session.active_ns) == (0, 0, 0, 0)


def test_a_gateway_that_has_just_begun_serves_nobody_and_has_banned_nobody():
    status = GatewayStatus(pid=1, started_ns=1, listening=("127.0.0.1:2222",), policy="modern", workers=2)
    assert (status.sessions, status.half_open, status.is_draining) == (0, 0, False)
    assert (status.banned, status.counts) == ((), ())
