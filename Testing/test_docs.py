"""The documentation: a strict site that fetches nothing, a reference that is complete, and commands that run."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

import MRITranslateLib

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PROGRAMS = {"mritranslate": "MRITranslateLib.cli", "mritranslate-train": "Training.cli"}


def build(root: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """The site of the pages in a folder, as `make docs` builds it."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=root, capture_output=True, encoding="utf-8", env=environment, timeout=200)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    outcome = build(ROOT, target)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return target


class Sources(HTMLParser):
    """What a page fetches when it is opened."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        fetched = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}.get(tag)
        self.found += [value for name, value in attrs if name == fetched and value]


def pages(entry: object) -> list[str]:
    """The files that a part of the navigation names."""
    if isinstance(entry, str):
        return [entry]
    assert isinstance(entry, dict | list)
    parts = entry.values() if isinstance(entry, dict) else entry
    return [page for part in parts for page in pages(part)]


def test_every_page_is_in_the_navigation() -> None:
    nav = pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    assert sorted(nav) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def test_strict_is_strict(tmp_path: Path) -> None:
    """A link, an anchor, a page and a name that are not there are errors, each told by its name."""
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(DOCS, tmp_path / "docs")
    for package in ("MRITranslateLib", "Training"):
        (tmp_path / package).symlink_to(ROOT / package)
    (tmp_path / "docs" / "forgotten.md").write_text("# In no navigation\n", encoding="utf-8")
    with (tmp_path / "docs" / "index.md").open("a", encoding="utf-8") as index:
        index.write("\n[no page](nowhere.md) [no anchor](installing.md#nowhere)\n")
    outcome = build(tmp_path, tmp_path / "site")
    assert outcome.returncode == 1
    said = outcome.stdout + outcome.stderr
    for mistake in ("forgotten.md", "'nowhere.md'", "#nowhere"):
        assert mistake in said
    assert "Aborted with 3 warnings in strict mode" in said

    (tmp_path / "docs" / "index.md").write_text("::: MRITranslateLib.translate.transmogrify\n", encoding="utf-8")
    outcome = build(tmp_path, tmp_path / "site")
    assert outcome.returncode == 1
    assert "transmogrify" in outcome.stdout + outcome.stderr


def test_the_site_fetches_nothing_from_elsewhere(site: Path) -> None:
    opened = {page.relative_to(site).as_posix(): Sources(page).found for page in site.rglob("*.html")}
    assert len(opened) > 20
    assert all(found for found in opened.values())
    elsewhere = re.compile(r"(?:[a-z]+:)?//")
    assert {
        page: bad for page, found in opened.items() if (bad := [one for one in found if elsewhere.match(one)])
    } == {}
    style = re.compile(r"@import|url\(\s*['\"]?(?:https?:)?//")
    assert [sheet for sheet in site.rglob("*.css") if style.search(sheet.read_text(encoding="utf-8"))] == []


def test_everything_a_page_shows_is_there(site: Path) -> None:
    missing = [
        (page.name, source)
        for page in site.rglob("*.html")
        if page.name != "404.html"  # that one is served for any address, so its own are absolute
        for source in Sources(page).found
        if not source.startswith("data:") and not (page.parent / source.partition("?")[0].partition("#")[0]).exists()
    ]
    assert missing == []


def test_the_search_works_without_a_server(site: Path) -> None:
    """Its index is a script, and every page brings what stands in for the worker that a browser then refuses."""
    index = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    found = json.loads(index.removeprefix("var __index = "))["docs"]
    assert any(entry["location"].startswith("safety.html") for entry in found)
    assert all(
        any(source.endswith("javascripts/iframe-worker.js") for source in Sources(page).found)
        for page in site.rglob("*.html")
    )


def test_the_reference_names_every_public_name(site: Path) -> None:
    reference = "\n".join(page.read_text(encoding="utf-8") for page in (site / "api").glob("*.html"))
    overview = (DOCS / "api" / "index.md").read_text(encoding="utf-8")
    public = [name for name in MRITranslateLib.__all__ if name != "__version__"]
    assert len(public) > 30
    assert [name for name in public if not re.search(rf'id="MRITranslateLib\.[\w.]+\.{name}"', reference)] == []
    assert [name for name in public if f"`{name}`" not in overview] == []


def test_the_licences_are_those_of_the_cards() -> None:
    text = (DOCS / "safety.md").read_text(encoding="utf-8")
    cards = [json.loads(path.read_text(encoding="utf-8")) for path in ROOT.glob("MRITranslateLib/models/*/model.json")]
    rows = [f"| `{card['name']}` | {card['licence']['weights']} | {card['licence']['data']} |" for card in cards]
    assert sorted(rows) == sorted(re.findall(r"^\| `.*\|$", text.partition("## Licences")[2], re.MULTILINE))


def test_the_citation_names_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == MRITranslateLib.__version__
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"version = \{([\d.]+)\}", readme) == [citation["version"]]
    assert citation["title"] in readme
    assert citation["version"] in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def blocks(heading: str, language: str) -> list[str]:
    """The code of a section of the README."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition(f"### {heading}\n")[2].partition("\n#")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


def test_a_newcomers_commands_run(tmp_path: Path) -> None:
    """From nothing to a translated, scored and explained scan, as the README says; the head is smaller."""
    commands = re.sub(r"--shape \d+ \d+ \d+", "--shape 16 64 64", blocks("On the command line", "sh")[0])
    assert "--shape 16" in commands
    lines = [shlex.split(line) for line in commands.splitlines()]
    lines = [[sys.executable, "-m", PROGRAMS[program], *rest] for program, *rest in lines]
    lines.append([sys.executable, "-c", blocks("In a script", "python")[0]])
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    for line in lines:
        outcome = subprocess.run(
            line,
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path},
            timeout=200,
        )
        assert outcome.returncode == 0, f"{line}: {outcome.stderr}"
    made = {"phantom", "t2_synthetic.nii.gz", "heatmap.nii.gz", "why.png", "ct_synthetic.nii.gz"}
    assert {file.name for file in tmp_path.iterdir()} == made
