"""Turns an X server's frame buffer file (XWD format, as `Xvfb -fbdir` keeps it) into a PNG."""

import struct
import zlib

from .host import LabError


def png_of_xwd(data):
    """A PNG of a 24-bit true-colour XWD image with 32 bits a pixel, least significant byte first."""
    header_size, version, kind, depth, width, height = struct.unpack_from(">6I", data)
    byte_order = struct.unpack_from(">I", data, 28)[0]
    bits_per_pixel, line_size = struct.unpack_from(">2I", data, 44)
    colours = struct.unpack_from(">I", data, 76)[0]
    if (version, kind, depth, byte_order, bits_per_pixel) != (7, 2, 24, 0, 32):
        raise LabError("not a frame buffer of the kind that the lab's screens have")
    begin = header_size + colours * 12
    rows = bytearray()
    for y in range(height):
        row = data[begin + y * line_size:begin + y * line_size + width * 4]
        rgb = bytearray(width * 3)
        rgb[0::3], rgb[1::3], rgb[2::3] = row[2::4], row[1::4], row[0::4]
        rows += b"\0" + rgb
    return (b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0))
            + _chunk(b"IDAT", zlib.compress(bytes(rows), 6)) + _chunk(b"IEND", b""))


def _chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
