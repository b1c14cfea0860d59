"""The clinical words that are said in every language: findings, refusals, what model cards say.

A text that is not listed here is shown as it came: in English, or in the language of its card.

Source: docs/reference/glossary.md.
"""

from collections.abc import Mapping
from types import MappingProxyType

# BCP 47, of the languages that Sightline speaks.
LANGUAGE_TAGS = ("en", "es", "fr", "de", "pt", "it", "pl", "ko", "ja", "zh-Hans", "ar", "hi")


def marked(text: str) -> str:
    """Mark a text that is translated where it is shown."""
    return text


# What findings are called inside a sentence; also in lists of what a model does not look for.
FINDINGS = (
    marked("pneumonia"),
    marked("pleural effusion"),
    marked("pneumothorax"),
    marked("masses and nodules"),
    marked("fractures"),
    marked("heart size and shape"),
    marked("tubes, lines and foreign bodies"),
    marked("cardiomegaly"),
    marked("atelectasis"),
    marked("consolidation"),
    marked("edema"),
    marked("signs of pneumonia"),
)
# As `imaging_terms` has them, and what stands for a kind that has no name.
IMAGING = (
    marked("X-ray"),
    marked("CT"),
    marked("MRI"),
    marked("ultrasound"),
    marked("mammogram"),
    marked("PET"),
    marked("scintigraphy"),
    marked("angiography"),
    marked("fluoroscopy"),
    marked("imaging study"),
    marked("imaging"),
    marked("chest"),
    marked("head"),
    marked("abdomen"),
    marked("pelvis"),
    marked("neck"),
)
MODEL_CARDS = (
    marked("Reference model for development and evaluation. Not a medical device."),
    marked(
        "Test data. These findings are fixed and say nothing about the image or the patient. "
        "Not a medical device."
    ),
    marked("Paediatric pneumonia on frontal chest radiographs"),
    marked("frontal chest X-rays of children aged 1-5"),
)
REVIEW_REASONS = (
    marked("The finding is not there"),
    marked("The finding is there"),
    marked("Another finding explains the image"),
    marked("Artefact, device or overlying structure"),
    marked("The image does not allow a statement"),
    marked("Wrong patient, study or image"),
    marked("Other"),
    # As above, inside a sentence.
    marked("the finding is not there"),
    marked("the finding is there"),
    marked("another finding explains the image"),
    marked("artefact, device or overlying structure"),
    marked("the image does not allow a statement"),
    marked("wrong patient, study or image"),
    marked("other"),
)

_NOT_A_PLAIN_FILM = marked("it is not a single grey X-ray image")
_DAMAGED = marked("its image data are damaged or cannot be read")
_KIND = marked("it is not the kind of image that the model was made for")
_MISMATCH = marked("images could not be matched to this patient")
_LARGE = marked("it is larger than this service reads")
_UNLIKE = marked("it does not look like the images that the model was made for")

# Code of a refusal -> why, as a clause: "not analysed: ...".
REASON_CLAUSES: Mapping[str, str] = MappingProxyType(
    {
        "age": marked("the patient's age is outside what the model was made for"),
        "age-unknown": marked("the patient's age is not stated"),
        "ambiguous-polarity": marked("its header contradicts itself about black and white"),
        "bad-identifier": marked("its identifier is not valid"),
        "blank": marked("the image is blank"),
        "body-part": marked("it shows another body part than the model was made for"),
        "burned-in-text": marked("text is burned into the image"),
        "colour": _NOT_A_PLAIN_FILM,
        "damaged-header": _DAMAGED,
        "damaged-pixels": _DAMAGED,
        "deflated": _DAMAGED,
        "duplicate-uid": marked("two different images carry one identifier"),
        "file-unreadable": _DAMAGED,
        "file-error": _DAMAGED,
        "modality": _KIND,
        "modality-unknown": marked("the kind of image is not stated"),
        "multi-frame": _NOT_A_PLAIN_FILM,
        "no-contrast": marked("the image has no contrast"),
        "no-decoder": marked("its image format cannot be decoded here"),
        "no-endpoint": marked("the EHR names no archive for it"),
        "no-image": marked("it holds no image"),
        "no-instances": marked("it holds no image"),
        "no-series": _KIND,
        "no-such-frame": _NOT_A_PLAIN_FILM,
        "not-dicom": _DAMAGED,
        "not-in-archive": marked("the archive does not have its images"),
        "not-this-kind": _UNLIKE,
        "other-study": _MISMATCH,
        "partly-in-archive": marked("the archive has only some of its images"),
        "patient-mismatch": _MISMATCH,
        "pixel-format": _NOT_A_PLAIN_FILM,
        "quality-control": _NOT_A_PLAIN_FILM,
        "secondary-capture": _NOT_A_PLAIN_FILM,
        "too-large": _LARGE,
        "too-many-frames": _LARGE,
        "too-many-pixels": _LARGE,
        "too-small": marked("the image is too small"),
        "view": marked("it shows another view than the model was made for"),
        "view-unknown": marked("the view is not stated"),
    }
)
