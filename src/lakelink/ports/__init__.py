"""The narrow doors to the world; the simulator replaces these and runs everything above unmodified."""
