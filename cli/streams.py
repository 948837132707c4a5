r"""Standard output and error in whatever encoding they have: a character that it lacks is escaped, and nothing crashes.

The escapes are JSON's (\u00e9, and two of them for a character beyond U+FFFF), so that a line of JSON says the same in
every encoding. What is only drawn, such as a bar, asks first (`render.drawn`).
"""

import codecs
import encodings.ascii
import io
import sys

ERRORS = "bertref-escape"
ASCII = "bertref_ascii"
"""ASCII by a name of our own: click takes a stream that is called ASCII for a mistake, and writes UTF-8 to it."""


def prepare() -> None:
    """Makes the standard streams ready; called once, before anything is written."""
    codecs.register_error(ERRORS, _escape)
    codecs.register(lambda name: _ASCII if name == ASCII else None)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            plain = codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(encoding=ASCII if plain else None, errors=ERRORS)


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True)), error.end


_ASCII = codecs.CodecInfo(
    name=ASCII,
    encode=codecs.ascii_encode,
    decode=codecs.ascii_decode,
    incrementalencoder=encodings.ascii.IncrementalEncoder,
    incrementaldecoder=encodings.ascii.IncrementalDecoder,
    streamwriter=encodings.ascii.StreamWriter,
    streamreader=encodings.ascii.StreamReader,
)
