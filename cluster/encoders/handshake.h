// How leader and encoder prove to each other that they know the secret, without sending it.
#pragma once

#include <optional>
#include <string>

#include "cluster/encoders/messages.h"

namespace uhd {

// Each side answers the other's nonce with an HMAC-SHA256 over it and everything its own message says, so
// that nothing can be replayed or changed. This authenticates peers when they meet; what they say later is
// neither hidden nor signed (a frame's checksum has no key): ranks belong on a private network.
Mac hello_mac(const std::string& secret, const Nonce& leaders_nonce, Hello hello);
Mac welcome_mac(const std::string& secret, const Nonce& encoders_nonce, Welcome welcome);

// The leader's answer to a Hello: nothing if it may join, else the reason for Refused. Who has not proved the
// secret learns that and nothing else; who has is told which settings differ from the leader's `facts`.
std::optional<std::string> reason_to_refuse(const Hello& hello, const Nonce& leaders_nonce,
                                            const std::string& secret, const Facts& facts);

// The same of the protocol, which is looked at before the rest of a message can be read: of Challenge and
// Hello.
std::optional<std::string> protocol_mismatch(std::span<const std::byte> payload);

// Whether the leader has proved itself.
bool proves_secret(const Welcome& welcome, const Nonce& encoders_nonce, const std::string& secret);

}  // namespace uhd
