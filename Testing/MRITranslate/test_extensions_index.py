"""MRITranslate.json, the entry for Slicer's Extensions Index, against the index's schema 1.0.1 and its checks
(scripts/check_description_files.py), as far as they need no network."""

import json
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
ENTRY = ROOT / "MRITranslate.json"
FIELDS = {
    "$schema": str,
    "category": str,
    "scm_url": str,
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "enabled": bool,
    "tier": int,
}
NEEDED = {"$schema", "category", "scm_url"}
MOST_BYTES = 100 * 1024 * 1024


def entry():
    return json.loads(ENTRY.read_text(encoding="utf-8"))


def cmake(name):
    """The value of an EXTENSION_ variable of the top CMakeLists.txt."""
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    return re.search(rf'^set\(EXTENSION_{name}\s*"([^"]+)"\)$', text, re.MULTILINE).group(1)


def test_fields_are_those_of_the_schema():
    data = entry()
    assert set(data) >= NEEDED
    for name, value in data.items():
        assert type(value) is FIELDS[name], name
    assert all(isinstance(name, str) for name in data["build_dependencies"])
    assert 1 <= data["tier"] <= 5
    schema = "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-entry-schema-"
    assert re.fullmatch(re.escape(schema) + r"v\d+\.\d+\.\d+\.json#", data["$schema"])
    assert b"\r" not in ENTRY.read_bytes()


def test_names_follow_the_rules():
    """The extension's name does not begin with Slicer, that of its repository does; CMake calls the project alike."""
    assert not ENTRY.stem.lower().startswith("slicer")
    url = urlsplit(entry()["scm_url"])
    assert url.scheme in ("https", "git")
    assert Path(url.path).stem == f"Slicer{ENTRY.stem}"
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert re.findall(r"project\s*\(\s*([^\s\)]+)", text, re.IGNORECASE)[0] == ENTRY.stem


def test_cmake_says_the_same():
    data = entry()
    assert cmake("CATEGORY") == data["category"]
    assert cmake("DEPENDS").split() == data["build_dependencies"]
    repository = urlsplit(data["scm_url"]).path.removesuffix(".git")
    assert urlsplit(cmake("HOMEPAGE")).path == repository
    raw = f"{repository}/{data['scm_revision']}/"
    pictures = [cmake("ICONURL"), *cmake("SCREENSHOTURLS").split()]
    assert len(pictures) > 1
    for url in pictures:  # the raw file, not its page
        parts = urlsplit(url)
        assert parts.netloc == "raw.githubusercontent.com"
        assert parts.path.startswith(raw)
        assert (ROOT / parts.path.removeprefix(raw)).read_bytes().startswith(b"\x89PNG")
    assert len(cmake("DESCRIPTION")) > 40
    assert cmake("CONTRIBUTORS")


def test_repository_has_a_licence_and_is_small_enough():
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    ).stdout
    sizes = [path.stat().st_size for path in (ROOT / name for name in listed.split("\0") if name) if path.is_file()]
    assert sum(sizes) < MOST_BYTES
