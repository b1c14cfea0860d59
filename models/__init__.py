"""The bundled models, and the pure numpy code that feeds them and reads their answers."""
