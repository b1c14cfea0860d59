"""The one tree of errors: what went wrong, for whom, and whether to try again.

::

    SightlineError
    ├── RequestRefused            the caller must change something; never retried
    │   ├── MalformedHook              400  structure
    │   ├── UntrustedClient            401  login        (the body says nothing more)
    │   ├── ScopeDenied                403  forbidden
    │   │   └── UserNotAdmitted        403  forbidden
    │   ├── NotFound                   404  not-found
    │   ├── PrefetchUnavailable        412  required
    │   ├── BodyTooLarge               413  too-long
    │   ├── MediaTypeRefused           415  not-supported
    │   ├── TooManyCalls               429  throttled    (+ Retry-After)
    │   ├── ImageChanged               409  conflict
    │   ├── ReviewRefused              400  value
    │   ├── LaunchRefused              400  login
    │   │   └── SessionEnded           401  login
    │   ├── RegistrationRefused        400  value
    │   ├── ModelRefused               400  value
    │   ├── PushRefused                400  structure
    │   └── InstanceRefused            409  conflict     (+ the standard's failure reason)
    ├── UpstreamFailed            EHR or archive
    │   ├── EhrBusy                    503  transient    retryable
    │   ├── EhrTimedOut                504  timeout      retryable
    │   ├── EhrRefused                 502  security
    │   │   └── EhrTokenRefused        502  security
    │   ├── EhrAnswerInvalid           502  exception
    │   ├── EndpointNotAllowed         502  security     audited: possible SSRF
    │   ├── ArchiveFailed              502  transient    retryable
    │   └── ArchiveRefused             502  security
    ├── StudyUnusable             the card says "not analysed: why"
    │   ├── StudyOutOfScope            422  business-rule
    │   ├── PatientMismatch            422  business-rule
    │   ├── UnreadableInstance         422  value
    │   ├── UnsupportedTransferSyntax  422  not-supported
    │   ├── StudyIncomplete            422  incomplete   retryable later
    │   ├── StudyTooLarge              422  too-costly
    │   └── HostileInstance            422  value        refuses the whole study
    ├── InferenceFailed           model or runtime
    │   ├── ModelMissing               500  not-found
    │   ├── WeightsDigestMismatch      500  security     the worker does not start
    │   └── OutputOutOfRange           500  exception
    ├── InboxFull                 507  too-costly   the quota or the disk         retryable
    ├── LeaseLost                 another worker holds this job now: leave at once
    ├── ImageBusy                 503  transient    (+ Retry-After)             retryable
    ├── DoorbellSilent            Redis gave no answer; the sweeper rings later   retryable
    ├── LedgerUnavailable         503  transient                                  retryable
    └── SettingsInvalid           the process does not start; the text names the variable

Source: CDS Hooks 2.0 "HTTP Status Codes"; FHIR R4 ``IssueType``.
"""

from typing import ClassVar


class SightlineError(Exception):
    """Root of every error that Sightline raises on purpose.

    The text is one plain sentence for people; it holds ids and tags, never patient data.
    """

    http_status: ClassVar[int] = 500
    issue_code: ClassVar[str] = "exception"
    retryable: ClassVar[bool] = False


class RequestRefused(SightlineError):
    """The caller must change something before it asks again."""

    http_status, issue_code = 400, "invalid"


class MalformedHook(RequestRefused):
    """The request is not the hook or feedback that this service is for."""

    http_status, issue_code = 400, "structure"


class UntrustedClient(RequestRefused):
    """The client's token was not accepted; `reason` is for the administrator's log only."""

    http_status, issue_code = 401, "login"

    def __init__(self, reason: str, *, tenant_name: str | None = None) -> None:
        super().__init__("The client could not be authenticated.")
        self.reason = reason
        self.tenant_name = tenant_name


class ScopeDenied(RequestRefused):
    """The granted scopes do not allow this."""

    http_status, issue_code = 403, "forbidden"


class UserNotAdmitted(ScopeDenied):
    """The app does not open for this kind of user at this site."""


class NotFound(RequestRefused):
    """There is no such thing, or this caller may not know that there is."""

    http_status, issue_code = 404, "not-found"


class PrefetchUnavailable(RequestRefused):
    """Needed, not prefetched and not readable; the text names the key (CDS Hooks 2.0: 412)."""

    http_status, issue_code = 412, "required"


class BodyTooLarge(RequestRefused):
    """The body is larger than this service reads."""

    http_status, issue_code = 413, "too-long"


class MediaTypeRefused(RequestRefused):
    """The body is not of the media type that this door reads."""

    http_status, issue_code = 415, "not-supported"


class TooManyCalls(RequestRefused):
    """A caller calls more often than one does; `retry_after_s` is at least 1."""

    http_status, issue_code = 429, "throttled"

    def __init__(self, retry_after_s: int, *, tenant_name: str) -> None:
        super().__init__(f"Too many calls; try again in {retry_after_s} s.")
        self.retry_after_s = retry_after_s
        self.tenant_name = tenant_name


class ReviewRefused(RequestRefused):
    """A review lacks a part, or a part of it cannot be; the text says which."""

    http_status, issue_code = 400, "value"


class LaunchRefused(RequestRefused):
    """A SMART launch that cannot go on; the text tells the clinician what to do next."""

    http_status, issue_code = 400, "login"


class SessionEnded(LaunchRefused):
    """The launch's session is over, or it is not this browser's."""

    http_status, issue_code = 401, "login"


class ImageChanged(RequestRefused):
    """The archive's image is not the one that was analysed."""

    http_status, issue_code = 409, "conflict"


class RegistrationRefused(RequestRefused):
    """An EHR registration that cannot work; the text names the field."""

    http_status, issue_code = 400, "value"


class ModelRefused(RequestRefused):
    """A model package that cannot be used, or a change that would leave none; the text says why."""

    http_status, issue_code = 400, "value"


class PushRefused(RequestRefused):
    """The body that an archive pushed is not a multipart of DICOM instances."""

    http_status, issue_code = 400, "structure"


class InstanceRefused(RequestRefused):
    """A pushed instance is not taken; `failure` is the status that C-STORE and STOW-RS give."""

    http_status, issue_code = 409, "conflict"

    def __init__(self, failure: int, text: str) -> None:
        super().__init__(text)
        self.failure = failure


class UpstreamFailed(SightlineError):
    """An EHR or an archive did not do its part."""

    http_status, issue_code = 502, "exception"


class EhrBusy(UpstreamFailed):
    """The EHR asked us to come back later."""

    http_status, issue_code, retryable = 503, "transient", True


class EhrTimedOut(UpstreamFailed):
    """The EHR gave no answer within the budget."""

    http_status, issue_code, retryable = 504, "timeout", True


class EhrRefused(UpstreamFailed):
    """The EHR does not let us (401, 403)."""

    http_status, issue_code = 502, "security"


class EhrTokenRefused(EhrRefused):
    """The EHR does not take this token (any more): 401, where 403 is about what is asked for."""


class EhrAnswerInvalid(UpstreamFailed):
    """The EHR answered something that is not what was asked for."""

    http_status, issue_code = 502, "exception"


class EndpointNotAllowed(UpstreamFailed):
    """The address is not one that a registration allows: possible SSRF, audited."""

    http_status, issue_code = 502, "security"


class ArchiveFailed(UpstreamFailed):
    """The archive failed or timed out; a later attempt may work."""

    http_status, issue_code, retryable = 502, "transient", True


class ArchiveRefused(UpstreamFailed):
    """The archive does not let us (401, 403)."""

    http_status, issue_code = 502, "security"


class StudyUnusable(SightlineError):
    """The model cannot or must not read the study: shown as "not analysed: why".

    `code` is stable and machine-readable (lower case, dashes); the text is the "why" of the
    card, a clause without an identifier, such as "made for children aged 1-5, this patient
    is 61".
    """

    http_status, issue_code = 422, "business-rule"

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class StudyOutOfScope(StudyUnusable):
    """Outside the model card's intended use: modality, view, age, body part."""


class PatientMismatch(StudyUnusable):
    """The images could not be matched to this patient; the administrator is alerted.

    `differs` names by code what did not agree, for the administrator and for nobody else.
    """

    def __init__(self, code: str, text: str, differs: tuple[str, ...] = ()) -> None:
        super().__init__(code, text)
        self.differs = differs


class UnreadableInstance(StudyUnusable):
    """Not DICOM, broken, or without an image."""

    issue_code = "value"


class UnsupportedTransferSyntax(StudyUnusable):
    """No decoder for this transfer syntax, or one that is refused on purpose."""

    issue_code = "not-supported"


class StudyIncomplete(StudyUnusable):
    """Instances are missing, or the archive does not have the study (yet)."""

    issue_code, retryable = "incomplete", True


class StudyTooLarge(StudyUnusable):
    """More bytes or instances than the budget."""

    issue_code = "too-costly"


class HostileInstance(StudyUnusable):
    """Something that looks made to harm or to deceive; no image of the study is used."""

    issue_code = "value"


class InferenceFailed(SightlineError):
    """The model or its runtime failed: our fault, not the study's."""


class ModelMissing(InferenceFailed):
    """No such model package, or its files are not there."""

    issue_code = "not-found"


class WeightsDigestMismatch(InferenceFailed):
    """The weights are not the bytes that the model card pins; the worker does not start."""

    issue_code = "security"


class OutputOutOfRange(InferenceFailed):
    """The model gave NaN, infinity or a shape that its card does not promise."""


class InboxFull(SightlineError):
    """The inbox of pushed images has no room: this tenant's quota, or the disk."""

    http_status, issue_code, retryable = 507, "too-costly", True


class LeaseLost(SightlineError):
    """Another worker holds this job now: stop without an effect."""


class ImageBusy(SightlineError):
    """Too many images wait for the one decoder of this process; `retry_after_s` is at least 1."""

    http_status, issue_code, retryable = 503, "transient", True
    retry_after_s: ClassVar[int] = 2


class DoorbellSilent(SightlineError):
    """Redis gave no answer; the job is in the ledger and the sweeper rings later."""

    http_status, issue_code, retryable = 503, "transient", True


class LedgerUnavailable(SightlineError):
    """The ledger cannot be read or written now."""

    http_status, issue_code, retryable = 503, "transient", True


class SettingsInvalid(SightlineError):
    """A setting is missing or wrong; the text names the variable and what to do."""
