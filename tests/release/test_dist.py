"""Two builds of one commit are one: the archives to the byte, and the bill of materials."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.release import dist, sbom
from tests.release.dist import ROOT, packed_again, sums, twice
from tests.release.lock import locked

EPOCH = 1_700_000_000


def archive(order: list[str], mode: int, owner: int, time: int) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as made:
        for name in order:
            member = tarfile.TarInfo(name)
            member.mode, member.uid, member.uname, member.mtime = mode, owner, f"u{owner}", time
            content = name.encode()
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def test_a_source_archive_has_no_clock_no_owner_and_one_order() -> None:
    first = packed_again(archive(["b", "a"], 0o600, 1000, 1), EPOCH)
    second = packed_again(archive(["a", "b"], 0o664, 0, 999_999_999), EPOCH)
    assert first == second
    assert first != packed_again(archive(["a", "b"], 0o644, 0, 1), EPOCH + 1)
    with tarfile.open(fileobj=io.BytesIO(first)) as read:
        members = read.getmembers()
        assert [(member.name, member.mode, member.uid, member.uname, member.mtime) for member in members] == [
            (name, 0o644, 0, "", EPOCH) for name in ("a", "b")
        ]
        assert [read.extractfile(member).read() for member in members] == [b"a", b"b"]  # type: ignore[union-attr]


def test_builds_that_differ_are_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dist, "_git", lambda *_: "")
    monkeypatch.setattr(dist, "twice", lambda: [{"a": b"1", "b": b"2"}, {"a": b"1", "b": b"3"}])
    assert dist.main(tmp_path / "dist") == 1
    assert "differ in b" in capsys.readouterr().out
    assert not (tmp_path / "dist").exists()
    monkeypatch.setattr(dist, "twice", lambda: [{"a": b"1"}, {"a": b"1"}])
    assert dist.main(tmp_path / "dist") == 0
    assert (tmp_path / "dist" / "SHA256SUMS").read_text() == sums({"a": b"1"})


needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the repository")


@pytest.mark.slow
@needs_git
def test_one_commit_has_one_wheel_and_one_source_archive() -> None:
    pytest.importorskip("build", reason="needs robusteval[release]")
    first, second = twice()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert set(first) == {f"robusteval-{version}.tar.gz", f"robusteval-{version}-py3-none-any.whl"}
    assert first == second
    (wheel,) = (content for name, content in first.items() if name.endswith(".whl"))
    with zipfile.ZipFile(io.BytesIO(wheel)) as read:
        names = read.namelist()
    assert "robusteval/verify/statements/statement.schema.json" in names
    assert [name for name in names if name.startswith(("tests", "benchmarks", "docs"))] == []


@needs_git
def test_the_bill_of_materials_names_the_wheel_and_every_package(tmp_path: Path) -> None:
    pytest.importorskip("cyclonedx_py", reason="needs robusteval[release]")
    (tmp_path / "robusteval-9.9-py3-none-any.whl").write_bytes(b"a wheel")
    assert sbom.main(tmp_path) == 0
    text = (tmp_path / "robusteval-9.9.cdx.json").read_text()
    assert sbom.main(tmp_path) == 0
    assert (tmp_path / "robusteval-9.9.cdx.json").read_text() == text
    bill = json.loads(text)
    there = {(part["name"], part["version"]) for part in bill["components"]}
    assert there == {(name, pin.version) for name, pin in locked("run").items()}
    root = bill["metadata"]["component"]
    assert root["hashes"][0]["content"] == sums({"": b"a wheel"}).split()[0]
    (own,) = (row for row in bill["dependencies"] if row["ref"] == root["bom-ref"])
    assert len(own["dependsOn"]) >= 18
    assert sbom.misfit(text.replace('"specVersion"', '"spec"')) != ""


def test_without_a_wheel_there_is_no_bill(tmp_path: Path) -> None:
    assert sbom.main(tmp_path) == 1


@needs_git
def test_the_time_is_that_of_the_commit() -> None:
    words = ["git", "show", "--no-patch", "--format=%ct", "HEAD"]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ).stdout
    assert dist.commit_time() == int(said)
