"""The DIMSE listener: C-STORE and C-ECHO by pynetdicom, in a process of its own (extra `dimse`).

pynetdicom#1086 reports path traversal, memory by PDU length and decompression bombs. Here a sender
names no file; a PDU is refused by its length before it is read; what is not a storage of an image
in an accepted, never deflated transfer syntax ends the association; nothing is held in memory.

Source: DICOM PS3.7 9.1 (C-STORE, C-ECHO), PS3.8 9 (associations, PDUs), PS3.15 B (TLS); threats
T12 and T18.
"""
