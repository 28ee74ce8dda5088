"""Free disk and memory of this host."""

from __future__ import annotations

import re
import shutil
from pathlib import Path


def free_disk_bytes(path: Path) -> int:
    """Bytes that this account may still write where `path` is, or will be."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def free_memory_bytes(*, meminfo: Path = Path("/proc/meminfo")) -> int:
    """Bytes that new programs can have without swapping.

    Source: proc_meminfo(5), `MemAvailable`, in KiB.
    """
    match = re.search(r"^MemAvailable:\s+(\d+) kB$", meminfo.read_text(), re.MULTILINE)
    return int(match[1]) * 1024 if match else 0
