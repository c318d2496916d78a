"""Picture files of every kind read as one grey array; what is hostile or broken ends in one sentence."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from MRITranslateLib.errors import InputError
from MRITranslateLib.picture import prepare_picture, read_picture, to_bytes

GREY = np.rint(np.outer(np.linspace(0, 1, 60), np.linspace(0, 1, 50)) * 255).astype(np.uint8)


@pytest.fixture
def grey() -> Image.Image:
    return Image.fromarray(GREY)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "I;16"])
def test_grey_is_read_exactly_however_it_is_stored(tmp_path, grey, mode):
    picture = Image.fromarray(GREY.astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    picture.save(tmp_path / "picture.png")
    array = read_picture(tmp_path / "picture.png")
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, GREY.astype(np.float32) * (257 if mode == "I;16" else 1))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_is_read_nearly(tmp_path, grey, mode):
    grey.convert(mode).save(tmp_path / "picture.jpg", quality=95)
    assert np.abs(read_picture(tmp_path / "picture.jpg") - GREY).max() < 12


def test_colour_becomes_luminance_and_transparency_black(tmp_path):
    colours = np.zeros((4, 3, 4), dtype=np.uint8)
    colours[..., 3] = 255
    colours[0, :, 0] = colours[1, :, 1] = colours[2, :, 2] = 255
    colours[3] = (255, 255, 255, 128)
    Image.fromarray(colours).save(tmp_path / "picture.png")
    np.testing.assert_allclose(read_picture(tmp_path / "picture.png")[:, 0], [76, 150, 29, 128], atol=1)


def test_a_turned_photograph_is_turned_back(tmp_path, grey):
    exif = grey.getexif()
    exif[274] = 6  # the camera was turned by 90 degrees
    grey.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_picture(tmp_path / "turned.png"), np.rot90(GREY, -1))


@pytest.mark.parametrize("extension", ["png", "jpg", "bmp", "tif"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_half_a_file_is_never_a_picture(tmp_path, grey, extension, share):
    grey.save(tmp_path / f"whole.{extension}")
    whole = (tmp_path / f"whole.{extension}").read_bytes()
    cut = tmp_path / f"cut.{extension}"
    cut.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match=f"cut.{extension}"):
        read_picture(cut)


def test_a_changed_byte_of_a_png_is_noticed(tmp_path, grey):
    grey.save(tmp_path / "picture.png")
    data = bytearray((tmp_path / "picture.png").read_bytes())
    data[len(data) // 2] ^= 0x55
    (tmp_path / "picture.png").write_bytes(data)
    with pytest.raises(InputError, match="is damaged"):
        read_picture(tmp_path / "picture.png")


def png(columns: int, rows: int) -> bytes:
    """A PNG file that claims a size and holds nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("size", [(9000, 9000), (60_000, 60_000), (2**31 - 1, 2**31 - 1), (0, 5)])
def test_a_header_that_claims_too_much_is_refused_before_memory_is_taken(tmp_path, size):
    (tmp_path / "bomb.png").write_bytes(png(*size))
    with pytest.raises(InputError, match=r"bomb.png.*(make it smaller|give a whole)"):
        read_picture(tmp_path / "bomb.png")


def test_other_things_that_are_no_picture(tmp_path, grey):
    with pytest.raises(InputError, match="does not exist"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(InputError, match="does not exist"):
        read_picture(tmp_path)
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(InputError, match="no picture"):
        read_picture(tmp_path / "text.png")
    Image.fromarray(np.full((5, 5), 7, np.uint8)).save(tmp_path / "flat.png")
    with pytest.raises(InputError, match="value 7 everywhere"):
        read_picture(tmp_path / "flat.png")
    grey.save(tmp_path / "two.tif", save_all=True, append_images=[grey])
    with pytest.raises(InputError, match="holds 2 pictures"):
        read_picture(tmp_path / "two.tif")
    Image.fromarray(np.array([[0, np.nan], [1, 2]], np.float32)).save(tmp_path / "nan.tif")
    with pytest.raises(InputError, match="NaN"):
        read_picture(tmp_path / "nan.tif")
    grey.save(tmp_path / "other.gif")
    with pytest.raises(InputError, match="no picture"):
        read_picture(tmp_path / "other.gif")


@given(
    data=st.binary(max_size=300),
    start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"II*\0", b"BM"]),
)
@settings(max_examples=150, deadline=None)
def test_any_bytes_give_an_array_or_a_sentence(tmp_path_factory, data, start):
    file = tmp_path_factory.mktemp("bytes") / "any.png"
    file.write_bytes(start + data)
    try:
        says = str(np.isfinite(read_picture(file)).all())
    except InputError as error:
        says = str(error)
    assert says == "True" or (says.startswith('"any.png"') and "\n" not in says)


@given(
    arrays(
        np.float32, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.floats(-(2.0**99), 2.0**99, width=32)
    ),
    st.integers(16, 48),
)
@settings(deadline=None)
def test_a_prepared_picture_is_square_and_bounded(array, size):
    prepared = prepare_picture(array, size)
    assert prepared.shape == (size, size)
    assert prepared.dtype == np.float32
    assert np.abs(prepared).max() <= 1


def test_preparation_does_not_depend_on_brightness_and_contrast():
    first, second = prepare_picture(GREY, 32), prepare_picture(GREY * 100.0 - 40, 32)
    np.testing.assert_allclose(first, second, atol=1e-5)
    assert first.min() == -1
    assert first.max() == 1


def test_the_shorter_side_is_padded_evenly_and_a_strip_costs_nothing():
    prepared = prepare_picture(np.pad(np.full((40, 18), 5.0), ((1, 1), (1, 1))), 42)
    np.testing.assert_array_equal((prepared > 0).any(axis=0).nonzero()[0][[0, -1]], [12, 29])
    assert prepare_picture(np.arange(100_000.0)[None], 16).shape == (16, 16)


def test_fine_stripes_become_grey_not_an_alias():
    stripes = np.tile([0.0, 1.0], (256, 128))
    assert np.abs(prepare_picture(stripes, 32)[:, 2:-2]).max() < 0.1


def test_bytes_and_back():
    levels = np.arange(256) / 127.5 - 1
    np.testing.assert_array_equal(to_bytes(levels), np.arange(256))
    np.testing.assert_array_equal(to_bytes(np.array([-7.0, 7.0])), [0, 255])
