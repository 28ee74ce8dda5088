"""Programs that the tests need, from the host's own package archive, without installing them."""

from pathlib import Path

from pairlab.run import LocalRunner


def debian_package(name: str, where: Path) -> Path:
    """The files of a Debian package, unpacked but not installed."""
    local = LocalRunner()
    where.mkdir(parents=True, exist_ok=True)
    local.run(["apt-get", "download", name], cwd=where, timeout_s=120)
    package = next(where.glob(f"{name}_*.deb"))
    local.run(["dpkg", "-x", str(package), str(where / "root")])
    return where / "root"
