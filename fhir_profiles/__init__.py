"""FHIR R4 profiles and value sets of what Sightline writes."""
