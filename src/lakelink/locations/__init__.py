"""The Location port and its adapters."""
