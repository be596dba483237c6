"""Stories of a link in the real world: a real directory, a real store, the real daemon, killed and cut off while people write on both sides.

`python -m tests.realworld --seeds 20` plays them for as long as you like; a few seeds are played by the tests.
"""
