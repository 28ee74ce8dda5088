"""Files that a container gets before it starts."""

from __future__ import annotations

import base64
import io
import re
import tarfile
import time
from pathlib import Path
from typing import Any

from pairlab.errors import PluginError
from pairlab.plugin.resource import UNKNOWN, Failure, Values

CONTENTS = ("content", "contentBase64", "source")
EXECUTABLE, READABLE = 0o744, 0o644


def upload_failures(uploads: Any) -> list[Failure]:
    """Uploads that could not be made: each needs one kind of content and an absolute path."""
    failures = []
    for number, upload in enumerate(uploads if isinstance(uploads, list) else ()):
        if not isinstance(upload, dict):
            continue
        place = f"uploads[{number}]"
        if sum(upload.get(kind) is not None for kind in CONTENTS) != 1:
            failures.append(Failure(place, f"give exactly one of {', '.join(CONTENTS)}"))
        permissions = upload.get("permissions")
        if permissions not in (None, UNKNOWN) and not re.fullmatch("0[0-7]{3}", str(permissions)):
            failures.append(Failure(f"{place}.permissions", "is no mode such as 0644", permissions))
        file = upload.get("file")
        if file is not UNKNOWN and not str(file).startswith("/"):
            failures.append(Failure(f"{place}.file", "is not an absolute path", file))
    return failures


def archive(uploads: list[Values]) -> bytes:
    """A tar archive of them, to be unpacked at the container's root.

    Raises:
        PluginError: A `source` cannot be read.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for upload in uploads:
            content = _content(upload)
            member = tarfile.TarInfo(upload["file"].lstrip("/"))
            member.size, member.mtime = len(content), int(time.time())
            member.mode = EXECUTABLE if upload.get("executable") else READABLE
            if upload.get("permissions"):
                member.mode = int(upload["permissions"], 8)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _content(upload: Values) -> bytes:
    if upload.get("contentBase64") is not None:
        return base64.b64decode(upload["contentBase64"])
    if upload.get("source") is not None:
        try:
            return Path(upload["source"]).read_bytes()
        except OSError as error:
            raise PluginError(
                f"cannot read {upload['source']}: {error.strerror}", hint="name a file that can be read"
            ) from error
    return str(upload["content"]).encode()
