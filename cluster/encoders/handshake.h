// Leader and encoder prove to each other that they know the secret, without sending it.
#pragma once

#include <optional>
#include <string>

#include "cluster/encoders/messages.h"

namespace uhd {

// Each side answers the other's nonce with an HMAC-SHA256 over the nonce and everything its own message says,
// so that nothing can be replayed or changed. This authenticates peers when they meet. Their later messages
// are neither hidden nor signed (a frame's checksum has no key), so ranks belong on a private network.
Mac hello_mac(const std::string& secret, const Nonce& leaders_nonce, Hello hello);
Mac welcome_mac(const std::string& secret, const Nonce& encoders_nonce, Welcome welcome);

// Returns the leader's answer to a Hello: nothing if the encoder may join, else the reason for Refused. An
// encoder that has not proved the secret learns that and nothing else; one that has proved it is told which
// settings differ from the leader's `facts`.
std::optional<std::string> reason_to_refuse(const Hello& hello, const Nonce& leaders_nonce,
                                            const std::string& secret, const Facts& facts);

// Returns the reason if the protocol of a Challenge or Hello differs. The protocol is checked before the rest
// of the message can be read.
std::optional<std::string> protocol_mismatch(std::span<const std::byte> payload);

// Returns true if the leader has proved that it knows the secret.
bool proves_secret(const Welcome& welcome, const Nonce& encoders_nonce, const std::string& secret);

}  // namespace uhd
