"""Every command that a teaching text shows can be typed: it names what there is, where it is to run.

No command is run. Each is taken apart as a shell would, down to the programs that it starts, and each program
is held against what the host has, or the image of the instance in which it is to run.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from invoke.exceptions import Exit
from invoke.parser import Parser

import tasks
from pairlab import exercise
from pairlab.errors import UsageError
from pairlab.exercise._guide import page
from pairlab.host import packages
from pairlab.image.nested import engine_recipe
from pairlab.image.recipe import BASE_PACKAGES, TOOLS, VM_PACKAGES, container_recipe, vm_recipe
from pairlab.model import ContainerImage, Settings, SideName, parse_instance_name, placeholder_spec
from pairlab.render import TEMPLATES
from stacks import pair
from tests.unit.test_stacks import declare_spec

PROGRAMS = {
    "apt": "apt-cache apt-get /usr/lib/apt/apt-helper",
    "bash": "bash",
    "coreutils": "cat cp date dd df echo head ls mkdir nproc printf rm seq sha256sum sync timeout uname",
    "curl": "curl",
    "dash": "sh",
    "docker.io": "docker",
    "dpkg": "dpkg-query",
    "findutils": "find xargs",
    "grep": "grep",
    "hostname": "hostname",
    "iproute2": "ip ss",
    "kmod": "modprobe",
    "libvirt-clients": "virsh",
    "mount": "mount",
    "openssh-client": "scp ssh",
    "perl-base": "perl",
    "podman": "podman",
    "procps": "kill pkill ps",
    "qemu-utils": "qemu-img",
    "sed": "sed",
    "sudo": "sudo",
    "systemd": "journalctl systemctl systemd-analyze",
    "tar": "tar",
    "util-linux": "dmesg fallocate taskset",
}
"""Debian package -> programs of it that the texts name, with a path where they are on none."""
PACKAGE_OF = {program: package for package, names in PROGRAMS.items() for program in names.split()}
ESSENTIAL = {
    "bash", "coreutils", "dash", "dpkg", "findutils", "grep", "hostname", "mount", "perl-base", "sed", "tar",
    "util-linux",
}  # fmt: skip
"""In every Debian system. Source: Debian Policy 3.8; `Essential: yes` in the packages' own description."""
NEEDED_BY = {"kmod": "linux-image-cloud-amd64", "procps": "openssh-server", "iproute2": "nginx"}
"""Package -> one of which Debian 12 says that it depends on it."""
BUILT_IN = {"cd", "kill"}
"""What a shell does itself: without one it is a program as any other."""
SYNTAX = {"do", "done", "time"}
ROOTS = {"apt-get", "dmesg", "modprobe", "podman", "systemctl", "systemd-analyze"}
"""Ask the kernel, systemd or dpkg for what an ordinary account in the instances may not."""
ROOT = TEMPLATES.parent
URI = ["--connect", Settings().libvirt_uri]
OPERATORS = {"|", "||", "&", "&&", ";", ";;", "(", ")", "<", ">", ">>"}
SUBSTITUTED = re.compile(r"'[^']*'|\$\(([^()]*)\)")
"""What a shell puts a command's output in place of, as it is not within single quotes."""
OLD_GROUPS, GROUPS = (re.compile(rf"/sys/fs/cgroup/(cpu|memory|pids){end}") for end in ("/", r"\."))
"""Files of control groups, version 1 and version 2."""
WHERE = {"CONTAINER", "guest"}
"""Stand for a container, after which `exec` names what runs inside."""


@dataclass(frozen=True)
class Place:
    """Where a command runs.

    Attributes:
        name: In words, for complaints.
        packages: Debian packages that are there.
        root: Whether it runs as root there.
    """

    name: str
    packages: frozenset[str]
    root: bool = False

    def has(self, program: str) -> bool:
        package = PACKAGE_OF.get(program, "")
        return package in self.packages | ESSENTIAL or NEEDED_BY.get(package) in self.packages


HOST = Place(
    "the host",
    frozenset(
        {"sudo", *packages.DAEMON_PACKAGES, *packages.QEMU_PACKAGES, *packages.IMAGE_PACKAGES,
         *packages.OTHER_PACKAGES}
    ),
)  # fmt: skip
"""What `lab.setup` installs; README asks for sudo where the account is not root."""
VM = Place("a VM", frozenset({*BASE_PACKAGES, *VM_PACKAGES, *vm_recipe(pair.WEB).packages}))
ENGINE = Place(
    "the VM with an engine", frozenset({*BASE_PACKAGES, *VM_PACKAGES, *engine_recipe(pair.WEB).packages})
)
CONTAINER = Place("a container", frozenset({*BASE_PACKAGES, *container_recipe(pair.WEB).packages}))


@dataclass(frozen=True)
class Text:
    """What is true of one text.

    Attributes:
        counts: Side -> number of instances that its exercise wants.
        engine: Name of a VM that has an engine; empty for none.
        names: Of all that the lab's declaration makes, as libvirt and Docker know it.
    """

    counts: dict[SideName, int]
    engine: str
    names: frozenset[str]

    def place(self, instance: str) -> Place:
        """The instance of that name, as `lab.exec` gets there.

        Raises:
            UsageError: There is none.
        """
        if instance == self.engine:
            return ENGINE
        side, tier, index = parse_instance_name(instance)
        if tier or index >= self.counts[side]:
            raise UsageError(f"there is no {instance}", hint="")
        return VM if side is SideName.VM else CONTAINER


def words_of(script: str) -> list[str]:
    """The words and operators of a line of shell, an operator being one only outside of quotes."""
    lexer = shlex.shlex(script, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    return list(lexer)


def has_operators(script: str) -> bool:
    return any(set(word) <= set("|&;()<>") for word in words_of(re.sub(r"\$\(", "(", script)))


def complain(script: str, place: Place, text: Text) -> Iterator[str]:
    """What is wrong with a line of shell that runs in a place."""
    for inner in filter(None, re.findall(SUBSTITUTED, script)):
        yield from complain(inner, place, text)
    script = re.sub(SUBSTITUTED, lambda found: "VALUE" if found[1] else found[0], script)
    command: list[str] = []
    target = False
    for word in [*words_of(script), ";"]:
        if word in OPERATORS:
            if word in "<>>":
                target = True
                continue
            while command and (command[0] in SYNTAX or re.match(r"\w+=", command[0])):
                command = command[1:]
            if command and command[0] not in {"for", *BUILT_IN}:
                yield from complain_of_one(command, place, text)
            command = []
        elif target:
            target = False
        else:
            command.append(word)


def complain_of_one(argv: list[str], place: Place, text: Text) -> Iterator[str]:
    """What is wrong with one program's command line."""
    program, *rest = argv
    yield from (
        f"{word} names nothing that the lab declares"
        for word in rest
        if re.fullmatch(r"pairlab-[\w-]+", word) and word not in text.names
    )
    if program in ("invoke", "./inv"):
        yield from complain_of_task(rest, place, text)
        return
    if not place.has(program):
        yield f"{place.name} has no {program}"
    if program in ROOTS and place is not HOST and not place.root:
        yield f"{program} wants an administrator in {place.name}"
    if program == "apt-get" and "install" in rest and not {"-y", "--yes"} & {*rest}:
        yield "apt-get install asks, and nobody answers: --yes"
    if program == "systemctl" and "edit" in rest:
        yield "systemctl edit wants a terminal and an editor"
    if program == "virsh" and rest[:2] != URI:
        yield f"virsh asks another libvirt without {' '.join(URI)}"
    if program == "sudo":
        yield from complain_of_one(rest, replace(place, root=True), text)
    elif program in ("sh", "bash") and rest[:1] == ["-c"]:
        yield from complain(rest[1], place, text)
    elif program == "timeout":
        yield from complain_of_one(rest[rest.index("1") + 1 :], place, text)
    elif program == "xargs":
        first = next(number for number, word in enumerate(rest) if not word.startswith("-"))
        yield from complain_of_one(rest[first:], place, text)
    elif program in ("docker", "podman") and rest[0] == "exec":
        name = next(number for number, word in enumerate(rest) if word in WHERE)
        yield from complain_of_one(rest[name + 1 :], replace(CONTAINER, root="root" in rest[:name]), text)
    elif program == "ssh":
        far = next(number for number, word in enumerate(rest) if "@" in word)
        yield from complain_of_one(rest[far + 1 :], ENGINE, text)


def complain_of_task(argv: list[str], place: Place, text: Text) -> Iterator[str]:
    """What is wrong with a command of this project: task, options, instance, and what runs in that."""
    if place is not HOST:
        yield f"{place.name} has no invoke"
        return
    try:
        (found,) = Parser(contexts=tasks.ns.to_contexts()).parse_argv(argv)
    except (Exit, ValueError) as error:
        yield f"invoke {' '.join(argv)}: {error}"
        return
    given = {name: argument.value for name, argument in found.args.items()}
    if "lab" in given and "--lab" not in argv:
        yield f"invoke {argv[0]} does not say in which lab: --lab"
    if "instance" not in given:
        return
    try:
        inside = text.place(given["instance"])
    except UsageError as error:
        yield str(error)
        return
    if "command" not in given:
        return
    if has_operators(given["command"]):
        yield f"lab.exec starts no shell, so that {given['command']!r} needs one: sh -c"
        return
    yield from complain_of_one(shlex.split(given["command"]), inside, text)


def check(line: str, text: Text, functions: frozenset[str] = frozenset()) -> list[str]:
    """What is wrong with one line that a person is to type on the host."""
    if "lab.exec" in line and has_operators(line):
        return ["a shell on the host takes an operator that stands beside lab.exec: quote it"]
    if re.search(OLD_GROUPS, line) and not re.search(GROUPS, line):
        return ["that file is there with control groups of version 1 only"]
    first, second, *_ = [*line.split(), ""]
    if first in functions:
        return [] if second in TOOLS else [f"the tree has no {second}"]
    if first.removesuffix("()") in functions:
        return []
    return list(complain(line, HOST, text))


def lines_of(text: str) -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return re.findall(r"^\$ (.+)$", "".join(blocks), re.MULTILINE)


def declared_names() -> frozenset[str]:
    """As libvirt and Docker know what the lab `dev` makes, with the most that an exercise adds."""
    spec = placeholder_spec("dev", Settings(vms=3), pair.tiers)
    made = declare_spec("pair", replace(spec, machine=ContainerImage.unbuilt("machine")))
    return frozenset(str(inputs["name"]) for inputs in made.inputs.values() if "name" in inputs)


@pytest.fixture(scope="module")
def names() -> frozenset[str]:
    return declared_names()


@pytest.mark.parametrize("name", exercise.names())
def test_every_command_of_a_text_can_be_typed(name: str, names: frozenset[str]) -> None:
    kind = exercise.load(name)
    counts = {SideName.VM: max(2, kind.vms), SideName.CONTAINER: max(2, kind.replicas)}
    text = Text(counts, kind.example.get("host", ""), names)
    lines = lines_of(page(name, kind.example))
    assert len(lines) >= 5
    functions = frozenset(re.findall(r"^(\w+)\(\) \{", "\n".join(lines), re.MULTILINE))
    wrong = {line: found for line in lines if (found := check(line, text, functions))}
    assert wrong == {}


BAD = {
    "git revert HEAD": "the host has no git",
    "ps -C qemu": "the host has no ps",
    "virsh list --all": "virsh asks another libvirt",
    "virsh --connect qemu:///system dominfo pairlab-dev-web-0": "names nothing that the lab declares",
    "docker service ps pairlab-dev-nginx": "names nothing that the lab declares",
    "docker exec CONTAINER apt-get update": "wants an administrator",
    "docker exec --user root CONTAINER apt-get install nginx": "--yes",
    "docker exec CONTAINER sudo ls": "a container has no sudo",
    "docker save IMAGE | ssh lab@ADDRESS sudo docker load": "the VM with an engine has no docker",
    "seq 3 | xargs --max-procs=2 wget http://127.0.0.1": "the host has no wget",
    "for i in $(shuf 3); do nc localhost; done": "the host has no nc",
    "cat /sys/fs/cgroup/pids/pids.max": "version 1 only",
    "invoke lab.upp --lab dev": "No idea what",
    "invoke lab.up --lab dev --containers 2": "No idea what",
    "invoke lab.status": "in which lab",
    "invoke lab.exec --lab dev vm/0": "did not receive required positional arguments",
    "invoke lab.exec --lab dev vm/7 date": "there is no vm/7",
    "invoke lab.exec --lab dev vm-0 date": "names no instance",
    "invoke lab.exec --lab dev vm/0 'systemctl status nginx'": "systemctl wants an administrator",
    "invoke lab.exec --lab dev vm/0 'sudo apt-get install nginx'": "--yes",
    "invoke lab.exec --lab dev vm/0 'sudo systemctl edit nginx'": "an editor",
    "invoke lab.exec --lab dev vm/0 'curl http://127.0.0.1'": "a VM has no curl",
    "invoke lab.exec --lab dev vm/0 'ls /tmp; date'": "lab.exec starts no shell",
    "invoke lab.exec --lab dev vm/0 'date > /tmp/now'": "lab.exec starts no shell",
    "invoke lab.exec --lab dev vm/0 'echo $(date)'": "lab.exec starts no shell",
    "invoke lab.exec --lab dev vm/0 'sh -c \"date | wget\"'": "a VM has no wget",
    "invoke lab.exec --lab dev vm/0 date && date": "quote it",
    "invoke lab.exec --lab dev vm/0 date | head": "quote it",
    "invoke lab.exec --lab dev container/0 'pkill nginx'": "a container has no pkill",
    "invoke lab.exec --lab dev container/0 'kill -TERM 1'": "a container has no kill",
    "invoke lab.exec --lab dev vm/2 'sudo podman exec guest openssl speed'": "a container has no openssl",
}


@pytest.mark.parametrize("line", BAD)
def test_a_command_that_cannot_be_typed_is_found(line: str, names: frozenset[str]) -> None:
    text = Text({SideName.VM: 2, SideName.CONTAINER: 2}, "vm/2", names)
    assert BAD[line] in "; ".join(check(line, text))


def test_every_command_that_a_page_or_a_hint_names_is_one() -> None:
    """Only its task and its options: a hint may leave out what everybody knows."""
    found = set[str]()
    for pattern in ("*.md", "docs/**/*.md", "pairlab/**/*.py", "stacks/*.py", "tasks.py"):
        for path in ROOT.glob(pattern):
            text = path.read_text(encoding="utf-8")
            found |= set(re.findall(r"(?:`|^\$ )(?:\./inv|invoke) ([a-z][^`'\n>;&|]*)", text, re.MULTILINE))
    assert len(found) > 50
    assert [line for line in sorted(found) if not is_known(line)] == []
    assert not is_known("lab.upp --lab dev")
    assert not is_known("lab.up --lab dev --containers 2")


def is_known(line: str) -> bool:
    """Whether there is such a task, with these options."""
    known = {name: task for task in tasks.ns.to_contexts() for name in (task.name, *task.aliases)}
    name, *words = line.split()
    options = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
    return name in known and options <= known[name].flags.keys()
