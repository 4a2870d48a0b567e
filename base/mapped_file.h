// Whole files: as a read-only memory map, or as text. What stands in place of a file that was not downloaded,
// a Git LFS pointer or a link to nothing, is an Error that says so.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace uhd {

// Move-only owner. The bytes stay valid for its lifetime; an unreadable or empty file is an Error naming the
// path.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Whether there is a file of this name, or a link, which may lead to nothing: reading it then tells.
bool is_there(const std::filesystem::path& path);

// The whole file as text, with a limit so that a wrong path cannot fill the memory.
std::string read_text_file(const std::filesystem::path& path, size_t max_bytes = size_t{256} << 20);

}  // namespace uhd
