#include "model/weights/safetensors.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cstring>
#include <optional>

#include "base/error.h"
#include "model/json_file.h"

namespace uhd {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit

struct Entry {
  std::string name;
  DType dtype;
  Shape shape;
  uint64_t begin = 0;
  uint64_t end = 0;
};

std::optional<DType> dtype_from(std::string_view name) {
  if (name == "F32") return DType::f32;
  if (name == "BF16") return DType::bf16;
  if (name == "F16") return DType::f16;
  if (name == "U8" || name == "BOOL") return DType::u8;
  if (name == "I8") return DType::i8;
  if (name == "I32") return DType::i32;
  if (name == "I64") return DType::i64;
  return std::nullopt;
}

std::string_view header_of(std::span<const std::byte> file, const std::string& name) {
  require(file.size() >= 8, name, " is too short for a safetensors file: ", file.size(), " bytes");
  uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  require(length <= kMaxHeaderBytes && length <= file.size() - 8, name, " says its header has ", length,
          " bytes; the file has ", file.size());
  return {reinterpret_cast<const char*>(file.data()) + 8, static_cast<size_t>(length)};
}

// Members of the outermost object, counted in text that is known to be valid JSON: the parser keeps only the
// last of two equal names.
size_t count_members(std::string_view json) {
  size_t members = 0;
  int depth = 0;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (c == '"') {
      for (++i; json[i] != '"'; ++i) i += json[i] == '\\';
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      --depth;
    } else if (c == ':' && depth == 1) {
      ++members;
    }
  }
  return members;
}

uint64_t offset_of(const boost::json::value& value, const std::string& where) {
  boost::json::error_code error;
  const auto offset = value.to_number<uint64_t>(error);
  require(!error, where, " has an offset that is not a whole number of bytes");
  return offset;
}

Entry read_entry(std::string_view name, const boost::json::value& value, uint64_t data_bytes,
                 const std::string& file) {
  const std::string where = message(file, ": tensor ", name);
  const auto* shape = json_member(value, "shape");
  const auto* offsets = json_member(value, "data_offsets");
  require(shape != nullptr && shape->is_array(), where, " has no shape");
  require(offsets != nullptr && offsets->is_array() && offsets->get_array().size() == 2, where,
          " has no pair of data_offsets");
  Entry entry{.name = std::string(name)};
  const std::string dtype = json_string(value, "dtype", "", where);
  const auto known = dtype_from(dtype);
  require(known.has_value(), where, " has the unsupported dtype '", dtype, "'");
  entry.dtype = *known;
  std::vector<int64_t> dims;
  for (const auto& dim : shape->get_array()) {
    boost::json::error_code error;
    dims.push_back(dim.to_number<int64_t>(error));
    require(!error, where, " has a size that is not a whole number");
  }
  entry.shape = checked_shape(dims, entry.dtype, where);
  entry.begin = offset_of(offsets->get_array()[0], where);
  entry.end = offset_of(offsets->get_array()[1], where);
  require(entry.begin <= entry.end && entry.end <= data_bytes, where, " lies at bytes ", entry.begin, " to ",
          entry.end, " of ", data_bytes);
  const uint64_t bytes = static_cast<uint64_t>(entry.shape.elements()) * size_of(entry.dtype);
  require(entry.end - entry.begin == bytes, where, " has ", entry.end - entry.begin,
          " bytes; its shape needs ", bytes);
  return entry;
}

void require_cover(std::vector<Entry>& entries, uint64_t data_bytes, const std::string& file) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  uint64_t at = 0;
  for (const Entry& entry : entries) {
    require(entry.begin >= at, file, ": tensor ", entry.name, " overlaps the one before it");
    require(entry.begin == at, file, ": ", entry.begin - at, " bytes before tensor ", entry.name,
            " belong to none");
    at = entry.end;
  }
  require(at == data_bytes, file, ": ", data_bytes - at, " bytes after the last tensor belong to none");
}

}  // namespace

FileTensors read_safetensors(std::span<const std::byte> file, const std::string& name) {
  const std::string_view header = header_of(file, name);
  const auto data = file.subspan(8 + header.size());
  const boost::json::value json = parse_json(header, name + " (header)");
  require(json.is_object(), name, ": the header is not a JSON object");
  require(count_members(header) == json.get_object().size(), name, ": the header names a tensor twice");
  std::vector<Entry> entries;
  for (const auto& member : json.get_object()) {
    if (member.key() == "__metadata__") continue;
    entries.push_back(read_entry(member.key(), member.value(), data.size(), name));
  }
  require_cover(entries, data.size(), name);
  FileTensors result;
  for (const Entry& entry : entries) {
    result.tensors.emplace(entry.name, tensor_over(data.subspan(entry.begin, entry.end - entry.begin),
                                                   entry.dtype, entry.shape, result));
  }
  return result;
}

}  // namespace uhd
