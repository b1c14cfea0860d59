"""Paediatric pneumonia on frontal chest radiographs, age 1 to 5 years: card, weights, golden."""
