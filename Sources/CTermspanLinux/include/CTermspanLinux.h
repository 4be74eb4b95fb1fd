// System calls and memory accesses that Glibc's module lacks. Every symbol is prefixed termspan_.
#pragma once
