"""`sightline demo`: a whole hospital on one machine, supervised in one terminal."""
