#!/usr/bin/python3
"""A window of Python's, in which one can type."""

import tkinter

window = tkinter.Tk(className="Notes")
text = tkinter.Text(window, width=30, height=10)
text.pack()
text.focus_set()
window.mainloop()
