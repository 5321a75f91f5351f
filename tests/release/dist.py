"""`make dist`: wheel and source archive of the last commit, built twice in different places, and the same to the byte.

python -m tests.release.dist [FOLDER]      writes them and SHA256SUMS to FOLDER (dist)

What a build takes from its surroundings is set (times by SOURCE_DATE_EPOCH, permissions by umask); what it must not
depend on differs between the two (folder, time zone, hash seed, the time itself). Setuptools leaves the clock in source
archives, so these are packed again. The bytes also depend on the versions of Python, zlib and setuptools; the last is
pinned in constraints.txt.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
# (folder, time zone, seed of Python's hashes): of each build
GUISES = (("first", "UTC", "1"), ("a/second/with/a/longer/name", "Asia/Kathmandu", "2"))


def commit_time(repository: Path = ROOT) -> int:
    """When the last commit was made, in seconds since 1970."""
    return int(_git(repository, "log", "-1", "--format=%ct"))


def build(source: bytes, folder: Path, epoch: int, zone: str, seed: str) -> dict[str, bytes]:
    """Wheel and source archive by name, from a tar of the sources, in a folder that is made for it."""
    tree, out = folder / "tree", folder / "out"
    tree.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(source)) as archive:
        archive.extractall(tree, filter="data")
    for path in (tree, *tree.rglob("*")):  # git archive and tar have umasks of their own
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    environment = os.environ | {
        "SOURCE_DATE_EPOCH": str(epoch),
        "TZ": zone,
        "PYTHONHASHSEED": seed,
        "LC_ALL": "C.UTF-8",
    }
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, umask=0o022)
    if done.returncode:
        sys.exit(f"The build failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    built = {path.name: path.read_bytes() for path in sorted(out.iterdir())}
    return {name: packed_again(content, epoch) if name.endswith(".gz") else content for name, content in built.items()}


def packed_again(content: bytes, epoch: int) -> bytes:
    """A source archive with its members in order, nobody's, and of one time."""
    packed = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(content)) as old,
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=epoch) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime, member.pax_headers = epoch, {}
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    return packed.getvalue()


def twice(repository: Path = ROOT) -> list[dict[str, bytes]]:
    """Both builds of the last commit."""
    source = subprocess.run(
        ["git", "archive", "--format=tar", "HEAD"],  # noqa: S607 - the developer's own
        cwd=repository, capture_output=True, check=True,
    ).stdout  # fmt: skip
    epoch = commit_time(repository)
    with tempfile.TemporaryDirectory(prefix="robusteval-dist-") as place:
        return [build(source, Path(place) / folder, epoch, zone, seed) for folder, zone, seed in GUISES]


def sums(files: dict[str, bytes]) -> str:
    """The lines of a file that `sha256sum --check` reads."""
    return "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(files.items()))


def main(folder: Path) -> int:
    """The exit code: 1 where the builds differ, and then nothing is written."""
    if _git(ROOT, "status", "--porcelain"):
        print("The working tree has changes: what is built is the last commit, without them.")
    first, second = twice()
    if first != second:
        differ = sorted(name for name in first | second if first.get(name) != second.get(name))
        print(f"The two builds differ in {', '.join(differ)}: nothing was written.")
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in first.items():
        (folder / name).write_bytes(content)
    (folder / "SHA256SUMS").write_text(sums(first))
    print(f"Built twice, the same to the byte, in {folder}:\n{sums(first)}", end="")
    return 0


def _git(repository: Path, *words: str) -> str:
    command = ["git", *words]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")))
