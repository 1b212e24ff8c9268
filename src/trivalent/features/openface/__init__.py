"""OpenFace's columns of a face, out of the landmarks that we find and the user's own model files.

T. Baltrusaitis et al., "OpenFace 2.0: Facial Behavior Analysis Toolkit", FG 2018; T. Baltrusaitis,
M. Mahmoud, P. Robinson, "Cross-dataset learning and person-specific normalisation for automatic Action
Unit detection", FG 2015. Nothing of OpenFace is part of this package: its licence forbids commercial use.
"""
