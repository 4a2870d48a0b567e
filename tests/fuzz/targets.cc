#include "tests/fuzz/targets.h"

#include <algorithm>

namespace uhd {

std::span<const FuzzTarget> fuzz_targets() {
  static constexpr FuzzTarget kTargets[] = {
      {"api_keys", fuzz_api_keys},
      {"data_url", fuzz_data_url},
      {"frame", fuzz_frame},
      {"http", fuzz_http},
      {"image", fuzz_image},
      {"image_answer", fuzz_image_answer},
      {"model_config", fuzz_model_config},
      {"packed_cache", fuzz_packed_cache},
      {"pickle", fuzz_pickle},
      {"remote_url", fuzz_remote_url},
      {"request", fuzz_request},
      {"safetensors", fuzz_safetensors},
      {"sentencepiece", fuzz_sentencepiece},
      {"settings", fuzz_settings},
      {"template", fuzz_template},
      {"tokenizer_json", fuzz_tokenizer_json},
      {"torch_archive", fuzz_torch_archive},
  };
  return kTargets;
}

const FuzzTarget* find_fuzz_target(std::string_view name) {
  const auto targets = fuzz_targets();
  const auto found = std::ranges::find(targets, name, &FuzzTarget::name);
  return found == targets.end() ? nullptr : &*found;
}

std::vector<std::string> parts_of(std::string_view bytes, size_t parts) {
  std::vector<std::string> out;
  while (out.size() + 1 < parts) {
    const size_t end = std::min(bytes.find('\0'), bytes.size());
    out.emplace_back(bytes.substr(0, end));
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
  }
  out.emplace_back(bytes);
  return out;
}

std::vector<std::byte> copied(std::string_view bytes) {
  const auto* begin = reinterpret_cast<const std::byte*>(bytes.data());
  return {begin, begin + bytes.size()};
}

void touch(std::span<const std::byte> bytes) {
  unsigned sum = 0;
  for (const std::byte byte : bytes) sum += std::to_integer<unsigned>(byte);
  [[maybe_unused]] volatile unsigned read = sum;
}

}  // namespace uhd
