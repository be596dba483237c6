"""Secrets of every section are named in the same two ways, and misread in none."""

import pytest

from lakelink.config.document import parse_document
from lakelink.config.gateway_identity import read_identity
from lakelink.config.gateway_workflows import read_workflows
from lakelink.config.serve import read_serve
from lakelink.errors import ConfigError

SECTIONS = {
    "webhook_token": (
        '[serve]\nwebhook = "1"\n',
        lambda document, environ: read_serve(document, environ).webhook.token,
    ),
    "token": (
        '[gateway.identity]\nurl = "https://x/"\n',
        lambda document, environ: read_identity(document, environ).token,
    ),
    "webhook_secret": (
        '[[gateway.workflows]]\nname = "a"\nwebhook = "https://x/"\n',
        lambda document, environ: read_workflows(document, environ)[0].webhook_secret,
    ),
}


@pytest.fixture(params=sorted(SECTIONS))
def read(request, tmp_path):
    """The secret of one section, with these settings in it: `NAME` is what its keys begin with."""
    head, reader = SECTIONS[request.param]

    def secret(text, **environ):
        document = parse_document(head + text.replace("NAME", request.param) + "\n", tmp_path / "lakelink.toml")
        return reader(document, environ).reveal()

    return secret


def test_a_secret_comes_from_a_variable_or_a_file_or_is_empty(read, tmp_path):
    file = tmp_path / "secret"
    file.write_text("from the file\n")
    file.chmod(0o600)
    assert read(f'NAME_file = "{file}"') == "from the file"
    assert read('NAME_env = "HERE"', HERE="from the variable") == "from the variable"
    assert read("") == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('NAME_env = "HERE"', "the variable HERE is not set"),
        ('NAME_env = "HERE"\nNAME_file = "OPEN"', "as well"),
        ('NAME_file = "/nothing/there"', "cannot be read"),
        ('NAME_file = "OPEN"', "can be read by others"),
        ('NAME_file = "EMPTY"', "is empty"),
    ],
)
def test_what_is_no_secret_is_refused_with_its_place(read, tmp_path, text, sentence):
    for name, mode, content in (("OPEN", 0o640, "secret"), ("EMPTY", 0o600, "\n")):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(mode)
        text = text.replace(name, str(tmp_path / name))
    with pytest.raises(ConfigError, match=sentence) as caught:
        read(text)
    assert "lakelink.toml" in caught.value.message
    assert caught.value.hint
