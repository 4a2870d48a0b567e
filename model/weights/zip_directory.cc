#include "model/weights/zip_directory.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/error.h"

namespace uhd {
namespace {

constexpr uint32_t kLocalHeader = 0x04034b50;
constexpr uint32_t kCentralHeader = 0x02014b50;
constexpr uint32_t kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50;
constexpr uint32_t kEnd64Locator = 0x07064b50;
constexpr uint64_t kMaxEntries = 1'000'000;

// Little-endian reads at checked places.
class Bytes {
 public:
  Bytes(std::span<const std::byte> data, const std::string& name) : data_(data), name_(name) {}

  std::span<const std::byte> part(uint64_t at, uint64_t size) const {
    require(at <= data_.size() && size <= data_.size() - at, name_, ": the zip directory points outside");
    return data_.subspan(at, size);
  }
  uint16_t u16(uint64_t at) const { return read<uint16_t>(at); }
  uint32_t u32(uint64_t at) const { return read<uint32_t>(at); }
  uint64_t u64(uint64_t at) const { return read<uint64_t>(at); }
  uint64_t size() const { return data_.size(); }

 private:
  template <class T>
  T read(uint64_t at) const {
    T value;
    std::memcpy(&value, part(at, sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::span<const std::byte> data_;
  const std::string& name_;
};

struct Directory {
  uint64_t entries = 0;
  uint64_t bytes = 0;
  uint64_t at = 0;
};

struct ZipEntry {
  std::string name;
  uint64_t bytes = 0;
  uint64_t header = 0;  // place of the local header
  uint64_t next = 0;    // place of the next central header
};

uint64_t find_end(const Bytes& file, const std::string& name) {
  require(file.size() >= 22, name, " is no zip archive: ", file.size(), " bytes");
  const uint64_t last = file.size() - 22;
  const uint64_t first = last - std::min<uint64_t>(last, 65535);  // a comment may follow
  for (uint64_t at = last + 1; at-- > first;) {
    if (file.u32(at) == kEnd && at + 22 + file.u16(at + 20) == file.size()) return at;
  }
  throw Error(
      name + " is no zip archive (PyTorch files older than 1.6 are not; save them again, or as safetensors)");
}

Directory find_directory(const Bytes& file, const std::string& name) {
  const uint64_t end = find_end(file, name);
  require(file.u16(end + 4) == file.u16(end + 6) && (file.u16(end + 4) == 0 || file.u16(end + 4) == 0xffff),
          name, ": a zip archive of several disks");
  Directory directory{file.u16(end + 10), file.u32(end + 12), file.u32(end + 16)};
  if (end >= 20 && file.u32(end - 20) == kEnd64Locator) {
    const uint64_t end64 = file.u64(end - 20 + 8);
    file.part(end64, 56);
    require(file.u32(end64) == kEnd64, name, ": the zip64 end record is missing");
    directory = {file.u64(end64 + 32), file.u64(end64 + 40), file.u64(end64 + 48)};
  }
  file.part(directory.at, directory.bytes);
  require(directory.entries <= kMaxEntries && directory.entries <= directory.bytes / 46, name, ": ",
          directory.entries, " zip entries do not fit the directory");
  return directory;
}

// Sizes and places that do not fit 32 bits stand in the zip64 extra field, in this order.
void read_zip64(const Bytes& file, uint64_t at, uint64_t bytes, uint64_t& plain, ZipEntry& entry,
                const std::string& name) {
  const uint64_t end = at + bytes;
  while (at + 4 <= end) {
    const uint64_t length = file.u16(at + 2);
    const uint64_t stop = at + 4 + length;
    require(stop <= end, name, ": a broken extra field in zip entry ", entry.name);
    if (file.u16(at) == 1) {
      at += 4;
      for (uint64_t* field : {&plain, &entry.bytes, &entry.header}) {
        if (*field != 0xffffffffu) continue;
        require(at + 8 <= stop, name, ": a short zip64 field in zip entry ", entry.name);
        *field = file.u64(at);
        at += 8;
      }
    }
    at = stop;
  }
}

ZipEntry read_entry(const Bytes& file, uint64_t at, const std::string& name) {
  file.part(at, 46);
  require(file.u32(at) == kCentralHeader, name, ": a broken zip directory");
  const uint64_t name_bytes = file.u16(at + 28);
  const uint64_t extra_bytes = file.u16(at + 30);
  const auto text = file.part(at + 46, name_bytes);
  ZipEntry entry{
      {reinterpret_cast<const char*>(text.data()), text.size()}, file.u32(at + 20), file.u32(at + 42)};
  require((file.u16(at + 8) & 1) == 0, name, ": zip entry ", entry.name, " is encrypted");
  require(file.u16(at + 10) == 0, name, ": zip entry ", entry.name,
          " is compressed; only stored ones are read");
  uint64_t plain = file.u32(at + 24);
  file.part(at + 46 + name_bytes, extra_bytes);
  read_zip64(file, at + 46 + name_bytes, extra_bytes, plain, entry, name);
  require(plain == entry.bytes, name, ": zip entry ", entry.name, " gives two sizes");
  entry.next = at + 46 + name_bytes + extra_bytes + file.u16(at + 32);
  return entry;
}

std::span<const std::byte> content_of(const Bytes& file, const ZipEntry& entry, const Directory& directory,
                                      const std::string& name) {
  const auto local = file.part(entry.header, 30);
  require(file.u32(entry.header) == kLocalHeader, name, ": zip entry ", entry.name, " has no local header");
  const uint64_t name_bytes = file.u16(entry.header + 26);
  const auto text = file.part(entry.header + local.size(), name_bytes);
  require(
      std::memcmp(text.data(), entry.name.data(), std::min<size_t>(text.size(), entry.name.size())) == 0 &&
          text.size() == entry.name.size(),
      name, ": zip entry ", entry.name, " has another name in its local header");
  const uint64_t at = entry.header + 30 + name_bytes + file.u16(entry.header + 28);
  const auto content = file.part(at, entry.bytes);
  require(at + entry.bytes <= directory.at, name, ": zip entry ", entry.name, " runs into the directory");
  return content;
}

}  // namespace

std::map<std::string, std::span<const std::byte>> read_zip_directory(std::span<const std::byte> data,
                                                                     const std::string& name) {
  const Bytes file(data, name);
  const Directory directory = find_directory(file, name);
  std::map<std::string, std::span<const std::byte>> result;
  uint64_t at = directory.at;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    const ZipEntry entry = read_entry(file, at, name);
    require(entry.next <= directory.at + directory.bytes, name, ": a broken zip directory");
    require(result.emplace(entry.name, content_of(file, entry, directory, name)).second, name, ": zip entry ",
            entry.name, " stands twice in the directory");
    at = entry.next;
  }
  return result;
}

}  // namespace uhd
