#include "model/config_files.h"

#include <boost/json/parse.hpp>
#include <charconv>
#include <system_error>

#include "base/error.h"
#include "base/mapped_file.h"
#include "model/config_object.h"

namespace uhd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr uint64_t kLargestHeader = uint64_t{100} << 20;

// The JSON header of a safetensors file; empty when the file is none (the reader of tensors says why), or not
// there.
std::string safetensors_header(const fs::path& file) {
  if (!is_there(file)) return "";
  const MappedFile mapped(file);
  const std::string_view text(reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size());
  uint64_t bytes = 0;
  if (text.size() < sizeof(bytes)) return "";
  for (int i = 7; i >= 0; --i) bytes = bytes << 8 | static_cast<unsigned char>(text[static_cast<size_t>(i)]);
  if (bytes > kLargestHeader || bytes > text.size() - sizeof(bytes)) return "";
  return std::string(text.substr(sizeof(bytes), bytes));
}

bool holds_config(const fs::path& folder) { return is_there(folder / "config.json"); }

}  // namespace

TensorNames::TensorNames(const fs::path& directory) {
  for (const char* index : {"model.safetensors.index.json", "pytorch_model.bin.index.json"}) {
    const ConfigObject map = ConfigObject::read(directory / index).object("weight_map");
    for (const auto& entry : map.values()) names_.insert(std::string(entry.key()));
    if (known()) return;
  }
  boost::system::error_code error;
  const json::value header = json::parse(safetensors_header(directory / "model.safetensors"), error);
  if (error || !header.is_object()) return;
  for (const auto& entry : header.get_object()) names_.insert(std::string(entry.key()));
}

bool TensorNames::any_starts_with(const std::string& prefix) const {
  const auto at = names_.lower_bound(prefix);
  return at != names_.end() && at->starts_with(prefix);
}

fs::path find_vision_tower(const fs::path& model, const std::string& name, const fs::path& configured) {
  if (!configured.empty()) {
    require(holds_config(configured), "the vision tower ", configured.string(), " has no config.json");
    return configured;
  }
  if (name.empty()) return {};
  const fs::path path(name);
  const fs::path last = path.filename();
  std::vector<fs::path> places;
  if (path.is_relative()) places.push_back(model / path);
  if (!last.empty() && last != "." && last != "..") {
    std::error_code error;
    const fs::path whole = fs::weakly_canonical(model, error);
    places.push_back(model / last);
    places.push_back((error ? model : whole).parent_path() / last);
  }
  for (const fs::path& place : places) {
    if (holds_config(place)) return place.lexically_normal();
  }
  return {};
}

SpecialTokens::SpecialTokens(const fs::path& directory, int vocabulary)
    : directory_(directory), vocabulary_(vocabulary) {
  const ConfigObject tokenizer = ConfigObject::read(directory / "tokenizer.json");
  for (const ConfigObject& table :
       {tokenizer.object("model").object("vocab"), ConfigObject::read(directory / "vocab.json"),
        ConfigObject::read(directory / "added_tokens.json")}) {
    for (const auto& entry : table.values()) {
      if (entry.value().is_int64()) add(std::string(entry.key()), entry.value().get_int64());
    }
  }
  const json::value* added = tokenizer.values().if_contains("added_tokens");
  if (added != nullptr && added->is_array()) {
    for (const json::value& token : added->get_array()) {
      const ConfigObject one(tokenizer.at("added_tokens"),
                             token.is_object() ? token.get_object() : json::object());
      add(one.text("content", ""), one.integer("id", 0, INT32_MAX));
    }
  }
  const ConfigObject decoder =
      ConfigObject::read(directory / "tokenizer_config.json").object("added_tokens_decoder");
  for (const auto& entry : decoder.values()) {
    int64_t id = -1;
    const auto key = entry.key();
    std::from_chars(key.data(), key.data() + key.size(), id);
    if (entry.value().is_object()) add(decoder.object(std::string(key).c_str()).text("content", ""), id);
  }
}

std::vector<int32_t> SpecialTokens::newlines() const {
  if (ids_.contains("ĊĊ")) return {id_of("ĊĊ")};
  return {newline(), newline()};
}

void SpecialTokens::add(const std::string& token, int64_t id) { ids_[token] = id; }

int32_t SpecialTokens::id_of(const std::string& token) const {
  const auto found = ids_.find(token);
  require(found != ids_.end(), directory_.string(), ": the tokenizer has no token ", token,
          ", which the model's image layout needs");
  require(found->second >= 0 && found->second < vocabulary_, directory_.string(), ": token ", token,
          " has id ", found->second, ", outside the vocabulary of ", vocabulary_);
  return static_cast<int32_t>(found->second);
}

int32_t SpecialTokens::newline() const {
  for (const char* other : {"\n", "<0x0A>"}) {
    if (!ids_.contains("Ċ") && ids_.contains(other)) return id_of(other);
  }
  return id_of("Ċ");
}

}  // namespace uhd
