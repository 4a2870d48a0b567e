// The secret that leader and encoders share when they meet over a network.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace uhd {

// The file's text without the line's end; shorter than 16 bytes is an Error.
std::string read_secret(const std::filesystem::path& file);
std::string random_secret();

// The secret of this user's jobs on this host: read from a file that only the user can open, which the first
// to ask makes. It stands in $XDG_RUNTIME_DIR/uhd or $HOME/.uhd; where neither can hold it, or where others
// could have read or made it, an Error says to set cluster.secret_file.
std::string own_secret();

std::vector<uint8_t> random_bytes(size_t count);
std::vector<uint8_t> hmac_sha256(const std::string& key, std::span<const std::byte> text);

// In a time that depends on the lengths alone.
bool equal_secrets(std::span<const uint8_t> a, std::span<const uint8_t> b);

bool is_loopback(const std::string& host);

}  // namespace uhd
