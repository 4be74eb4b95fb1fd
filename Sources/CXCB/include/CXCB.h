// XCB and the extensions that the probe speaks, as one module.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <xcb/res.h>
#include <xcb/sync.h>
#include <xcb/xcb.h>
#include <xcb/xcbext.h>
#include <xcb/xinput.h>

/// The extensions that the probe asks for.
enum termspan_x_extension {
    TERMSPAN_X_SYNC,
    TERMSPAN_X_RESOURCE,
    TERMSPAN_X_INPUT,
};

/// Asks for all of them without waiting.
///
/// libxcb's extension records are mutable globals, which Swift can't name; and its extension requests wait without limit for
/// an answer that was not asked for yet.
void termspan_x_prefetch_extensions(xcb_connection_t *connection);

/// Whether the server has the extension, and the code of its first event. Waits unless a reply to a later request has arrived.
bool termspan_x_extension(xcb_connection_t *connection, enum termspan_x_extension extension, uint8_t *first_event);
