"""The smallest Linux guest: an initramfs whose init prints one line and powers off. No compiler needed."""

from __future__ import annotations

import struct

READY_LINE = "pairlab-guest-kernel-runs"

_LOAD_ADDRESS = 0x400000
_ELF_HEADER_BYTES = 64
_PROGRAM_HEADER_BYTES = 56


def initramfs() -> bytes:
    """A cpio archive with `/init` and `/dev/console`.

    Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst (newc).
    """
    entries = [
        _entry("dev", 0o040755, b""),
        _entry("dev/console", 0o020600, b"", device=(5, 1)),
        _entry("init", 0o100755, _init()),
        _entry("TRAILER!!!", 0, b""),
    ]
    return b"".join(entries)


def _entry(name: str, mode: int, content: bytes, device: tuple[int, int] = (0, 0)) -> bytes:
    encoded = name.encode() + b"\0"
    # ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(encoded), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + encoded) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def _init() -> bytes:
    """A static x86-64 ELF executable: write(1, line), then reboot(power off).

    Source: System V ABI, AMD64 supplement (ELF headers); reboot(2) (magic numbers); the kernel's
    arch/x86/entry/syscalls/syscall_64.tbl (1 = write, 169 = reboot).
    """
    line = f"\n{READY_LINE}\n".encode()
    power_off = (
        b"\xb8" + struct.pack("<I", 169)  # mov eax, SYS_reboot
        + b"\xbf" + struct.pack("<I", 0xFEE1DEAD)  # mov edi, LINUX_REBOOT_MAGIC1
        + b"\xbe" + struct.pack("<I", 672274793)  # mov esi, LINUX_REBOOT_MAGIC2
        + b"\xba" + struct.pack("<I", 0x4321FEDC)  # mov edx, LINUX_REBOOT_CMD_POWER_OFF
        + b"\x0f\x05"  # syscall
        + b"\xeb\xfe"  # jmp to itself: init must not end
    )  # fmt: skip
    write_bytes = 5 + 5 + 7 + 5 + 2
    write = (
        b"\xb8" + struct.pack("<I", 1)  # mov eax, SYS_write
        + b"\xbf" + struct.pack("<I", 1)  # mov edi, 1
        + b"\x48\x8d\x35" + struct.pack("<i", write_bytes - 17 + len(power_off))  # lea rsi, [rip + line]
        + b"\xba" + struct.pack("<I", len(line))  # mov edx, length
        + b"\x0f\x05"  # syscall
    )  # fmt: skip
    code = write + power_off + line
    start = _ELF_HEADER_BYTES + _PROGRAM_HEADER_BYTES
    size = start + len(code)
    ident = b"\x7fELF\x02\x01\x01" + b"\0" * 9
    elf = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(ident, 2, 62, 1, _LOAD_ADDRESS + start, _ELF_HEADER_BYTES, 0, 0),
        *(_ELF_HEADER_BYTES, _PROGRAM_HEADER_BYTES, 1, 0, 0, 0),
    )
    # One segment, readable and executable, that maps the whole file.
    program = struct.pack("<IIQQQQQQ", 1, 5, 0, _LOAD_ADDRESS, _LOAD_ADDRESS, size, size, 0x1000)
    return elf + program + code
