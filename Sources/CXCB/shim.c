#include "CXCB.h"

#include <stddef.h>

static xcb_extension_t *record(enum termspan_x_extension extension) {
    switch (extension) {
    case TERMSPAN_X_SYNC: return &xcb_sync_id;
    case TERMSPAN_X_RESOURCE: return &xcb_res_id;
    case TERMSPAN_X_INPUT: return &xcb_input_id;
    }
    return NULL;
}

void termspan_x_prefetch_extensions(xcb_connection_t *connection) {
    xcb_prefetch_extension_data(connection, record(TERMSPAN_X_SYNC));
    xcb_prefetch_extension_data(connection, record(TERMSPAN_X_RESOURCE));
    xcb_prefetch_extension_data(connection, record(TERMSPAN_X_INPUT));
}

bool termspan_x_extension(xcb_connection_t *connection, enum termspan_x_extension extension, uint8_t *first_event) {
    // The reply is libxcb's; it stays valid as long as the connection.
    const xcb_query_extension_reply_t *reply = xcb_get_extension_data(connection, record(extension));
    if (reply == NULL || !reply->present) return false;
    *first_event = reply->first_event;
    return true;
}
