"""What reading a part of a ZIP file raises where the part is damaged, missing, or packed in a way that is not known."""

import lzma
import zipfile
import zlib
from typing import Final

# RuntimeError: the part has a password, or an unknown compression. Each compression has an error of its own.
UNREADABLE_PART: Final = (KeyError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError)
