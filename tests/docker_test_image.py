"""A container image without a distribution: one static program that the tests of Docker share."""

from __future__ import annotations

import io
import secrets
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker

from pairlab.run import LocalRunner

TOOL = r"""
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static void leave(int number) { (void)number; _exit(0); }
int main(int argc, char **argv) {
    signal(SIGTERM, leave);
    if (argc > 2 && !strcmp(argv[1], "say")) { puts(argv[2]); return argc > 3 ? atoi(argv[3]) : 0; }
    if (argc > 2 && !strcmp(argv[1], "show")) {
        FILE *file = fopen(argv[2], "r"); int c;
        if (!file) { perror(argv[2]); return 1; }
        while ((c = getc(file)) != EOF) putchar(c);
        putchar('\n'); fflush(stdout);
    }
    for (;;) pause();
}
"""


def built_image(api: docker.APIClient, folder: Path) -> Iterator[str]:
    """Build it with two tags, and remove it at the end; gives its name without a tag.

    Its program `/tool` waits for SIGTERM; `say TEXT [STATUS]` prints and ends; `show FILE` prints and waits.
    """
    (folder / "tool.c").write_text(TOOL)
    LocalRunner().run(["gcc", "-static", "-O1", "-o", str(folder / "tool"), str(folder / "tool.c")])
    name = f"pldocker-image-{secrets.token_hex(3)}"
    for tag in ("1", "2"):
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.add(folder / "tool", "tool")
            member = tarfile.TarInfo("etc/version")
            member.size = len(tag)
            tar.addfile(member, io.BytesIO(tag.encode()))
        changes = ['ENTRYPOINT ["/tool"]', "ENV FROM=image", "LABEL from=image"]
        api.import_image_from_data(archive.getvalue(), repository=name, tag=tag, changes=changes)
    yield name
    for tag in ("1", "2"):
        api.remove_image(f"{name}:{tag}", force=True)
