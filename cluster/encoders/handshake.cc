#include "cluster/encoders/handshake.h"

#include <string_view>

#include "base/archive.h"
#include "base/error.h"
#include "base/hash.h"
#include "cluster/encoders/secret.h"

namespace uhd {
namespace {

Mac mac_over(const std::string& secret, std::string_view label, const Nonce& nonce, const ControlMessage& m) {
  std::vector<std::byte> text;
  const auto add = [&](std::span<const std::byte> bytes) {
    text.insert(text.end(), bytes.begin(), bytes.end());
  };
  add(bytes_of(label));
  add(std::as_bytes(std::span(nonce)));
  add(encode_message(m));
  return hmac_sha256(secret, text);
}

}  // namespace

Mac hello_mac(const std::string& secret, const Nonce& leaders_nonce, Hello hello) {
  hello.mac.clear();
  return mac_over(secret, "uhd encoder", leaders_nonce, hello);
}

Mac welcome_mac(const std::string& secret, const Nonce& encoders_nonce, Welcome welcome) {
  welcome.mac.clear();
  return mac_over(secret, "uhd leader", encoders_nonce, welcome);
}

std::optional<std::string> reason_to_refuse(const Hello& hello, const Nonce& leaders_nonce,
                                            const std::string& secret, const Facts& facts) {
  if (!equal_secrets(hello.mac, hello_mac(secret, leaders_nonce, hello))) {
    return "the secret of this encoder (cluster.secret_file) is not the leader's";
  }
  const std::string differs = difference(facts, "the leader", hello.facts, "this encoder");
  if (differs.empty()) return std::nullopt;
  constexpr size_t kLongest = 4000;  // of a reason that may be sent
  return differs.substr(0, kLongest);
}

std::optional<std::string> protocol_mismatch(std::span<const std::byte> payload) {
  uint32_t protocol = 0;
  Reader read(payload);
  read(protocol);
  if (protocol == kControlProtocol) return std::nullopt;
  return message("leader and encoder are of different versions: protocols ", kControlProtocol, " and ",
                 protocol);
}

bool proves_secret(const Welcome& welcome, const Nonce& encoders_nonce, const std::string& secret) {
  return equal_secrets(welcome.mac, welcome_mac(secret, encoders_nonce, welcome));
}

}  // namespace uhd
