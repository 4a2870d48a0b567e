// How leader and encoder prove to each other that they know the secret, without sending it.
#pragma once

#include <optional>
#include <string>

#include "cluster/messages.h"

namespace uhd {

// Each side answers the other's nonce with an HMAC-SHA256 over it and everything its own message says, so
// that nothing can be replayed or changed. Empty without a secret. This authenticates peers when they meet;
// what they say later is neither hidden nor signed: ranks belong on a private network.
Mac hello_mac(const std::string& secret, const Nonce& leaders_nonce, Hello hello);
Mac welcome_mac(const std::string& secret, const Nonce& encoders_nonce, Welcome welcome);

// The leader's answer to a Hello: nothing if it may join, else the reason for Refused.
std::optional<std::string> reason_to_refuse(const Hello& hello, const Nonce& leaders_nonce,
                                            const std::string& secret, const std::string& model);

// The same of the protocol, which is looked at before the rest of a message can be read: of Challenge and
// Hello.
std::optional<std::string> protocol_mismatch(std::span<const std::byte> payload);

// Whether the leader has proved itself.
bool proves_secret(const Welcome& welcome, const Nonce& encoders_nonce, const std::string& secret);

}  // namespace uhd
