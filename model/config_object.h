// A ConfigObject is one JSON object of a checkpoint's files. It is read key by key with a range for every
// number, so that a missing or absurd value is an Error that names file, key, value and range.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace uhd {

class ConfigObject {
 public:
  // Makes an empty object, in which every key takes its fallback.
  explicit ConfigObject(std::string where) : where_(std::move(where)) {}
  ConfigObject(std::string where, boost::json::object values)
      : where_(std::move(where)), values_(std::move(values)) {}

  // Reads a file. An absent file gives an empty object; broken JSON or no object is an Error.
  static ConfigObject read(const std::filesystem::path& file);
  // Works like read, but the file must be there.
  static ConfigObject read_required(const std::filesystem::path& file);

  bool empty() const { return values_.empty(); }
  bool has(const char* key) const;  // true if present and not null
  const std::string& where() const { return where_; }
  const boost::json::object& values() const { return values_; }

  int integer(const char* key, int64_t low, int64_t high) const;
  int integer(const char* key, int64_t low, int64_t high, int64_t fallback) const;
  double number(const char* key, double low, double high, double fallback) const;
  bool flag(const char* key, bool fallback) const;
  std::string text(const char* key, const std::string& fallback) const;
  // Reads a version, published as a number (4.5) or as a text ("4.5"); whole ones are "4.0".
  std::string version(const char* key, const std::string& fallback) const;
  // Reads one id or a list of ids in [0, limit); an absent key gives an empty list. Other values are left
  // out, with a warning in the log.
  std::vector<int32_t> ids(const char* key, int64_t limit) const;
  // Reads exactly `count` numbers; an absent key gives an empty list.
  std::vector<double> numbers(const char* key, size_t count, double low, double high) const;
  // Reads an object; an absent one is empty.
  ConfigObject object(const char* key) const;
  // Reads the first of a list of texts, or a text; an absent key gives "".
  std::string first_text(const char* key) const;

  // Returns the beginning of an error about this key: "DIR/config.json: hidden_size".
  std::string at(const char* key) const { return where_ + ": " + key; }

 private:
  const boost::json::value* find(const char* key) const;

  std::string where_;
  boost::json::object values_;
};

}  // namespace uhd
