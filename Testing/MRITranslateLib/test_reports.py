"""Reports as text and as Open-i XML, broken and hostile ones included."""

import pytest

from MRITranslateLib.errors import InputError
from MRITranslateLib.reports import read_report, read_reports

OPEN_I = """<?xml version="1.0" encoding="utf-8"?>
<eCitation>
  <uId id="CXR7"/>
  <MedlineCitation><Article><Abstract>
    <AbstractText Label="COMPARISON">None.</AbstractText>
    <AbstractText Label="INDICATION">Chest pain</AbstractText>
    <AbstractText Label="FINDINGS">{findings}</AbstractText>
    <AbstractText Label="IMPRESSION">{impression}</AbstractText>
  </Abstract></Article></MedlineCitation>
  <parentImage id="CXR7_IM-2263-1001"><figureId>F1</figureId><panel type="single"/></parentImage>
  <parentImage id="CXR7_IM-2263-2001"><figureId>F2</figureId></parentImage>
</eCitation>
"""


@pytest.fixture
def write(tmp_path):
    def to_file(content, name="report.xml"):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    return to_file


@pytest.mark.parametrize(
    ("findings", "impression", "text"),
    [
        ("Lungs\n  are <b>clear</b>.", "Normal &amp; stable.", "Lungs are clear. Normal & stable."),
        ("Lungs are clear.", "", "Lungs are clear."),
        ("", "Normal chest.", "Normal chest."),
    ],
)
def test_an_open_i_file_gives_findings_then_impression_and_its_pictures(write, findings, impression, text):
    report = read_report(write(OPEN_I.format(findings=findings, impression=impression), "7.xml"))
    assert (report.name, report.text) == ("7", text)
    assert report.pictures == ("CXR7_IM-2263-1001", "CXR7_IM-2263-2001")


def test_names_that_could_leave_the_folder_are_no_pictures(write):
    text = OPEN_I.format(findings="Clear.", impression="").replace("CXR7_IM-2263-1001", "../../etc/passwd")
    assert read_report(write(text)).pictures == ("CXR7_IM-2263-2001",)


def test_plain_text_is_one_line(write):
    report = read_report(write("\ufeffThe lungs\r\n\r\nare  clear.\n", "case.TXT"))
    assert (report.text, report.pictures) == ("The lungs are clear.", ())


BOMB = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;">
<!ENTITY lol3 "&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;">]>
<eCitation><AbstractText Label="FINDINGS">&lol3;</AbstractText></eCitation>"""
OUTSIDE = """<?xml version="1.0"?><!DOCTYPE x [<!ENTITY file SYSTEM "file:///etc/hostname">]>
<eCitation><AbstractText Label="FINDINGS">&file;</AbstractText></eCitation>"""


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        (OPEN_I.format(findings="", impression=" \n"), "empty.xml", "neither findings nor an impression"),
        ("<eCitation/>", "bare.xml", "neither findings nor an impression"),
        ("<eCitation><AbstractText", "cut.xml", "not valid XML"),
        ("", "nothing.xml", "not valid XML"),
        (b"\x89PNG\r\n\x1a\n", "picture.xml", "not valid XML"),
        ('<?xml version="1.0" encoding="nonsense"?><a/>', "coding.xml", "not valid XML"),
        (BOMB, "bomb.xml", "document type"),
        (BOMB.encode("utf-16"), "bomb16.xml", "document type"),
        (OUTSIDE, "outside.xml", "document type"),
        ('<!DOCTYPE x SYSTEM "http://example.org/x.dtd"><x/>', "dtd.xml", "document type"),
        (" \n", "empty.txt", "is empty"),
        (b"\xff\xfe\x00x", "binary.txt", "not plain text"),
        ("a\0b", "null.txt", "not plain text"),
        ("Clear.", "report.docx", "no report"),
        ("x" * ((4 << 20) + 1), "huge.txt", "larger than 4 MiB"),
    ],
)
def test_what_is_no_report_is_refused_by_name(write, content, name, says):
    with pytest.raises(InputError, match=says) as caught:
        read_report(write(content, name))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nobody\.txt"):
        read_report(tmp_path / "nobody.txt")


@pytest.mark.parametrize(
    ("table", "names", "texts"),
    [
        ("text\nThe lungs are clear.\n", ["row2"], ["The lungs are clear."]),
        ("ID;Findings;Impression\na;Clear.;Normal.\nb;;Effusion.\n", ["a", "b"], ["Clear. Normal.", "Effusion."]),
        ('file\treport\nx.png\t"Two\tparts"\n', ["x.png"], ["Two parts"]),
        ("\ufeffname,text,findings\na,one,two\n", ["a"], ["two"]),
    ],
)
def test_a_table_gives_a_report_a_row(write, table, names, texts):
    reports = read_reports(write(table, "reports.csv"))
    assert [report.name for report in reports] == names
    assert [report.text for report in reports] == texts


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("", "no column"),
        ("a,b\n1,2\n", "has a, b"),
        ("text\n", "no rows"),
        ("name,text\na,\n", "Row 2"),
        ("name,text\na\n", "Row 2"),
        ("name,text\na,b,c\n", "Row 2"),
        ('text\n"unfinished\n', "no valid CSV"),
        (b"text\n\xff\xfe\n", "UTF-8"),
        (b"text\n\0\n", "UTF-8"),
    ],
)
def test_tables_that_cannot_be_used(write, table, says):
    with pytest.raises(InputError, match=says):
        read_reports(write(table, "reports.csv"))


def test_any_file_of_one_report_is_a_list_of_one(write):
    assert [report.text for report in read_reports(write("The lungs are clear.", "r.txt"))] == ["The lungs are clear."]
    with pytest.raises(InputError, match="is no report"):
        read_reports(write("x", "r.docx"))
