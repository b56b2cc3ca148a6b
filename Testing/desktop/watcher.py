"""Run inside Slicer by `--python-code`: how long the event loop was kept from a timer of 20 ms.

`slicer.magpie_gaps` gets pairs: the seconds between two calls, and the seconds that the main thread computed meanwhile
(a gap without computing is the fault of a busy machine).
"""

import time

import qt
import slicer

slicer.magpie_gaps = []
_last = [time.perf_counter(), time.thread_time()]


def _tick():
    now = [time.perf_counter(), time.thread_time()]
    slicer.magpie_gaps.append([now[0] - _last[0], now[1] - _last[1]])
    _last[:] = now


slicer.magpie_watcher = qt.QTimer()
slicer.magpie_watcher.setInterval(20)
slicer.magpie_watcher.connect("timeout()", _tick)
slicer.magpie_watcher.start()
