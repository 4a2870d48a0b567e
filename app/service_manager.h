// Tells systemd, or whoever started the process in its way, how far it is.
#pragma once

#include <string_view>

namespace uhd {

// Sends a state to the socket that NOTIFY_SOCKET names, as sd_notify(3) describes: "READY=1", "STOPPING=1".
// It does nothing without that variable. A manager that does not listen is no error: the server serves
// anyway.
void tell_service_manager(std::string_view state);

}  // namespace uhd
