"""A refusal in another language: its clause taken apart, each piece translated on its own.

The ledger keeps the clause in English, as the guard said it: this reads it back, so that a result
of any age can be said whole. What cannot be is said by the general clause of its code.

Source: `guards` and the adapters that refuse (the English clauses); docs/reference/glossary.md.
"""

import re
from collections.abc import Callable

from cds_service.domain.vocabulary import REASON_CLAUSES, marked

Translate = Callable[[str], str]

# What a model is made for is free text of its card: these two are the bundled model's.
USES = (marked("children aged 1-5"), marked("frontal chest X-rays"))
KINDS = (
    marked("an X-ray image"),
    marked("a CT"),
    marked("a mammogram"),
    marked("an MR image"),
    marked("a nuclear medicine image"),
    marked("a PET image"),
    marked("a radiotherapy dose"),
    marked("a segmentation"),
    marked("an ultrasound image"),
    marked("an angiogram"),
    marked("another kind of image"),
    marked("a lateral view"),
    marked("another view"),
)
PARTS = (
    marked("abdomen"),
    marked("ankle"),
    marked("arm"),
    marked("breast"),
    marked("clavicle"),
    marked("elbow"),
    marked("femur"),
    marked("finger"),
    marked("foot"),
    marked("hand"),
    marked("head"),
    marked("hip"),
    marked("jaw"),
    marked("knee"),
    marked("leg"),
    marked("neck"),
    marked("pelvis"),
    marked("shoulder"),
    marked("skull"),
    marked("spine"),
    marked("sternum"),
    marked("toe"),
    marked("wrist"),
    marked("another body part"),
)
WHOLE = frozenset(
    {
        marked("its identifier is not a DICOM UID"),
        marked("its header is damaged"),
        marked("its image data are damaged"),
        marked("it is not a DICOM file"),
        marked("it is an empty file"),
        marked("it is a directory of files, not an image"),
        marked("its compression (deflate) is not accepted"),
        marked("it could not be read"),
        marked("the file ends too early"),
        marked("it is a quality control image"),
        marked("it is not a grey image"),
        marked("it is a colour image"),
        marked("it is a picture of a screen or a paper"),
        marked("it has more than one frame"),
        marked("it does not have the frame that is asked for"),
        marked("the image is larger than this service reads"),
        marked("it has more frames than this service reads"),
    }
)
_FORMS = tuple(
    (re.compile(pattern), said)
    for pattern, said in (
        (
            r"made for (?P<use>.+), this patient is (?P<age>\d+)",
            marked("made for %(use)s, this patient is %(age)s"),
        ),
        (
            r"made for (?P<use>.+), this patient is (?P<age>\d+) months? old",
            marked("made for %(use)s, this patient is %(age)s months old"),
        ),
        (
            r"made for (?P<use>.+), this patient is (?P<age>\d+) days? old",
            marked("made for %(use)s, this patient is %(age)s days old"),
        ),
        (
            r"made for (?P<use>.+), the patient's age is not stated",
            marked("made for %(use)s, the patient's age is not stated"),
        ),
        (
            r"made for (?P<use>.+), the kind of image is not stated",
            marked("made for %(use)s, the kind of image is not stated"),
        ),
        (
            r"made for (?P<use>.+), the view is not stated",
            marked("made for %(use)s, the view is not stated"),
        ),
        (
            r"made for (?P<use>.+), this is (?P<kind>.+)",
            marked("made for %(use)s, this is %(kind)s"),
        ),
        (
            r"made for (?P<use>.+), this shows (?P<part>.+)",
            marked("made for %(use)s, this shows %(part)s"),
        ),
        (
            r"made for (?P<use>.+), this image does not look like one",
            marked("made for %(use)s, this image does not look like one"),
        ),
        (
            r"its image format cannot be decoded here \((?P<name>.+)\)",
            marked("its image format cannot be decoded here (%(name)s)"),
        ),
    )
)
_AS_THEY_ARE = frozenset({"age", "name"})  # a number; what a transfer syntax is called


def said_whole(text: str, translate: Translate) -> str | None:
    """Return the clause in another language; None where a piece of it has no translation."""
    if text in WHOLE:
        return _known(text, translate)
    for pattern, form in _FORMS:
        match = pattern.fullmatch(text)
        if match is None:
            continue
        pieces = {
            name: piece if name in _AS_THEY_ARE else _known(piece, translate)
            for name, piece in match.groupdict().items()
        }
        said = _known(form, translate)
        return None if said is None or None in pieces.values() else said % pieces
    return None


def said_in_general(code: str, text: str, translate: Translate) -> str:
    """Return the general clause of a refusal's code in another language; else its own text."""
    general = REASON_CLAUSES.get(code, "")
    return _known(general, translate) or text


def said(code: str, text: str, translate: Translate) -> str:
    """Return why something was refused, as a clause, as exactly as the language can say it."""
    return said_whole(text, translate) or said_in_general(code, text, translate)


def _known(text: str, translate: Translate) -> str | None:
    """Return the translation; None without one, and so always in the language of the code."""
    found = translate(text) if text else text
    return found if found != text else None
