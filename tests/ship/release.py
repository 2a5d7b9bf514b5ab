"""What a release is checked and described with: `python -m tests.ship.release audit|sbom|pin|pinned`.

Exit code 0: done. 1: it found something. 2: what it needs cannot be had here, such as data from the internet.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import requests

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".venv-release" / "bin"
SBOM = ROOT / "dist" / "lockstep.cdx.json"
REGISTRY, LOGIN = "https://registry-1.docker.io/v2", "https://auth.docker.io/token"
ASK = 20.0
"""Seconds that a registry has to answer."""
KINDS = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
PLACES = ("Dockerfile", "docker-compose.yml", "manifests/**/*.yaml", "examples/**/*.y*ml")
IMAGE = re.compile(r"docker\.io/(?P<name>[a-z0-9/._-]+):(?P<tag>[\w.-]+)(?P<digest>@sha256:[0-9a-f]{64})?")
"""Images of others, whole: ours are built, and have the tag of their release."""
OFFLINE = re.compile(
    r"ConnectionError|Connection(Pool| refused| reset)|Max retries|resolve|ServiceError|timed out", re.I
)


def places(root: Path) -> dict[Path, str]:
    """Return each file that names an image of others, with its text."""
    texts = {path: path.read_text("utf-8") for pattern in PLACES for path in sorted(root.glob(pattern))}
    return {path: text for path, text in texts.items() if IMAGE.search(text)}


def unpinned(root: Path) -> Iterator[tuple[str, str]]:
    """Yield each place and image that is named by its tag alone, which somebody can move."""
    for path, text in places(root).items():
        for found in IMAGE.finditer(text):
            if not found["digest"]:
                yield str(path.relative_to(root)), found[0]


def pin(root: Path, digest: Callable[[str, str], str]) -> None:
    """Write the digest that each tag has now beside it. Raises what `digest` does, with nothing written."""
    texts = places(root)
    found = {(each["name"], each["tag"]) for text in texts.values() for each in IMAGE.finditer(text)}
    digests = {each: digest(*each) for each in sorted(found)}
    for path, text in texts.items():
        path.write_text(
            IMAGE.sub(
                lambda each: f"docker.io/{each['name']}:{each['tag']}@{digests[each['name'], each['tag']]}",
                text,
            )
        )


def digest_of(name: str, tag: str) -> str:
    """Ask the registry which digest an image's tag has now, for all of its platforms together."""
    scope = {"service": "registry.docker.io", "scope": f"repository:{name}:pull"}
    told = requests.get(LOGIN, params=scope, timeout=ASK)
    told.raise_for_status()
    headers = {"Authorization": f"Bearer {told.json()['token']}", "Accept": KINDS}
    said = requests.head(f"{REGISTRY}/{name}/manifests/{tag}", headers=headers, timeout=ASK)
    said.raise_for_status()
    return said.headers["Docker-Content-Digest"]


def run(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(TOOLS / tool), *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def audit() -> int:
    """Look every pinned package up in the database of known vulnerabilities."""
    files = [f"--requirement={name}" for name in ("requirements.txt", "requirements-tracing.txt")]
    done = run("pip-audit", "--disable-pip", "--require-hashes", "--progress-spinner=off", *files)
    if done.returncode and OFFLINE.search(done.stderr):
        return cannot(
            "audit", "the database of vulnerabilities at pypi.org cannot be reached: nothing was looked up"
        )
    if skipped := (done.stdout + done.stderr).count("could not be audited"):
        # A mirror has the packages and not what is known of them; pip-audit calls that no vulnerability.
        why = f"what answers as pypi.org here knows nothing of {skipped} packages: they were not looked up"
        return cannot("audit", why)
    sys.stdout.write(done.stdout + done.stderr)
    return min(done.returncode, 1)


def sbom() -> int:
    """Write what a release is made of; needs nothing from outside."""
    SBOM.parent.mkdir(exist_ok=True)
    done = run(
        "cyclonedx-py",
        "requirements",
        "--pyproject=pyproject.toml",
        f"--output-file={SBOM}",
        "requirements.txt",
    )
    if done.returncode:
        return cannot("sbom", " ".join(done.stderr.split())[-300:])
    print(f"sbom: {SBOM.relative_to(ROOT)}: every package of requirements.txt, in CycloneDX")
    return 0


def cannot(what: str, why: str) -> int:
    print(f"{what}: {why}", file=sys.stderr)
    return 2


def main(what: str) -> int:
    """Do one of them and return the exit code."""
    if what == "audit":
        return audit()
    if what == "sbom":
        return sbom()
    if what == "pin":
        try:
            pin(ROOT, digest_of)
        except requests.RequestException as error:
            return cannot(
                "pin",
                f"the registry of docker.io cannot be asked ({type(error).__name__}): nothing was pinned",
            )
    loose = list(unpinned(ROOT))
    for place, image in loose:
        print(f"{place}: {image} is named by its tag alone; `make pin` adds its digest")
    if not loose:
        print("every image is pinned by its digest")
    return 1 if loose else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
