"""A domain's XML as its program's stylesheet wants it: for what libvirt knows and no property says."""

from __future__ import annotations

import tempfile
from shutil import which
from xml.etree import ElementTree as ET

from pairlab.errors import CommandError, PluginError
from pairlab.run import LocalRunner, tail

TOOL = "xsltproc"
TIMEOUT_S = 60.0
TOLD_LINES = 3
"""Of what the tool says; its first error is followed by what came of that."""


def transformed(description: str, stylesheet: str) -> str:
    """What a stylesheet makes of a domain's XML.

    As with the official plugin it is meant for what no property says: of a property that it changes, each
    look finds a difference.

    Source: dmacvicar/terraform-provider-libvirt v0.8, libvirt/xslt.go

    Args:
        description: The domain's XML.
        stylesheet: XSLT 1.0. It may read files, as whoever runs the engine may, and neither write nor use
            the network.

    Raises:
        PluginError: xsltproc is missing or refuses it, or what comes out describes no domain.
    """
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".xslt") as file:  # mode 0600
        file.write(stylesheet)
        file.flush()
        argv = [TOOL, "--nomkdir", "--nonet", "--nowrite", file.name, "-"]
        try:
            done = LocalRunner().run(argv, input_text=description, check=False, timeout_s=TIMEOUT_S)
        except CommandError as error:
            hint = error.hint if which(TOOL) else f"install the Debian package {TOOL}: `invoke lab.setup`"
            raise PluginError(f"xml.xslt cannot be applied: {error.message}", hint=hint) from error
    if done.returncode:
        said = tail(done.stderr, TOLD_LINES).replace(file.name, "xml.xslt")
        raise PluginError(
            f"xml.xslt cannot be applied: {TOOL} failed with exit status {done.returncode}: {said}",
            hint="correct the stylesheet",
        )
    if not _is_domain(done.stdout):
        raise PluginError(
            "what xml.xslt makes of the domain's XML describes no domain",
            hint="let the stylesheet copy all that it does not change, the root element `domain` too",
        )
    return done.stdout


def _is_domain(text: str) -> bool:
    try:
        return ET.fromstring(text).tag == "domain"
    except ET.ParseError:
        return False
