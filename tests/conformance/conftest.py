"""The front door of the web tests, whose client lints what comes out."""

from tests.web.conftest import door as door
