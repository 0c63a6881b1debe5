"""Synthetic pictures with known parameters: families of them, and how they are placed and drawn.

Angles are degrees counter-clockwise, 0 to the right, and say where a stimulus's normal points: of a curve to the centre
of its circle, of a corner into its opening, of an edge or gradient to its bright side, of a pair of frequencies to the
high one, of a pair of colours to the one that is named. Lines, gratings and textures have no such side; their
angle is that of the direction across them. Hues are degrees too: 0 red, 120 green, 240 blue, opponents 180 apart.
"""
