// The fuzz targets: each gives bytes that nobody vouches for to one parser. libFuzzer runs them (fuzzer.cc,
// preset "fuzz"), and every build runs their seeds and the inputs that once did harm (saved_test.cc).
#pragma once

#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace uhd {

// A target takes or refuses the bytes. `run` returns true if the parser took them; it returns false, or
// throws an Error, if the parser refused them. Anything else that it throws is a fault, as is a crash.
struct FuzzTarget {
  std::string_view name;
  bool (*run)(std::string_view bytes);
};

std::span<const FuzzTarget> fuzz_targets();
// Returns null if there is none of this name.
const FuzzTarget* find_fuzz_target(std::string_view name);

// Throws what no parser may throw, unless a property holds of what was parsed.
inline void must_hold(bool condition, const char* property) {
  if (!condition) throw std::logic_error(property);
}

// Cuts the first `parts - 1` parts of an input off, each of which ends with a zero byte; the last is the
// rest. Parts that are missing are empty.
std::vector<std::string> parts_of(std::string_view bytes, size_t parts);

// Returns a copy of exactly these bytes, so that reading behind them is seen.
std::vector<std::byte> copied(std::string_view bytes);

// Reads every byte, so that memory that is not there is seen.
void touch(std::span<const std::byte> bytes);

bool fuzz_api_keys(std::string_view bytes);
bool fuzz_data_url(std::string_view bytes);
bool fuzz_frame(std::string_view bytes);
bool fuzz_http(std::string_view bytes);
bool fuzz_image(std::string_view bytes);
bool fuzz_image_answer(std::string_view bytes);
bool fuzz_model_config(std::string_view bytes);
bool fuzz_packed_cache(std::string_view bytes);
bool fuzz_pickle(std::string_view bytes);
bool fuzz_remote_url(std::string_view bytes);
bool fuzz_request(std::string_view bytes);
bool fuzz_safetensors(std::string_view bytes);
bool fuzz_sentencepiece(std::string_view bytes);
bool fuzz_settings(std::string_view bytes);
bool fuzz_template(std::string_view bytes);
bool fuzz_tokenizer_json(std::string_view bytes);
bool fuzz_torch_archive(std::string_view bytes);

}  // namespace uhd
