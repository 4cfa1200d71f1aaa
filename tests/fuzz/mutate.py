"""Damage to bytes: what disks, transfers and careless writers do, and what one with bad intent would try."""

from random import Random

DICOM_PIECES = (
    b"\xff\xff\xff\xff",  # undefined or extreme lengths
    b"\xfe\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\0",
    b"\xff\xff",
    b"\xfe\xff\x00\xe0",  # item, end of item, end of sequence
    b"\xfe\xff\x0d\xe0",
    b"\xfe\xff\xdd\xe0",
    b"\xe0\x7f\x10\x00",  # PixelData
    *(b"SQ", b"UN", b"OW", b"OB", b"US", b"DS", b"IS", b"LO", b"UT", b"FD", b"AT"),  # another VR
    *(b"\\", b"nan", b"1e309", b"-1", b"0", b"99999999", b"\0", b""),
)
ZIP_PIECES = (
    *(b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"),
    *(b"\xff\xff\xff\xff", b"\xff\xff", b"\0\0\0\0", b"\x08\0", b"\x0c\0", b"\x0e\0", b"\x01\0"),
    *(b"../", b"/", b"\\", b"C:", b"\0", b""),
)


def mutate(raw: bytes, random: Random, pieces: tuple[bytes, ...], *, start: int = 0) -> bytes:
    """One to eight pieces of damage from byte `start` on, most of them near it, where headers are."""
    data = bytearray(raw)
    for _ in range(random.choice((1, 1, 1, 2, 4, 8))):
        if len(data) <= start:
            break
        reach = len(data) if random.random() < 0.3 else min(len(data), start + 4000)
        _damage(data, random.randrange(start, reach), random, pieces)
    return bytes(data)


def _damage(data: bytearray, at: int, random: Random, pieces: tuple[bytes, ...]) -> None:
    length = random.choice((1, 2, 4, 8, 64, 1000))
    kind = random.randrange(10)
    if kind < 3:
        data[at] ^= 1 << random.randrange(8)
    elif kind == 3:
        data[at] = random.randrange(256)
    elif kind < 7:
        piece = random.choice(pieces)
        data[at : at + len(piece) * random.randrange(2)] = piece
    elif kind == 7:
        del data[at : at + length]
    elif kind == 8:
        data[at:at] = data[at : at + length]
    else:
        del data[at + (random.randrange(3) > 0) * length :]
