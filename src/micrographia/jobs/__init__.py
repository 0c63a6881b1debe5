"""The bridge between the towers: which study for which unit, into which store; only what is missing."""
