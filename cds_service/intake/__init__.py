"""The intake doors: how a study comes in before any hook asks for it, one door per module.

Each ends where a hook ends, in the desk's `dispatch`; none makes anything visible. What a door
heard is a bell: whose study it is, the EHR says.
"""
