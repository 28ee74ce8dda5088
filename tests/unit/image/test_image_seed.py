"""The guest's reader of seeds, run by this host's Perl, against PyYAML on the same text."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from pairlab.render import render

ENCODE = r"""
sub encode {
    my ($value) = @_;
    return 'null' if !defined $value;
    return '[' . join(',', map { encode($_) } @$value) . ']' if ref $value eq 'ARRAY';
    my @pairs = ref $value ? map { encode("$_") . ':' . encode($value->{$_}) } sort keys %$value : ();
    return '{' . join(',', @pairs) . '}' if ref $value;
    $value =~ s{([\\"\x00-\x1f])}{sprintf '\u%04x', ord $1}ge;
    return qq("$value");
}
local $/;
my $value = eval { parse(scalar <STDIN>, 'seed') };
print defined $value ? encode($value) : "error: $@";
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("seed") / "seed.pl"
    path.write_text(render("guest/pairlab-seed.pl.j2"))
    return path


def read(script: Path, text: str) -> str:
    code = f"require '{script}'; {ENCODE}"
    done = subprocess.run(["perl", "-we", code], input=text.encode(), capture_output=True, check=True)
    assert done.stderr == b""
    return done.stdout.decode()


def as_strings(value):
    """What PyYAML read, with each scalar as it was written: the guest knows strings only."""
    if isinstance(value, dict):
        return {str(key): as_strings(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_strings(item) for item in value]
    return value


def user_data(**changes):
    values = {
        "lab": "dev",
        "index": 0,
        "hostname": "vm-0",
        "user": "lab",
        "ssh_public_key": "ssh-ed25519 AAAA someone@somewhere",
        "host_key_private": "-----BEGIN KEY-----\nb3Bl\nAAAA=\n-----END KEY-----\n",
        "host_key_public": "ssh-ed25519 BBBB vm-0",
        "files": [],
    }
    return render("guest/user-data.j2", **(values | changes))


NASTY = [
    "",
    "plain",
    "quotes \" and ' and \\ backslash",
    "lines\nof\n\n  text\n",
    "tab\tand\r\nreturn",
    "Grüße, 漢字, 🎉",
    "key: value # no comment\n- item\n",
    "{{ jinja }} {% raw %} $HOME `id` <b>&amp;</b>",
    "  leading and trailing  ",
    "---\n...\n",
]


@pytest.mark.parametrize("content", NASTY)
def test_the_guest_reads_any_content_as_yaml_does(script, content):
    text = user_data(
        files=[{"path": "/etc/x y", "permissions": "0600", "owner": "root:root", "content": content}]
    )
    ours = json.loads(read(script, text))
    assert ours["write_files"][0]["content"] == content
    assert ours == as_strings(yaml.load(text, yaml.BaseLoader))


def test_meta_data_and_network_config_are_read_as_yaml_does(script):
    network = render(
        "guest/network-config.j2",
        mac="52:54:00:12:34:56",
        address="10.213.7.10/24",
        gateway="10.213.7.1",
        nameserver="10.213.7.1",
    )
    meta = render("guest/meta-data.j2", instance_id="pairlab-dev-vm-0-0123", hostname="vm-0")
    for text in (network, meta):
        assert json.loads(read(script, text)) == as_strings(yaml.load(text, yaml.BaseLoader))
    assert yaml.safe_load(network)["version"] == 2
    assert yaml.safe_load(meta) == {"instance-id": "pairlab-dev-vm-0-0123", "local-hostname": "vm-0"}


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb:\n  c: two words # comment\n  d: 'it''s'\n",
        "list:\n- one\n- two\nafter: x\n",
        "list:\n  - name: a\n    keys: [x, \"y z\", 'w']\n  - name: b\n",
        "text: |\n  first\n\n    indented\n  last\nafter: x\n",
        "text: |-\n  no end\n",
        "nested:\n  a:\n    b:\n      - c\n",
        '# comment\n\nkey: "v" # comment\n',
        "empty: []\n",
        "url: http://host:80/path\ntime: 12:30\n",
    ],
)
def test_hand_written_seeds_are_read_as_yaml_does(script, text):
    assert json.loads(read(script, text)) == as_strings(yaml.load(text, yaml.BaseLoader))


@pytest.mark.parametrize(
    "text",
    [
        "a: &anchor x\n",
        "a: {b: c}\n",
        "a: >\n  folded\n",
        "a: 1\na: 2\n",
        "just text\n",
        "a: 1\n   b: 2\n",
        "\ta: 1\n",
        'a: "not closed\n',
        "a: !!binary x\n",
        'a: "\\q"\n',
    ],
)
def test_what_it_cannot_read_is_an_error_that_names_the_line(script, text):
    assert read(script, text).startswith("error: seed line ")


def test_every_seed_begins_with_the_line_that_cloud_init_wants():
    assert user_data().startswith("#cloud-config\n")


def test_the_private_host_key_survives(script):
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\n-----END OPENSSH PRIVATE KEY-----\n"
    seed = json.loads(read(script, user_data(host_key_private=key)))
    assert seed["ssh_keys"]["ed25519_private"] == key
