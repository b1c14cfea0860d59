"""Fixed findings for integration tests at a site: nothing here looks at an image."""
