"""The commands, one file each: read the arguments, call one function, print what it returned."""
