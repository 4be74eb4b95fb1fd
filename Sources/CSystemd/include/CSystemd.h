// libsystemd's interfaces as one module. Variadic calls and macros that Swift cannot import get inline wrappers here.
#pragma once

#include <errno.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>
#include <systemd/sd-login.h>
