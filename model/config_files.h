// Reads the facts that read_model_config needs from a checkpoint's other files: the names of its tensors, the
// folder of the vision tower, and the ids of special tokens.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace uhd {

// TensorNames holds the names of a checkpoint's tensors, read from its index or safetensors header without
// mapping it. They are unknown for a single PyTorch archive.
class TensorNames {
 public:
  explicit TensorNames(const std::filesystem::path& directory);
  bool known() const { return !names_.empty(); }
  bool any_starts_with(const std::string& prefix) const;

 private:
  std::set<std::string> names_;
};

// Returns the folder of the vision tower that a config calls `name`: `configured` if it is given, else a path
// relative to the model, else a folder of that name inside or beside the model's. An absolute path or a hub
// name ("openai/clip-vit-large-patch14-336") counts by its last part only. Returns an empty path if there is
// none.
std::filesystem::path find_vision_tower(const std::filesystem::path& model, const std::string& name,
                                        const std::filesystem::path& configured);

// SpecialTokens holds ids by token text, from tokenizer.json, added_tokens.json or tokenizer_config.json.
class SpecialTokens {
 public:
  SpecialTokens(const std::filesystem::path& directory, int vocabulary);
  bool has(const std::string& token) const { return ids_.contains(token); }
  // Returns the token's id; an unknown token is an Error.
  int32_t id_of(const std::string& token) const;
  // Returns the id of "\n": in a byte-level vocabulary, as a token of its own, or as a byte of
  // SentencePiece's.
  int32_t newline() const;
  // Returns the ids of two newlines in a row.
  std::vector<int32_t> newlines() const;

 private:
  void add(const std::string& token, int64_t id);

  std::filesystem::path directory_;
  int vocabulary_;
  std::map<std::string, int64_t> ids_;
};

}  // namespace uhd
