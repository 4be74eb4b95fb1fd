// XCB and the extensions that the probe speaks, as one module.
#pragma once

#include <xcb/res.h>
#include <xcb/sync.h>
#include <xcb/xcb.h>
#include <xcb/xcbext.h>
#include <xcb/xinput.h>
