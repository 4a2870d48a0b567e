// Reads the secret that leader and encoders share when they meet over a network.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace uhd {

// Returns the file's text without the line end. A text shorter than 16 bytes is an Error.
std::string read_secret(const std::filesystem::path& file);
std::string random_secret();

// Returns the secret of this user's jobs on this host. It is read from a file that only the user can open;
// the first caller makes it. The file stands in $XDG_RUNTIME_DIR/uhd or $HOME/.uhd. If neither can hold it,
// or if others could have read or made it, an Error says to set cluster.secret_file.
std::string own_secret();

std::vector<uint8_t> random_bytes(size_t count);
std::vector<uint8_t> hmac_sha256(const std::string& key, std::span<const std::byte> text);

// Compares in a time that depends on the lengths alone.
bool equal_secrets(std::span<const uint8_t> a, std::span<const uint8_t> b);

bool is_loopback(const std::string& host);

}  // namespace uhd
