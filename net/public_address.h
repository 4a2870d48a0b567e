// Tells addresses of the public Internet from those of private networks, of this machine and of special uses.
#pragma once

#include <sys/socket.h>

namespace uhd {

// Returns true if a stranger may have this address reached for: a global IPv4 or IPv6 address of IANA's
// registries (RFC 6890). An address that holds another one (mapped, translated, 6to4, Teredo) is not public.
bool is_public_address(const sockaddr& address);

}  // namespace uhd
