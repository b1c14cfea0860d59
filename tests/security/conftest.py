"""The parts of the app's tests: Redis, a strict EHR, the app, browsers."""

from tests.web_app.conftest import browser as browser
from tests.web_app.conftest import house as house
from tests.web_app.conftest import keyspace as keyspace
from tests.web_app.conftest import launch_of as launch_of
from tests.web_app.conftest import redis_url as redis_url
from tests.web_app.conftest import sandbox as sandbox
from tests.web_app.conftest import tenant as tenant
