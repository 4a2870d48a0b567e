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

std::vector<uint8_t> random_bytes(size_t count);
std::vector<uint8_t> hmac_sha256(const std::string& key, std::span<const std::byte> text);

// In a time that depends on the lengths alone.
bool equal_secrets(std::span<const uint8_t> a, std::span<const uint8_t> b);

bool is_loopback(const std::string& host);

}  // namespace uhd
