"""Turn models of other projects into packages; each needs the extra `train`."""
