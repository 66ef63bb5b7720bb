"""Static programs of a few bytes, written by hand, for a machine without a compiler."""

import struct

_HEADER_BYTES, _PROGRAM_HEADER_BYTES, _BASE = 64, 56, 0x400000
X86_64, AARCH64 = 62, 183


def program(code: bytes, machine: int = X86_64) -> bytes:
    """Return an ELF file of one segment that starts with `code`."""
    start = _HEADER_BYTES + _PROGRAM_HEADER_BYTES
    size = start + len(code)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    entry, headers = _BASE + start, (_HEADER_BYTES, _PROGRAM_HEADER_BYTES, 1, 0, 0, 0)
    header = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, entry, _HEADER_BYTES, 0, 0, *headers)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return ident + header + segment + code


def ends_with(status: int) -> bytes:
    """Return a program that calls exit(status)."""
    return program(b"\xbf" + struct.pack("<I", status) + b"\xb8\x3c\x00\x00\x00\x0f\x05")


ILLEGAL = program(b"\x0f\x0b")  # ud2, which every processor refuses
FOR_ARM = program(b"\x00\x00\x80\xd2\xa8\x0b\x80\xd2\x01\x00\x00\xd4", AARCH64)
