"""Probes of the kernel: whose it is, and what an instance may do to it. None changes this host."""

from __future__ import annotations

from pairlab.exercise._isolation_calls import system_calls
from pairlab.exercise._isolation_figures import MODULES, THE_KERNEL
from pairlab.exercise._isolation_place import (
    CAPABILITIES,
    SYSCALLS,
    Outcome,
    Place,
    Probe,
    Tried,
    judge,
    untried,
)
from pairlab.exercise._stack_inside import boot_id, release

NOTHING = -1
"""No open file."""
HERE = -100
"""AT_FDCWD: the working directory."""
NEW_USER_NAMESPACE = 0x10000000
"""CLONE_NEWUSER."""
READ_ALL, LOG_BYTES = 3, 64
"""SYSLOG_ACTION_READ_ALL: leaves the log as it is."""
NEXT_PROGRAM = 11
"""BPF_PROG_GET_NEXT_ID: lists, and changes nothing."""
SWAPPINESS = "/proc/sys/vm/swappiness"
HARMLESS = ("nls_ascii", "nls_utf8", "crc_itu_t")
"""They do nothing until something asks for them."""
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""The limit of an instance's memory, in either version of control groups."""


def identity(place: Place) -> Tried:
    """Whose kernel it is."""
    own, hosts = boot_id(place.runner), boot_id(place.host)
    told = f"{release(place.runner)}, boot id {own}; this host's {hosts}"
    if own != hosts:
        return Tried("read the kernel's boot id", told, "yes", "the virtual hardware")
    return Tried("read the kernel's boot id", f"{told}: a flaw in it is a flaw for all", "no", "nobody")


def user_ids(place: Place) -> Tried:
    """Whether its user numbers are those of this host's kernel."""
    first, outside, count = place.runner.run(["cat", "/proc/self/uid_map"]).stdout.split()[:3]
    user = place.runner.run(["id", "--user"]).stdout.strip()
    tried = "read how user numbers are mapped"
    if place.own_kernel:
        return Tried(tried, f"user {user} of its own kernel", "yes", "the virtual hardware")
    if (first, outside) == ("0", "0"):
        return Tried(tried, f"user {user} inside is user {user} of this host's kernel", "no", "nobody")
    told = f"{count} numbers from {first} are {outside} and up on this host"
    return Tried(tried, told, "yes", "this host's kernel (a user namespace)")


def capabilities(place: Place) -> Tried:
    """The parts of an administrator's power that it has."""
    has = [name for name in CAPABILITIES if name in place.capabilities]
    kernel = "its own kernel" if place.own_kernel else "this host's kernel"
    listed = "all" if len(has) == len(CAPABILITIES) else ", ".join(has) or "none"
    told = f"{len(place.capabilities)} of {len(CAPABILITIES)} over {kernel}: {listed}"
    return Tried("read its capabilities", told, "fact")


def module(place: Place) -> Tried:
    """Load a module: nothing at all, and in a kernel of its own a harmless one, which goes again."""
    harm = "a module would go into the kernel of this host"
    if left_alone := untried(place, "SYS_MODULE", harm):
        return left_alone
    outcome = place.call("finit_module", NOTHING, "", 0)
    if place.own_kernel and place.admin and (loaded := _load_and_unload(place)):
        return Tried(
            f"loaded the module {loaded} and took it out again",
            "it was in its own kernel's list and not in this host's",
            "yes",
            "the virtual hardware: what it reached is its own kernel",
        )
    tried = "loaded a module of nothing"
    return judge(place, tried, outcome, harm=harm, needs="SYS_MODULE", passed=["EBADF"])


def _load_and_unload(place: Place) -> str:
    """The module; empty where the instance has none of those that are harmless."""

    def loaded(name: str) -> bool:
        return f"\n{name} " in "\n" + place.runner.run(["cat", "/proc/modules"]).stdout

    before = place.host.run(["cat", "/proc/modules"], check=False).stdout
    for name in HARMLESS:
        known = place.runner.run(["modprobe", "--dry-run", name], check=False).returncode == 0
        if known and not loaded(name) and f"\n{name} " not in f"\n{before}":
            place.runner.run(["modprobe", name])
            try:
                after = place.host.run(["cat", "/proc/modules"], check=False).stdout
                return name if loaded(name) and f"\n{name} " not in f"\n{after}" else ""
            finally:
                place.runner.run(["modprobe", "--remove", name])
    return ""


def mount(place: Place) -> Tried:
    """Mount an empty file system, and take it away again."""
    harm = "it can mount what it likes in this host's kernel"
    if left_alone := untried(place, "SYS_ADMIN", harm):
        return left_alone
    script = (
        'my ($at, $none, $kind) = ("/tmp/pairlab-mount-$$", "none", "tmpfs"); mkdir $at or die $!;'
        " my $got = syscall($ARGV[0] + 0, $none, $at, $kind, 0, 0); my $error = $!;"
        " syscall($ARGV[1] + 0, $at, 0) unless $got; rmdir $at; $! = $error;"
        " told(!$got);"
    )
    outcome = place.attempt(script, *_numbers("mount", "umount2"))
    return judge(place, "mounted an empty file system", outcome, harm=harm, needs="SYS_ADMIN")


def sysctl(place: Place) -> Tried:
    """Write back the value of a setting that no namespace parts."""
    script = (
        "open(my $in, '<', $ARGV[0]) or die $!; my $value = <$in>; sysopen(my $out, $ARGV[0], 1) or told(0);"
        " told(defined syswrite($out, $value));"
    )
    outcome = place.attempt(script, SWAPPINESS)
    harm = "it can change how this host's kernel works for all"
    return judge(place, "wrote vm.swappiness back as it was", outcome, harm=harm)


def clock(place: Place) -> Tried:
    """Set the clock to the time that it shows; on this host's kernel only the right to do so is looked at."""
    if not place.own_kernel:
        if "SYS_TIME" in place.capabilities:
            return Tried("not tried", "it has CAP_SYS_TIME: it can set this host's clock", "no", "nobody")
        enforcer = "this host's kernel (it has no CAP_SYS_TIME)"
        return Tried("not tried, as it is this host's clock", "it could not", "yes", enforcer)
    script = (
        'my $now = "\\0" x 16; syscall($ARGV[0] + 0, 0, $now) and die $!;'
        " told(!syscall($ARGV[1] + 0, 0, $now));"
    )
    outcome = place.attempt(script, *_numbers("clock_gettime", "clock_settime"))
    return judge(place, "set the clock to what it shows", outcome, harm="", needs="SYS_TIME")


def kernel_log(place: Place) -> Tried:
    """Read the end of the kernel's log."""
    script = (
        'my $text = "\\0" x $ARGV[2]; my $got = syscall($ARGV[0] + 0, $ARGV[1] + 0, $text, $ARGV[2] + 0);'
        " told($got >= 0, $got);"
    )
    outcome = place.attempt(script, *_numbers("syslog"), READ_ALL, LOG_BYTES)
    harm = "this host's kernel log tells of the host and of others"
    return judge(place, "read the kernel's log", outcome, harm=harm, needs="SYSLOG")


def kernel_memory(place: Place) -> Tried:
    """Read the first bytes of the kernel's memory."""
    outcome = place.read_some("/proc/kcore")
    tried = "read /proc/kcore"
    if not outcome.error and outcome.found == "0":
        return Tried(tried, "it is empty", "yes", "this host's kernel (an empty file covers it)")
    return judge(place, tried, outcome, harm="it reads all memory of this host", needs="SYS_RAWIO")


def physical_memory(place: Place) -> Tried:
    """Open the device of the physical memory, without reading it."""
    outcome = place.attempt("told(sysopen(my $file, $ARGV[0], 0));", "/dev/mem")
    return judge(place, "opened /dev/mem", outcome, harm="it reads this host's memory", needs="SYS_RAWIO")


def disk_by_its_number(place: Place) -> Tried:
    """Make a device node for the first disk that the kernel tells of, open it for reading, and remove it."""
    script = (
        "open(my $in, '<', '/proc/partitions') or die $!; my ($major, $minor);"
        " while (<$in>) { ($major, $minor) = ($1, $2), last if /^\\s*(\\d+)\\s+(\\d+)\\s/ }"
        " if (!defined $major) { $! = 2; told(0) }"
        ' my $at = "/tmp/pairlab-disk-$$";'
        " my $device = ($minor & 255) | ($major << 8) | (($minor & ~255) << 12);"
        " syscall($ARGV[0] + 0, $at, 0060400, $device) and told(0);"
        " my $opened = sysopen(my $file, $at, 0); my $error = $!; unlink $at; $! = $error; told($opened);"
    )
    outcome = place.attempt(script, *_numbers("mknod"))
    harm = "it reads this host's disk, with the files of everybody"
    tried = "made a node for the kernel's first disk and opened it"
    if outcome.error == "EPERM" and "MKNOD" in place.capabilities and not place.own_kernel:
        return Tried(tried, outcome.told, "yes", "this host's kernel (its control group forbids the device)")
    return judge(place, tried, outcome, harm=harm, needs="MKNOD")


def emergency_keys(place: Place) -> Tried:
    """Open the file that stops or restarts a kernel at once; nothing is written."""
    outcome = place.open_for_writing("/proc/sysrq-trigger")
    return judge(place, "opened /proc/sysrq-trigger", outcome, harm="it can stop this host at once")


def restart(place: Place) -> Tried:
    """Ask for a restart without the words that it needs."""
    harm = "it could restart"
    if left_alone := untried(place, "SYS_BOOT", harm):
        return left_alone
    outcome = place.call("reboot", 0, 0, 0, 0)
    tried = "asked for a restart, without its magic numbers"
    return judge(place, tried, outcome, harm=harm, needs="SYS_BOOT", passed=["EINVAL"])


def user_namespace(place: Place) -> Tried:
    """Begin a user namespace, in which it would be administrator; it ends with the process."""
    outcome = place.call("unshare", NEW_USER_NAMESPACE)
    harm = "much more of this host's kernel can be reached from there"
    return judge(place, "began a user namespace of its own", outcome, harm=harm, needs="SYS_ADMIN")


def keyring(place: Place) -> Tried:
    """Ask for the kernel's keyring of the session, which no namespace parts."""
    outcome = place.call("keyctl", 0, -3, 0)
    harm = "this host's kernel keeps its keys beside those of others"
    return judge(place, "asked for the kernel's keyring", outcome, harm=harm, passed=["ENOKEY"])


def programs_in_the_kernel(place: Place) -> Tried:
    """Ask which programs run inside the kernel."""
    script = (
        'my $asked = "\\0" x 128; my $got = syscall($ARGV[0] + 0, $ARGV[1] + 0, $asked, 128);'
        " told($got != -1);"
    )
    outcome = place.attempt(script, *_numbers("bpf"), NEXT_PROGRAM)
    harm = "it sees and loads programs in this host's kernel"
    tried = "asked for the kernel's BPF programs"
    return judge(place, tried, outcome, harm=harm, needs="SYS_ADMIN", passed=["ENOENT"])


def file_by_its_number(place: Place) -> Tried:
    """Open a file by its number on the disk, past every mount: with a number that no file has."""
    harm = "it opens any file of this host's disk"
    if left_alone := untried(place, "DAC_READ_SEARCH", harm):
        return left_alone
    script = (
        'my $handle = "\\0" x 16; my $got = syscall($ARGV[0] + 0, $ARGV[1] + 0, $handle, 0);'
        " told($got != -1);"
    )
    outcome = place.attempt(script, *_numbers("open_by_handle_at"), HERE)
    tried = "opened a file by a number that none has"
    return judge(place, tried, outcome, harm=harm, needs="DAC_READ_SEARCH", passed=["EINVAL"])


def own_limit(place: Place) -> Tried:
    """Open the limit of its memory for writing; nothing is written."""
    if place.own_kernel:
        told = "nothing inside names it: its memory is what the virtual hardware has"
        return Tried("looked for the limit of its memory", told, "yes", "the virtual hardware")
    outcomes = [place.open_for_writing(path) for path in LIMITS]
    outcome = next((each for each in outcomes if each.error != "ENOENT"), Outcome("ENOENT"))
    harm = "it can take as much of this host's memory as it likes"
    return judge(place, "opened the limit of its memory", outcome, harm=harm)


def _numbers(*names: str) -> list[int]:
    return [SYSCALLS[name] for name in names]


IDENTITY = (
    Probe(THE_KERNEL, identity),
    Probe("user numbers: are they other ones than this host's?", user_ids),
    Probe("which parts of an administrator's power has it?", capabilities),
    Probe("risky system calls: is this host's kernel out of their reach?", system_calls),
)
POWER = (
    Probe(MODULES, module),
    Probe("mounting: is this host's kernel safe?", mount),
    Probe("kernel settings: are this host's safe?", sysctl),
    Probe("the clock: is this host's safe?", clock),
    Probe("emergency keys: is this host safe?", emergency_keys),
    Probe("restarting: is this host safe?", restart),
    Probe("user namespaces: is the way to more of this host's kernel closed?", user_namespace),
    Probe("the keyring: are the keys of this host's kernel out of reach?", keyring),
    Probe("BPF programs: are those in this host's kernel out of reach?", programs_in_the_kernel),
    Probe("its own memory limit: is it out of reach?", own_limit),
)
SECRETS = (
    Probe("the kernel's log: is this host's out of sight?", kernel_log),
    Probe("kernel memory: is this host's out of sight?", kernel_memory),
    Probe("physical memory: is this host's out of sight?", physical_memory),
    Probe("the disk by its number: is this host's out of sight?", disk_by_its_number),
    Probe("files by their number: are this host's out of sight?", file_by_its_number),
)
