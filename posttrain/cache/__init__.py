"""The cache folder as a whole: what is in it, what is in use, how large it may be, and what is removed first.

Everything below it can be made again, so it is bounded: beyond the limit what was used longest ago goes first, and
never what a running process uses. Use is told by time stamps alone, on the clock of the file system, so that nodes that
share the folder need no common clock:

    touch(path)   the entry is used now: its modification time is set by the file system
    a lease       a small file of a running process, touched every few minutes; it says since when the process runs
    in use        used since the oldest living lease began; a lease that nobody touches has expired

So a trial may read an entry hours after the preparation touched it, and a process that is killed protects nothing for
longer than a lease lives.
"""

from posttrain.cache.account import Abandoned, Account, Entry, cache_limit, survey
from posttrain.cache.leases import Lease, hold, touch
from posttrain.cache.removal import Removed, make_room, prune, trim

__all__ = [
    "Abandoned",
    "Account",
    "Entry",
    "Lease",
    "Removed",
    "cache_limit",
    "hold",
    "make_room",
    "prune",
    "survey",
    "touch",
    "trim",
]
