#!/usr/bin/env python3
"""A window of a class, from a process that an interpreter runs: window.py CLASS [ANYTHING...]"""

import ctypes
import sys
import time

xlib = ctypes.CDLL("libX11.so.6")
xlib.XOpenDisplay.restype = ctypes.c_void_p
xlib.XDefaultRootWindow.argtypes = [ctypes.c_void_p]
xlib.XDefaultRootWindow.restype = ctypes.c_ulong
xlib.XCreateSimpleWindow.argtypes = [ctypes.c_void_p, ctypes.c_ulong, ctypes.c_int, ctypes.c_int, *[ctypes.c_uint] * 3, *[ctypes.c_ulong] * 2]
xlib.XCreateSimpleWindow.restype = ctypes.c_ulong


class ClassHint(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("window_class", ctypes.c_char_p)]


xlib.XSetClassHint.argtypes = [ctypes.c_void_p, ctypes.c_ulong, ctypes.POINTER(ClassHint)]
xlib.XMapWindow.argtypes = [ctypes.c_void_p, ctypes.c_ulong]
xlib.XFlush.argtypes = [ctypes.c_void_p]

display = xlib.XOpenDisplay(None)
if not display:
    sys.exit("no display")
window = xlib.XCreateSimpleWindow(display, xlib.XDefaultRootWindow(display), 0, 0, 200, 100, 0, 0, 0)
wanted = sys.argv[1].encode()
xlib.XSetClassHint(display, window, ClassHint(wanted.lower(), wanted))
xlib.XMapWindow(display, window)
xlib.XFlush(display)
while True:
    time.sleep(60)
