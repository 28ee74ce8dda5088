"""Probes of what an instance reaches over the network: others, the front door, and this host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from pairlab.errors import ExerciseError
from pairlab.exercise._isolation_place import Place, Probe, Tried
from pairlab.run import Runner

WAIT_S = 2
"""Seconds after which an address counts as silent."""
PACKETS = (17, 3, 0x0300)
"""AF_PACKET, SOCK_RAW, and every protocol in network byte order."""
ANSWERS = ("open", "refused")
"""Somebody's kernel answered, whether or not a program listens there."""
# All at the same time: an address that is silent costs the wait, and many cost no more.
_CONNECT = r"""
use Socket; use Fcntl; use Errno qw(EINPROGRESS ECONNREFUSED);
my ($wait, @all) = @ARGV; my (%open, %said, $bits);
sub say_of {
    my ($to, $error) = @_;
    $said{$to} = !$error ? "open" : $error == ECONNREFUSED ? "refused" : "unreachable";
}
for my $to (@all) {
    my ($address, $port) = split /:/, $to;
    socket(my $socket, PF_INET, SOCK_STREAM, 0) or die $!;
    fcntl($socket, F_SETFL, O_NONBLOCK) or die $!;
    if (connect($socket, sockaddr_in($port, inet_aton($address)))) { say_of($to, 0) }
    elsif ($! == EINPROGRESS) { $open{$to} = $socket }
    else { say_of($to, $! + 0) }
}
my $until = time + $wait;
while (%open && time <= $until) {
    my $wanted = ""; vec($wanted, fileno($_), 1) = 1 for values %open;
    select(undef, my $ready = $wanted, undef, 0.2);
    for my $to (keys %open) {
        next unless vec($ready, fileno($open{$to}), 1);
        say_of($to, unpack("i", getsockopt($open{$to}, SOL_SOCKET, SO_ERROR)));
        delete $open{$to};
    }
}
print "$_ ", $said{$_} || "silent", "\n" for @all;
"""


@dataclass(frozen=True)
class Surroundings:
    """Where probes of the network go to.

    Attributes:
        neighbour: Name of another instance of the side.
        neighbour_address: Where it serves.
        others: Name of an instance of the other side.
        others_addresses: Its addresses that this host reaches without leaving itself.
        hosts: This host's own addresses.
        door_port: Port of the side's front door on this host's loopback.
        port: Where the workload serves.
        other_labs: `address:port` -> what of another lab serves there; empty if none is up.
    """

    neighbour: str
    neighbour_address: str
    others: str
    others_addresses: tuple[str, ...]
    hosts: tuple[str, ...]
    door_port: int
    port: int
    other_labs: Mapping[str, str]


@dataclass(frozen=True)
class Knocked:
    """What came of opening a TCP connection to all that is around, from one place.

    Attributes:
        name: Of the instance where the place is.
        around: What is around.
        doors: Where the front door's health checks come from; empty if none came of late.
        said: `address:port` -> `open`, `refused`, `unreachable` or `silent`.
    """

    name: str
    around: Surroundings
    doors: Sequence[str]
    said: Mapping[str, str]

    def at(self, addresses: Iterable[str], port: int) -> dict[str, str]:
        """What was said at a port of some addresses."""
        return {to: self.said[to] for to in _with_port(addresses, port)}


def knock(place: Place, around: Surroundings) -> Knocked:
    """Open a TCP connection to all that is around, and close it again: once, for silence takes its time."""
    doors = peers(place.runner, around.port)
    to = [
        *_with_port([around.neighbour_address, *around.others_addresses], around.port),
        *_with_port([*doors, *around.hosts], around.door_port),
        *around.other_labs,
    ]
    lines = place.runner.run(["perl", "-e", _CONNECT, str(WAIT_S), *dict.fromkeys(to)]).stdout.splitlines()
    return Knocked(place.name, around, doors, dict(line.rsplit(" ", 1) for line in lines))


def _with_port(addresses: Iterable[str], port: int) -> list[str]:
    return [f"{address}:{port}" for address in addresses]


def peers(runner: Runner, port: int) -> list[str]:
    """Who has lately connected to a port of an instance, from outside of it.

    Source: proc_pid_net(5), `/proc/net/tcp`: addresses are hexadecimal words in host byte order.
    """
    found = set[str]()
    for line in runner.run(["cat", "/proc/net/tcp"]).stdout.splitlines()[1:]:
        local, remote = line.split()[1:3]
        if int(local.partition(":")[2], 16) == port:
            found.add(str(IPv4Address(bytes.fromhex(remote.partition(":")[0])[::-1])))
    return sorted(each for each in found if not IPv4Address(each).is_loopback and each != "0.0.0.0")


def raw_packets(place: Place) -> Tried:
    """Open a socket for packets of any form; nothing is sent."""
    script = "told(socket(my $socket, $ARGV[0], $ARGV[1], $ARGV[2]));"
    outcome = place.attempt(script, *PACKETS)
    tried = "opened a socket for packets of any form"
    whose = "its own kernel" if place.own_kernel else "this host's kernel"
    if outcome.error:
        return Tried(tried, outcome.told, "yes", f"{whose} (it has no CAP_NET_RAW)")
    told = "it worked: it could listen to all on its network card, and send under false names"
    return Tried(tried, told, "no", "nobody inside; whether its network lets such packets pass was not tried")


def neighbours(knocked: Knocked) -> Tried:
    """Connect to the workload of another instance of the side."""
    around = knocked.around
    tried = f"connected to {around.neighbour}"
    (said,) = knocked.at([around.neighbour_address], around.port).values()
    if said in ANSWERS:
        told = f"{said}: who takes one over can attack the next"
        return Tried(tried, told, "no", "nobody: they share a network")
    return Tried(tried, said, "yes", "the side's network")


def front_door(knocked: Knocked) -> Tried:
    """Connect back to where the front door's health checks come from."""
    said = knocked.at(knocked.doors, knocked.around.door_port)
    if not said:
        raise ExerciseError(
            f"no front door has asked {knocked.name} of late",
            hint="`invoke lab.status` shows whether it runs",
        )
    tried = f"connected to {', '.join(said)}, where the front door's health checks come from"
    told = ", ".join(sorted(set(said.values())))
    if set(said.values()) & set(ANSWERS):
        return Tried(tried, f"{told}: it answers there", "no", "nobody: they share a network")
    return Tried(tried, told, "yes", "the side's network")


def host_services(knocked: Knocked) -> Tried:
    """Connect to the front door's port at every address of this host."""
    said = knocked.at(knocked.around.hosts, knocked.around.door_port)
    opened = [to for to, answer in said.items() if answer == "open"]
    tried = f"connected to the front door's port at {len(said)} addresses of this host"
    if opened:
        return Tried(tried, f"open at {', '.join(opened)}", "no", "nobody")
    return Tried(tried, "open at none", "yes", "the front door: it listens on this host's loopback alone")


def host_itself(knocked: Knocked) -> Tried:
    """Whether this host's kernel answers at any of its addresses."""
    said = knocked.at(knocked.around.hosts, knocked.around.door_port)
    answering = [to for to, answer in said.items() if answer in ANSWERS]
    tried = f"knocked at {len(said)} addresses of this host"
    if answering:
        told = f"this host answers at {len(answering)} of them"
        return Tried(tried, told, "no", "nobody: a service that listened there would be reached")
    return Tried(tried, "none answers", "yes", "this host's kernel (its packet filter)")


def other_side(knocked: Knocked) -> Tried:
    """Connect to the workload of an instance of the other side, at each of its addresses near this host."""
    around = knocked.around
    said = knocked.at(around.others_addresses, around.port)
    tried = f"connected to {around.others} at {', '.join(around.others_addresses)}"
    told = ", ".join(sorted(set(said.values())))
    if "open" in said.values():
        return Tried(tried, f"{told}: it is reached", "no", "nobody")
    return Tried(tried, told, "yes", "this host's kernel (its packet filter and routes)")


def another_lab(knocked: Knocked) -> Tried:
    """Connect to the first instances of other labs, and to their front doors."""
    labs = knocked.around.other_labs
    if not labs:
        told = "none was up, and none came up for this"
        return Tried("looked for one", told, "untried")
    said = {to: knocked.said[to] for to in labs}
    opened = [f"{labs[to]} at {to}" for to, answer in said.items() if answer == "open"]
    tried = f"connected to {len(said)} addresses of {', '.join(dict.fromkeys(labs.values()))}"
    if opened:
        return Tried(tried, f"{', '.join(opened)} is reached", "no", "nobody")
    told = f"open at none: {', '.join(sorted(set(said.values())))}"
    return Tried(tried, told, "yes", "this host's kernel (its packet filter and routes)")


RAW_PACKETS = Probe("packets of any form: is it kept from sending them?", raw_packets)
NETWORK = (
    ("the network of its side: is another instance out of reach?", neighbours),
    ("the network of its side: is the front door's back out of reach?", front_door),
    ("this host's addresses: is the front door's port closed there?", host_services),
    ("this host's addresses: is this host silent there?", host_itself),
    ("the network of the other side: are its instances out of reach?", other_side),
    ("the network of another lab: are its instances and front doors out of reach?", another_lab),
)
"""Questions, and what answers each from what was said all around."""
