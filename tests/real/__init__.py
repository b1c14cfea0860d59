"""Tests against real neighbours: Redis, Orthanc, HAPI FHIR and Chromium, never mocks of them."""
