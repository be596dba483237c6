"""The deterministic simulation: adapters, engine and links, unmodified, over a simulated kernel, S3 wire, clock and disk on one seeded scheduler.

Layers, from the inside: `loop` (time and order), `inode`, `disk`, `kernel` (a file system that forgets what was not synced), `objects`, `store`,
`wire` (an S3 server that answers late, twice, never), `borders` (what adapters ask of the operating system beside the ports), `world` (machines and
foreign writers), `ledger` and `oracle` (whether a byte was lost). One seed is one story: the same seed gives the same trace.
"""
