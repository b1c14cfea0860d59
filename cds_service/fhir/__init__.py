"""Pure mapping between domain values and FHIR R4 JSON."""
